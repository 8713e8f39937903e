"""From ticks to time: which state a region held from when to when.

A slot's tick is its lowest final attempt. Its state holds until the next slot's tick of the series, but never longer
than k = 2 intervals (the interval stored on the tick, since settings change); where a hold ends before the next
tick, nobody knows. An unknown tick holds unknown, so that a gap reads much the same before and after somebody
accounts for it. The vote of the regions is in `votes`, what overrides the ticks in `overlays`.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from pipeline.frames import KEY, KIND, SPANS, STATE, TICKS, TIME, AnyFrame, check, schema
from pipeline.judge.verdict import INTERVALS_HELD
from pipeline.vocabulary import Kind, State

SERIES = ("site_id", "region_id")
SLOT = (*SERIES, "scheduled_at")
NEEDS = (*SLOT, "attempt", "state", "final", "kind", "interval_s")
SAYING = (State.UP, State.DEGRADED, State.DOWN)
OUTSIDE = (State.MAINTENANCE, State.PAUSED)


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

    Ticks (frame TICKS, these columns: site_id, region_id, scheduled_at, attempt, state, final, kind, interval_s; site
    and region where they are there, else null) in; frame SPANS out, sorted. A gap without ticks is unknown with 0
    checks, or prolongs an unknown run. The last span of a series has no `ended_after`: nobody says that it ended.
    """
    held = holds(slots(attempts(ticks)))
    there = held.collect_schema()
    names = [pl.col(name) if name in there else pl.lit(None, KEY).alias(name) for name in ("site", "region")]
    at = pl.col("scheduled_at")
    known = held.select(*names, *SERIES, "state", since=at, until="until", last_at=at, checks=pl.lit(1, pl.Int64))
    gaps = held.filter(pl.col("until") < pl.col("following")).select(
        *names,
        *SERIES,
        state=pl.lit(State.UNKNOWN.value, STATE),
        since="until",
        until="following",
        last_at=pl.lit(None, TIME),
        checks=pl.lit(0, pl.Int64),
    )
    pieces = pl.concat([known, gaps]).sort(*SERIES, "since")
    return edged(merged(pieces, SERIES, begins=("site", "region")), SERIES).select(schema(SPANS).names())


def merged(pieces: AnyFrame, by: Sequence[str], begins: Sequence[str] = (), ends: Sequence[str] = ()) -> AnyFrame:
    """Pieces that touch and agree as one: [*by, state, since, until, last_at, checks], as far as they are there.

    Pieces [*by, state, since, until, …] of one `by` do not overlap and are sorted by `by` and `since`; so is what comes
    out. Of the columns `begins` a run has what its first piece has, of `ends` (`last_at` with them) what its last has.
    """
    there = pieces.collect_schema()
    kept = [name for name in ("last_at",) if name in there]
    counted = [pl.col(name).sum() for name in ("checks",) if name in there]
    continues = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift()) for name in (*by, "state"))
    fresh = ~(continues & (pl.col("until").shift() == pl.col("since")).fill_null(value=False))
    runs = pieces.with_columns(run=fresh.cum_sum()).group_by("run", maintain_order=True)
    first, last = pl.col(*by, "state", "since", *begins).first(), pl.col("until", *kept, *ends).last()
    return runs.agg(first, last, *counted).drop("run")


def edged(runs: AnyFrame, by: Sequence[str]) -> AnyFrame:
    """Runs, as `merged` returns them, with `began_after` and `ended_after` (see frame SPANS).

    A change out of unknown has no `began_after`: the unknown time before it accounts for that. Nor has one that was cut
    (a column `cut`, where it is there). What is followed by nothing, or covered by maintenance or a pause, did not end.
    """
    whole = ~pl.col("cut") if "cut" in runs.collect_schema() else pl.lit(value=True)
    before, after = touches(by), touches(by).shift(-1).fill_null(value=False)
    return runs.with_columns(
        began_after=pl.when(before & said().shift() & whole).then(pl.col("last_at").shift()),
        ended_after=pl.when(after & ~covered().shift(-1)).then("last_at"),
    )


def touches(by: Sequence[str]) -> pl.Expr:
    """Where, in sorted runs, a row begins where the one before it ends."""
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in by)
    return (same & (pl.col("until").shift() == pl.col("since"))).fill_null(value=False)


