"""From the frames people have (ticks, rollups) to those that the charts draw, with every gap kept.

ticks = up.ticks(["shop"], start="-24h").collect()
charts.latency(charts.latency_by(ticks, every=timedelta(minutes=5)))
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from pipeline import frames
from pipeline.analysis.spans import NEEDS, attempts, slots, spans
from pipeline.charts.palette import PHASE_COLOURS
from pipeline.vocabulary import State

PHASES = tuple(PHASE_COLOURS)
LATENCY = {
    "at": frames.TIME,
    "region": pl.String(),
    "p50_ms": pl.Float64(),
    "p95_ms": pl.Float64(),
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
COUNTED = (State.DOWN, State.DEGRADED, State.UNKNOWN, State.UP)  # the worst first
FLEET = {
    "region": pl.String(),
    "at": frames.TIME,
    "until": frames.TIME,
    **{state.value: pl.Int64() for state in COUNTED},
}
_ANSWERED = pl.col("state").is_in([State.UP.value, State.DEGRADED.value])


def latency_by(ticks: pl.DataFrame, every: timedelta) -> pl.DataFrame:
    """Exact median and 95th percentile of the answered, trusted checks by region and bucket; `LATENCY`, with its gaps.

    Frame TICKS in. Buckets are cut from the epoch; choose whole intervals, or one without a check looks like a gap.
    """
    good = pl.col("latency_ms").cast(pl.Float64).filter(_ANSWERED & pl.col("trusted"))
    found = (
        _bucketed(ticks, every)
        .group_by("at", "region")
        .agg(
            good.quantile(0.5, "linear").alias("p50_ms"),
            good.quantile(0.95, "linear").alias("p95_ms"),
            checks=_ANSWERED.sum().cast(pl.Int64),
            failed=(pl.col("state") == State.DOWN.value).sum().cast(pl.Int64),
        )
    )
    return on_grid(found, every, found["at"].min(), found["at"].max())


def latency_of(rollup: pl.DataFrame) -> pl.DataFrame:
    """Frame ROLLUPS (of one site) as `LATENCY`: the histograms' quantiles, within their 1.1 %."""
    if rollup.is_empty():
        return pl.DataFrame(schema=LATENCY)
    times = rollup["at"].unique().sort()
    every = times.diff().min() if len(times) > 1 else timedelta(hours=1)
    found = rollup.select(
        "at",
        pl.col("region").cast(pl.String),
        pl.col("p50_ms", "p95_ms").cast(pl.Float64),
        checks=(pl.col("up") + pl.col("degraded")).cast(pl.Int64),
        failed=pl.col("down").cast(pl.Int64),
    )
    return on_grid(found, every if isinstance(every, timedelta) else timedelta(hours=1), times.min(), times.max())


def phases_by(ticks: pl.DataFrame, every: timedelta) -> pl.DataFrame:
    """Mean milliseconds of each phase by bucket; `PHASE`, with its gaps. Means, since only they add up to the whole."""
    means = [pl.col(f"{phase}_ms").cast(pl.Float64).filter(_ANSWERED).mean().alias(phase) for phase in PHASES]
    wide = _bucketed(ticks, every).group_by("at").agg(_ANSWERED.any().alias("answered"), *means)
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


def fleet_by(ticks: pl.DataFrame, every: timedelta = timedelta(minutes=1)) -> pl.DataFrame:
    """How many sites were in which state, by region and bucket; `FLEET`, on its full grid.

    A site counts once a bucket, by its worst state in it, however often it is checked.
    """
    ranks = {state.value: rank for rank, state in enumerate(COUNTED)}
    rank = pl.col("state").cast(pl.String).replace_strict(ranks, default=None, return_dtype=pl.Int8)
    sites = _bucketed(ticks, every).group_by("region", "at", "site_id").agg(worst=rank.min())
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


def grid(first: object, last: object, every: timedelta) -> pl.DataFrame:
    """[at]: every bucket from the first to the last, both with."""
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return pl.DataFrame(schema={"at": frames.TIME})
    return pl.DataFrame({"at": pl.datetime_range(first, last, every, eager=True).cast(frames.TIME)})


def _bucketed(ticks: pl.DataFrame, every: timedelta) -> pl.DataFrame:
    return slots(attempts(ticks)).with_columns(
        pl.col("region").cast(pl.String), at=pl.col("scheduled_at").dt.truncate(every)
    )
