"""Time by state, bucket by bucket, for ranges in which single checks cannot be told apart any more.

rollup = up.rollup("1h", sites=["shop"], start="-30d").collect()
charts.shares(charts.shares_of(rollup, every=timedelta(hours=3)))
charts.overview(charts.overview_of(rollup, every=timedelta(hours=3)))
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from pipeline import frames
from pipeline.analysis import histograms
from pipeline.charts.shapes import (
    COUNTED,
    bucketed,
    ends,
    fleet_on_grid,
    grid,
    states_of,
    step_of,
)
from pipeline.vocabulary import State

_STATES = [state.value for state in COUNTED]
# Seconds by state of what was called for. What was not (a pause, the time before a site was added) is in none of them.
SHARES = {
    "region": pl.String(),
    "at": frames.TIME,
    "until": frames.TIME,
    **{state: pl.Float64() for state in _STATES},
}
OVERVIEW = {
    "at": frames.TIME,
    "until": frames.TIME,
    "p95_ms": pl.Float64(),
    **{state: pl.Float64() for state in _STATES},
}


def shares_of(
    rollup: pl.DataFrame,
    every: timedelta | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pl.DataFrame:
    """Frame ROLLUPS (of one site, by region) as `SHARES`. Time that was called for and nobody speaks for is unknown."""
    if rollup.is_empty():
        return pl.DataFrame(schema=SHARES)
    step = every or step_of(rollup["at"])
    seconds = rollup.select(pl.col("at").dt.truncate(step), pl.col("region").cast(pl.String), *seconds_by_state())
    return _on_grid(seconds.group_by("region", "at").agg(pl.col(_STATES).sum()), step, since, until)


def seconds_by_state() -> list[pl.Expr]:
    """The seconds of each of `COUNTED` in a row of frame ROLLUPS; what is called for and not known is unknown."""
    held = {state: pl.col(f"{state}_us") / 1e6 for state in _STATES if state != State.UNKNOWN}
    unknown = (pl.col("expected_s") - pl.sum_horizontal(*held.values())).clip(lower_bound=0)
    return [{**held, State.UNKNOWN.value: unknown}[state].alias(state) for state in _STATES]


def shares_by(
    states: pl.DataFrame, every: timedelta, since: datetime | None = None, until: datetime | None = None
) -> pl.DataFrame:
    """Runs of one state (`STATES`, of one site) as `SHARES`: each cut at the buckets' ends."""
    last = pl.col("until") - pl.duration(microseconds=1)
    buckets = pl.datetime_ranges(pl.col("at").dt.truncate(every), last.dt.truncate(every), every)
    pieces = states.with_columns(bucket=buckets).explode("bucket", empty_as_null=False, keep_nulls=False)
    inside = pl.min_horizontal("until", pl.col("bucket") + every) - pl.max_horizontal("at", "bucket")
    seconds = (inside.dt.total_microseconds() / 1e6).filter
    counted = pieces.group_by("region", at="bucket").agg(
        seconds(pl.col("state") == state).sum().alias(state) for state in _STATES
    )
    return _on_grid(counted.with_columns(pl.col("at").cast(frames.TIME)), every, since, until)


def overview_of(
    rollup: pl.DataFrame,
    every: timedelta | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pl.DataFrame:
    """Frame ROLLUPS (of one site) over all its regions as `OVERVIEW`, the percentile that of the merged histograms."""
    if rollup.is_empty():
        return pl.DataFrame(schema=OVERVIEW)
    step = every or step_of(rollup["at"])
    latencies = rollup.with_columns(pl.col("at").dt.truncate(step))
    merged = histograms.with_quantiles(histograms.merge(latencies, ["at"]), {"p95_ms": 0.95})
    return _overall(shares_of(rollup, step, since, until), merged)


def overview_by(
    ticks: pl.DataFrame,
    every: timedelta,
    since: datetime | None = None,
    until: datetime | None = None,
    states: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Frame TICKS (of one site) over all its regions as `OVERVIEW`: exact percentiles, for a site's first day.

    `states` are its `STATES` where more is known than the ticks tell, such as when it was paused.
    """
    told = states_of(ticks, since, until) if states is None else states
    if told.is_empty():
        return pl.DataFrame(schema=OVERVIEW)
    answered = pl.col("state").is_in([State.UP.value, State.DEGRADED.value]) & pl.col("trusted")
    latencies = bucketed(ticks, every).filter(answered).group_by("at").agg(
        p95_ms=pl.col("latency_ms").cast(pl.Float64).quantile(0.95, "linear")
    )  # fmt: skip
    return _overall(shares_by(told, every, since, until), latencies)


def _overall(shares: pl.DataFrame, latencies: pl.DataFrame) -> pl.DataFrame:
    seconds = shares.group_by("at", "until").agg(pl.col(_STATES).sum())
    percentile = latencies.select("at", pl.col("p95_ms").cast(pl.Float64))
    return seconds.join(percentile, on="at", how="left").select(list(OVERVIEW)).sort("at")


def _on_grid(found: pl.DataFrame, every: timedelta, since: datetime | None, until: datetime | None) -> pl.DataFrame:
    whole = grid(*ends(found["at"], every, since, until), every)
    return fleet_on_grid(found, whole, every).select(list(SHARES)).cast(pl.Schema(SHARES))