def said() -> pl.Expr:
    """Where the state is one that somebody knows: an edge lies between two of them."""
    return pl.col("state").is_in([state.value for state in SAYING])


def covered() -> pl.Expr:
    """Where the state is one that ends no other, but covers it."""
    return pl.col("state").is_in([state.value for state in OUTSIDE])


def hour_pieces(held: pl.DataFrame) -> pl.DataFrame:
    """Runs of one state cut at the hours: [at, *SERIES, state, since, until, last_at, checks], sorted; of `holds`.

    `last_at` is the run's last slot; that of what is carried into an hour lies before it. `checks` are the hour's own.
    """
    hour, touching = pl.col("scheduled_at").dt.truncate("1h"), pl.col("until").shift() == pl.col("scheduled_at")
    begins = _first(*SERIES, "state") | ~touching.fill_null(value=False) | (hour != hour.shift())
    marked = held.select(*SERIES, "state", "scheduled_at", "until", at=hour, begins=begins).with_row_index("place")
    # Runs are few where ticks are many: their first and last rows are all that is looked at again.
    first, last = marked.filter("begins"), marked.filter(pl.col("begins").shift(-1).fill_null(value=True))
    runs = first.select("at", *SERIES, "state", since="scheduled_at").with_columns(
        last["until"], last["scheduled_at"].alias("last_at"), checks=(last["place"] - first["place"] + 1).cast(pl.Int64)
    )
    end = (pl.col("until") - pl.duration(microseconds=1)).dt.truncate("1h")
    crossing = runs.filter(pl.col("at") < end).with_columns(
        at=pl.datetime_ranges(pl.col("at") + pl.duration(hours=1), end, "1h"), checks=pl.lit(0, pl.Int64)
    )
    whole = pl.concat([runs, crossing.explode("at", empty_as_null=False, keep_nulls=False).cast({"at": TIME})])
    cut = whole.with_columns(
        since=pl.max_horizontal("since", "at"), until=pl.min_horizontal("until", pl.col("at") + pl.duration(hours=1))
    )
    return merged(cut.sort("at", *SERIES, "since"), ("at", *SERIES))


def packed(pieces: pl.DataFrame) -> pl.DataFrame:
    """[at, *SERIES, pieces]: an hour's pieces in one list, as frame HOUR_ROWS keeps them; of `hour_pieces`."""
    offsets = [(pl.col(name) - pl.col("at")).dt.total_microseconds() for name in ("since", "until", "last_at")]
    numbers = pl.concat_list(*offsets, pl.col("state").to_physical().cast(pl.Int64), "checks")
    rows = pieces.select("at", *SERIES, pieces=numbers)
    return rows.group_by("at", *SERIES, maintain_order=True).agg(pl.col("pieces").explode())


def unpacked(hours: pl.DataFrame) -> pl.DataFrame:
    """What `packed` packed, again in rows: [at, *SERIES, state, since, until, last_at, checks], in their order."""
    size = 5
    flat = hours.select(pl.col("pieces").explode(empty_as_null=False, keep_nulls=False)).to_series()
    each = pl.col("pieces").list.len() // size
    rows = hours.select(pl.col("at", *SERIES).repeat_by(each).explode(empty_as_null=False, keep_nulls=False))
    since, until, last_at, state, checks = (flat.gather_every(size, offset) for offset in range(size))
    times = {"since": since, "until": until, "last_at": last_at}
    return rows.with_columns(
        states(state),
        *((pl.col("at") + us.cast(pl.Duration("us"))).alias(name) for name, us in times.items()),
        checks=checks,
    ).select("at", *SERIES, "state", "since", "until", "last_at", "checks")


def day_spans(hours: pl.DataFrame) -> pl.DataFrame:
    """Region spans cut at UTC days: [at, *SERIES, state, since, until, last_at, checks], sorted; of packed hours."""
    pieces = unpacked(hours).with_columns(pl.col("at").dt.truncate("1d")).sort(*SERIES, "since")
    return merged(pieces, ("at", *SERIES))


def states(codes: pl.Series) -> pl.Series:
    """Codes of states, as the store keeps them (their position in `State`), in words."""
    return codes.cast(pl.UInt8).cat.to(STATE).alias("state")


def _first(*names: str) -> pl.Expr:
    """Where, in a sorted frame, any of the columns differs from the row before."""
    return pl.any_horizontal(pl.col(name).ne_missing(pl.col(name).shift()) for name in names)
