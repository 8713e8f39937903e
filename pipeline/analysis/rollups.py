"""Ticks to hours, hours to days: counts, time by state and the latency distribution of each series.

Both are functions of what goes in and of nothing else: order, repetition and the time of day change nothing. Time is
whole microseconds and counts are whole numbers, so that sums come out the same in any order, and a day is exactly
the merge of its hours.
"""

from __future__ import annotations

import polars as pl

from pipeline.analysis import histograms
from pipeline.analysis.spans import NEEDS, SERIES, attempts, holds, hour_pieces, packed, slots
from pipeline.frames import HOUR_ROWS, HOURS, STATE, TICKS, Frame, check, schema
from pipeline.vocabulary import State

KEY = ("at", *SERIES)
COUNTED = ("checks", "up", "degraded", "down", "unknown", "attempts", "first_failures", "untrusted")
STATES = (State.UP, State.DEGRADED, State.DOWN, State.UNKNOWN)
HELD = tuple(f"{state}_us" for state in STATES)
_NUMBERS = {state.value: number for number, state in enumerate(STATES)}
LAST_HELD = (
    pl.col("until").max().alias("last_until"),
    pl.col("state").get(pl.col("until").arg_max()).replace_strict(_NUMBERS, return_dtype=pl.Int16).alias("last_state"),
)


def hourly(ticks: pl.DataFrame) -> pl.DataFrame:
    """Frame HOUR_ROWS of frame TICKS, sorted by hour and series.

    Needs the columns of `spans.NEEDS` with `latency_ms` and `trusted`. An hour's row takes the last slot before the
    hour, too, if it is held into it. An hour that neither a scheduled tick nor a hold touches has no row. The
    latencies are those of trusted slot ticks that were up or degraded: a failure's duration is no latency.
    """
    check(ticks, TICKS, needs=(*NEEDS, "latency_ms", "trusted"))
    tried = attempts(ticks).with_columns(at=pl.col("scheduled_at").dt.truncate("1h"))
    settled = slots(tried)
    answered = _is(State.UP) | _is(State.DEGRADED)
    pieces = hour_pieces(holds(settled))
    time = pieces.group_by(KEY).agg(*(_held(state) for state in STATES), *LAST_HELD)
    made = tried.group_by(KEY).agg(attempts=pl.len(), first_failures=((pl.col("attempt") == 0) & _is(State.DOWN)).sum())
    counts = settled.group_by(KEY).agg(
        pl.len().alias("checks"),
        *(_is(state).sum().alias(state.value) for state in STATES),
        (answered & ~pl.col("trusted")).sum().alias("untrusted"),
    )
    measured = histograms.build(settled.filter(answered & pl.col("trusted")), KEY)
    rows = (
        made.join(time, on=KEY, how="full", coalesce=True)
        .join(counts, on=KEY, how="left")
        .join(measured, on=KEY, how="left")
        .join(packed(pieces), on=KEY, how="left")
    )
    return _finished(rows.with_columns(pl.col("pieces").fill_null([])), HOUR_ROWS)


def daily(hours: pl.DataFrame) -> pl.DataFrame:
    """Frame HOURS by UTC day of frame HOURS by hour: sums, merged histograms, quantiles of those."""
    check(hours, HOURS, needs=HOURS)
    days = hours.with_columns(pl.col("at").dt.truncate("1d"))
    sums = days.group_by(KEY).agg(
        pl.col(*COUNTED, *HELD).cast(pl.Int64).sum(),
        pl.col("last_until").max(),
        pl.col("last_state").get(pl.col("last_until").arg_max(), null_on_oob=True),
    )
    return _finished(sums.join(histograms.merge(days, KEY), on=KEY, how="left"), HOURS)


def _finished(rows: pl.DataFrame, promised: Frame) -> pl.DataFrame:
    """Null counts are zeros, histograms that nobody added to are empty, quantiles come from the histograms."""
    types = schema(promised)
    whole = rows.with_columns(pl.col(*COUNTED, *HELD).fill_null(0), pl.col("buckets", "counts").fill_null([]))
    typed = whole.cast({name: types[name] for name in whole.columns})
    return histograms.with_quantiles(typed).select(types.names()).sort(KEY)


def _held(state: State) -> pl.Expr:
    held = (pl.col("until") - pl.col("since")).filter(_is(state)).sum()
    return held.dt.total_microseconds().alias(f"{state}_us")


def _is(state: State) -> pl.Expr:
    return pl.col("state") == pl.lit(state.value, STATE)
