"""From ticks to time: which state a region held from when to when.

A slot's tick is its lowest final attempt. Its state holds until the next slot's tick of the series, but never longer
than k = 2 intervals (the interval stored on the tick, since settings change); where a hold ends before the next
tick, nobody knows. An unknown tick holds unknown, so that a gap reads much the same before and after somebody
accounts for it. The vote of the regions is not taken here.
"""

from __future__ import annotations

import polars as pl

from pipeline.frames import HOURS, KIND, SPANS, STATE, TICKS, AnyFrame, check, schema
from pipeline.judge.verdict import INTERVALS_HELD
from pipeline.vocabulary import Kind, State

SERIES = ("site_id", "region_id")
SLOT = (*SERIES, "scheduled_at")
NEEDS = (*SLOT, "attempt", "state", "final", "kind", "interval_s")


def attempts(ticks: AnyFrame) -> AnyFrame:
    """The scheduled attempts, each once, sorted by slot and attempt."""
    check(ticks, TICKS, needs=NEEDS)
    scheduled = ticks.filter(pl.col("kind") == pl.lit(Kind.SCHEDULED.value, KIND))
    # Equal keys are equal ticks: the store keeps one, and a frame that repeats some tells nothing new.
    return scheduled.sort(*SLOT, "attempt").filter(_first(*SLOT, "attempt"))


def slots(attempts: AnyFrame) -> AnyFrame:
    """Each slot's tick, sorted, of attempts as `attempts` returns them."""
    return attempts.filter("final").filter(_first(*SLOT))


def holds(slots: AnyFrame) -> AnyFrame:
    """Slots with `until`: how long each one's state is believed; and `follows`: whether the next takes over there."""
    at = pl.col("scheduled_at")
    following = pl.when(pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in SERIES)).then(at.shift(-1))
    lapse = at + pl.duration(seconds=INTERVALS_HELD * pl.col("interval_s").cast(pl.Int64))
    return slots.with_columns(until=pl.min_horizontal(following, lapse), following=following)


def spans(ticks: AnyFrame) -> AnyFrame:
    """Runs of one state by (site, region), without a gap between a series' first tick and its last hold's end.

    Ticks (frame TICKS, these columns: site_id, region_id, scheduled_at, attempt, state, final, kind, interval_s) in;
    frame SPANS out, sorted. A gap without ticks is unknown with 0 checks, or prolongs an unknown run.
    """
    held = holds(slots(attempts(ticks)))
    known = held.select(*SERIES, "state", since="scheduled_at", until="until", checks=pl.lit(1, pl.Int64))
    gaps = held.filter(pl.col("until") < pl.col("following")).select(
        *SERIES, state=pl.lit(State.UNKNOWN.value, STATE), since="until", until="following", checks=pl.lit(0, pl.Int64)
    )
    pieces = pl.concat([known, gaps]).sort(*SERIES, "since")
    runs = pieces.with_columns(run=_first(*SERIES, "state").cum_sum())
    merged = runs.group_by(*SERIES, "state", "run").agg(
        pl.col("since").min(), pl.col("until").max(), pl.col("checks").sum()
    )
    return merged.select(schema(SPANS).names()).sort(*SERIES, "since")


def by_hour(holds: pl.DataFrame) -> pl.DataFrame:
    """Holds cut at the hours: [at, site_id, region_id, state, held_us, ends_at], a row for each hour a hold reaches."""
    ends = pl.col("until") - pl.duration(microseconds=1)
    first, last = pl.col("scheduled_at").dt.truncate("1h"), ends.dt.truncate("1h")
    cut = holds.select(*SERIES, "state", "scheduled_at", "until", at=first, last=last)
    # Few holds cross an hour, so only those are taken apart.
    crossing = cut.filter(pl.col("at") < pl.col("last")).with_columns(
        at=pl.datetime_ranges(pl.col("at") + pl.duration(hours=1), "last", "1h")
    )
    pieces = pl.concat([cut, crossing.explode("at", empty_as_null=False, keep_nulls=False)])
    start = pl.max_horizontal("scheduled_at", "at")
    end = pl.min_horizontal("until", pl.col("at") + pl.duration(hours=1))
    return pieces.select("at", *SERIES, "state", held_us=(end - start).dt.total_microseconds(), ends_at=end).cast(
        {"at": HOURS["at"].dtype, "ends_at": HOURS["last_until"].dtype}
    )


def _first(*names: str) -> pl.Expr:
    """Where, in a sorted frame, any of the columns differs from the row before."""
    return pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in names)
