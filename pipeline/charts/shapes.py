"""From the frames people have (ticks, rollups) to those that the charts draw, with every gap kept.

ticks = up.ticks(["shop"], start="-24h").collect()
charts.latency(charts.latency_by(ticks, every=timedelta(minutes=5)))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from pipeline import frames
from pipeline.analysis import histograms
from pipeline.analysis.spans import NEEDS, attempts, slots, spans
from pipeline.charts.palette import PHASE_COLOURS
from pipeline.vocabulary import State

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PHASES = tuple(PHASE_COLOURS)
SMOKE = {"p05_ms": 0.05, "p25_ms": 0.25, "p50_ms": 0.5, "p75_ms": 0.75, "p95_ms": 0.95}
LATENCY = {
    "at": frames.TIME,
    "region": pl.String(),
    **dict.fromkeys(SMOKE, pl.Float64()),
    "checks": pl.Int64(),
    "failed": pl.Int64(),
}
PHASE = {"at": frames.TIME, "phase": pl.String(), "ms": pl.Float64()}
STATES = {
    "site": pl.String(),
    "region": pl.String(),
    "at": frames.TIME,
    "until": frames.TIME,
    "state": pl.String(),
    "checks": pl.Int64(),
}
# Times in which nothing was called for: paused, or before a site was added.
SILENCES = {"site": pl.String(), "region": pl.String(), "at": frames.TIME, "until": frames.TIME, "paused": pl.Boolean()}
COUNTED = (State.DOWN, State.DEGRADED, State.UNKNOWN, State.UP)  # the worst first
FLEET = {
    "region": pl.String(),
    "at": frames.TIME,
    "until": frames.TIME,
    **{state.value: pl.Int64() for state in COUNTED},
}
_ANSWERED = pl.col("state").is_in([State.UP.value, State.DEGRADED.value])


def latency_by(ticks: pl.DataFrame, every: timedelta) -> pl.DataFrame:
    """Exact quantiles (`SMOKE`) of the answered, trusted checks by region and bucket; `LATENCY`, with its gaps.

    Frame TICKS in. Buckets are cut from the epoch; choose whole intervals, or one without a check looks like a gap.
    """
    good = pl.col("latency_ms").cast(pl.Float64).filter(_ANSWERED & pl.col("trusted"))
    found = (
        bucketed(ticks, every)
        .group_by("at", "region")
        .agg(
            *(good.quantile(share, "linear").alias(name) for name, share in SMOKE.items()),
            checks=_ANSWERED.sum().cast(pl.Int64),
            failed=(pl.col("state") == State.DOWN.value).sum().cast(pl.Int64),
        )
    )
    return on_grid(found, every, found["at"].min(), found["at"].max())


def latency_of(
    rollup: pl.DataFrame,
    every: timedelta | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pl.DataFrame:
    """Frame ROLLUPS (of one site, by region) as `LATENCY`: the histograms' quantiles, within their 1.1 %.

    `every` merges the histograms of several hours (or days) into one bucket: quantiles are taken of what is merged,
    never of quantiles. With `since` and `until` the buckets reach over that range, else over what there is.
    """
    if rollup.is_empty():
        return pl.DataFrame(schema=LATENCY)
    step, by = every or step_of(rollup["at"]), ["at", "region"]
    cut = rollup.with_columns(pl.col("at").dt.truncate(step), pl.col("region").cast(pl.String))
    checks, failed = (pl.col("up") + pl.col("degraded")).cast(pl.Int64), pl.col("down").cast(pl.Int64)
    told = cut.select(*by, "buckets", "counts")
    merged = histograms.with_quantiles(told if every is None else histograms.merge(told, by), SMOKE)
    counted = cut.group_by(by).agg(checks=checks.sum(), failed=failed.sum())
    found = counted.join(merged, on=by, how="left").with_columns(pl.col(*SMOKE).cast(pl.Float64))
    return on_grid(found, step, *ends(found["at"], step, since, until))


def phases_by(ticks: pl.DataFrame, every: timedelta) -> pl.DataFrame:
    """Mean milliseconds of each phase by bucket; `PHASE`, with its gaps. Means, since only they add up to the whole."""
    means = [pl.col(f"{phase}_ms").cast(pl.Float64).filter(_ANSWERED).mean().alias(phase) for phase in PHASES]
    wide = bucketed(ticks, every).group_by("at").agg(_ANSWERED.any().alias("answered"), *means)
    wide = wide.filter("answered").drop("answered")
    return phases_on_grid(wide, grid(wide["at"].min(), wide["at"].max(), every))


def states_of(ticks: pl.DataFrame, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
    """Runs of one state by site and region; `STATES`. With `since` and `until` they fill the range, unknown at ends."""
    kept = ticks.select(*NEEDS, "site", "region")
    names = kept.select("site_id", "region_id", pl.col("site", "region").cast(pl.String)).unique(
        ["site_id", "region_id"]
    )
    series = ("site_id", "region_id")
    runs = spans(kept).select(*series, pl.col("state").cast(pl.String), "since", "until", "checks")
    parts = [runs]
    blank = {"state": pl.lit(State.UNKNOWN.value), "checks": pl.lit(0, pl.Int64)}
    ends = runs.group_by(series).agg(first=pl.col("since").min(), last=pl.col("until").max())
    if since is not None:
        before = ends.with_columns(since=pl.lit(since, frames.TIME), until="first", **blank)
        parts.append(before.select(runs.columns))
    if until is not None:
        parts.append(ends.with_columns(since="last", until=pl.lit(until, frames.TIME), **blank).select(runs.columns))
    whole = pl.concat(parts).with_columns(
        pl.col("since").clip(lower_bound=since), pl.col("until").clip(upper_bound=until)
    )
    named = whole.filter(pl.col("since") < pl.col("until")).join(names, on=series)
    return named.rename({"since": "at"}).select(list(STATES)).sort("site", "region", "at")


def whole(states: pl.DataFrame, series: pl.DataFrame, since: datetime, until: datetime) -> pl.DataFrame:
    """`STATES` with a run of unknown for each of the series [site, region] that has none: nobody knows its time."""
    blank = {
        "at": pl.lit(since, frames.TIME),
        "until": pl.lit(until, frames.TIME),
        "state": pl.lit(State.UNKNOWN.value),
    }
    missing = series.select("site", "region").join(states, on=["site", "region"], how="anti")
    missing = missing.with_columns(checks=pl.lit(0, pl.Int64), **blank)
    return pl.concat([states, missing.select(list(STATES))]).sort("site", "region", "at")


def silenced(states: pl.DataFrame, silences: pl.DataFrame) -> pl.DataFrame:
    """`STATES` whose unknown time is paused where nothing was called for (`SILENCES`), or gone before the first call.

    What was recorded stays: only nobody's time is somebody's decision.
    """
    if silences.is_empty():
        return states
    by_series: dict[tuple[str, str], list[tuple[datetime, datetime, bool]]] = {}
    for site, region, at, until, paused in silences.sort("at").iter_rows():
        by_series.setdefault((site, region), []).append((at, until, paused))
    rows = [
        piece
        for row in states.iter_rows(named=True)
        for piece in (
            _without(row, by_series.get((row["site"], row["region"]), ())) if row["state"] == State.UNKNOWN else [row]
        )
    ]
    return pl.DataFrame(rows, schema=STATES).sort("site", "region", "at")


def _without(row: dict[str, Any], silences: Sequence[tuple[datetime, datetime, bool]]) -> Iterator[dict[str, Any]]:
    """A run of unknown in pieces: what lies in a silence is paused or left out."""
    at = row["at"]
    for since, until, paused in silences:
        since, until = max(since, at), min(until, row["until"])  # noqa: PLW2901 - the part that lies in the run
        if since >= until:
            continue
        if at < since:
            yield {**row, "at": at, "until": since}
        if paused:
            yield {**row, "at": since, "until": until, "state": State.PAUSED.value, "checks": 0}
        at = until
    if at < row["until"]:
        yield {**row, "at": at}


def fleet_by(ticks: pl.DataFrame, every: timedelta = timedelta(minutes=1)) -> pl.DataFrame:
    """How many sites were in which state, by region and bucket; `FLEET`, on its full grid.

    A site counts once a bucket, by its worst state in it, however often it is checked.
    """
    ranks = {state.value: rank for rank, state in enumerate(COUNTED)}
    rank = pl.col("state").cast(pl.String).replace_strict(ranks, default=None, return_dtype=pl.Int8)
    sites = bucketed(ticks, every).group_by("region", "at", "site_id").agg(worst=rank.min())
    counted = [(pl.col("worst") == place).sum().cast(pl.Int64).alias(state) for state, place in ranks.items()]
    found = sites.group_by("region", "at").agg(counted)
    return fleet_on_grid(found, grid(found["at"].min(), found["at"].max(), every), every)


def fleet_on_grid(found: pl.DataFrame, whole: pl.DataFrame, every: timedelta) -> pl.DataFrame:
    """`FLEET` with a row for every bucket and region: a bucket without any check has zeroes, so a silence is a gap."""
    everywhere = whole.join(found.select("region").unique(), how="cross")
    filled = everywhere.join(found, on=["region", "at"], how="left")
    counts = pl.col([state.value for state in COUNTED]).fill_null(0)
    return filled.with_columns(counts, until=pl.col("at") + every).select(list(FLEET)).sort("region", "at")


def on_grid(found: pl.DataFrame, every: timedelta, first: object, last: object) -> pl.DataFrame:
    """`LATENCY` with a row for every bucket and region: null and zero where nothing was found."""
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return pl.DataFrame(schema=LATENCY)
    whole = grid(first, last, every).join(found.select("region").unique(), how="cross")
    filled = whole.join(found, on=["at", "region"], how="left").with_columns(pl.col("checks", "failed").fill_null(0))
    return filled.select(list(LATENCY)).sort("region", "at")


def phases_on_grid(wide: pl.DataFrame, whole: pl.DataFrame) -> pl.DataFrame:
    """`PHASE` of one column a phase: what a bucket did not need is 0 there, and null where it had no answer."""
    if wide.is_empty():
        return pl.DataFrame(schema=PHASE)
    long = whole.join(wide.with_columns(pl.col(PHASES).fill_null(0)), on="at", how="left").unpivot(
        PHASES, index="at", variable_name="phase", value_name="ms"
    )
    used = pl.col("ms").max().over("phase") > 0  # a phase that never occurs takes no place in the legend
    return long.filter(used).select(list(PHASE)).sort("at", maintain_order=True)


def step_of(times: pl.Series) -> timedelta:
    """From one bucket to the next; an hour where there is only one."""
    step = times.unique().sort().diff().min()
    return step if isinstance(step, timedelta) else timedelta(hours=1)


def ends(times: pl.Series, every: timedelta, since: datetime | None, until: datetime | None) -> tuple[object, object]:
    """The first and the last bucket: of [since, until) where that is told, else of those that there are."""
    first, last = times.min(), times.max()
    return (
        first if since is None else bucket_of(since, every),
        last if until is None else bucket_of(until - timedelta(microseconds=1), every),
    )


def bucket_of(at: datetime, every: timedelta) -> datetime:
    """When the bucket began in which `at` is. Buckets are cut from the epoch, so they stay put while time goes on."""
    return EPOCH + (at - EPOCH) // every * every


def grid(first: object, last: object, every: timedelta) -> pl.DataFrame:
    """[at]: every bucket from the first to the last, both with."""
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return pl.DataFrame(schema={"at": frames.TIME})
    return pl.DataFrame({"at": pl.datetime_range(first, last, every, eager=True).cast(frames.TIME)})


def bucketed(ticks: pl.DataFrame, every: timedelta) -> pl.DataFrame:
    return slots(attempts(ticks)).with_columns(
        pl.col("region").cast(pl.String), at=pl.col("scheduled_at").dt.truncate(every)
    )
