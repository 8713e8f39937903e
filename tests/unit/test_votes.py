"""A site's spans are what a plain loop over every moment says, and what the judge said when the ticks came."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis.overlays import called_for, layered, spread, united
from pipeline.analysis.rollups import hourly
from pipeline.analysis.spans import SERIES, day_spans, merged, spans
from pipeline.analysis.votes import SITE, overlaid, seen, voted
from pipeline.frames import TICKS, TIME, schema
from pipeline.judge.fold import Watched, judge
from pipeline.judge.verdict import Standing, decided, verdict
from pipeline.vocabulary import Outcome, State, Tick
from tests.unit import oracle
from tests.unit.oracle import Edit, History, Period, Slot, Span

START = datetime(2026, 3, 1, 22, tzinfo=UTC)
END_S = 4 * 3600  # over midnight
TYPES = schema(TICKS, ["site_id", "region_id", "scheduled_at", "attempt", "state", "final", "kind", "interval_s"])
MEASURED = pl.Schema({**TYPES, "latency_ms": pl.Float32(), "trusted": pl.Boolean()})
SERIES_TYPES = {"site_id": pl.Int32(), "region_id": pl.Int32()}
PERIOD_TYPES = pl.Schema({**SERIES_TYPES, "since": TIME, "until": TIME})


def time(at_s: float) -> datetime:
    return START + timedelta(seconds=at_s)


def ticks_of(slots: Sequence[Slot]) -> pl.DataFrame:
    told = {"attempt": 0, "final": True, "kind": "scheduled", "latency_ms": 1.0, "trusted": True}
    rows = [
        {"site_id": s.site, "region_id": s.region, "scheduled_at": time(s.at), "state": s.state}
        | {"interval_s": int(s.interval_s), **told}
        for s in slots
    ]
    return pl.DataFrame(rows, schema=MEASURED)


def called_of(history: History) -> pl.DataFrame:
    rows = [(n, e.site, e.region, time(e.at), e.active) for n, e in enumerate(history.edits)]
    types = {"id": pl.Int64(), **SERIES_TYPES, "effective_at": TIME, "active": pl.Boolean()}
    revisions = pl.DataFrame(rows, schema=types, orient="row")
    return called_for(revisions, time(history.since), time(history.until))


def suspects_of(history: History, called: pl.DataFrame) -> pl.DataFrame:
    rows = [(p.site, p.region, time(p.since), time(p.until)) for p in history.suspect]
    periods = pl.DataFrame(rows, schema=PERIOD_TYPES, orient="row")
    return spread(periods, called, time(history.since), time(history.until))


def regions_of(history: History) -> pl.DataFrame:
    """By the way that the store takes: hours, days, joined again."""
    told = merged(day_spans(hourly(ticks_of(history.slots))).sort(*SERIES, "since"), SERIES)
    called = called_of(history)
    return seen(told, called, suspects_of(history, called))


def sites_of(history: History, site: int = 1) -> list[Span]:
    return plain(voted(regions_of(history)).filter(pl.col("site_id") == site))


def plain(frame: pl.DataFrame) -> list[Span]:
    columns = ("state", "since", "until", "down", "known", "regions", "began_after", "ended_after")
    return [Span(*(seconds(value) for value in row)) for row in frame.select(columns).iter_rows()]


def seconds(value: Any) -> Any:
    return (value - START).total_seconds() if isinstance(value, datetime) else value


# Edits and periods fall between the slots, so that no two things happen at once that are nothing to each other.
moments = st.integers(0, END_S // 30 - 1).map(lambda n: 30.0 * n)
series = {"site": st.integers(1, 2), "region": st.integers(1, 3)}
slots = st.lists(
    st.builds(
        Slot,
        **series,
        at=moments,
        state=st.sampled_from(["up", "up", "down", "down", "degraded", "unknown"]),
        interval_s=st.sampled_from([30, 60, 600, 3600]),
    ),
    max_size=30,
    unique_by=lambda slot: (slot.site, slot.region, slot.at),
)
edits = st.lists(st.builds(Edit, **series, at=moments.map(lambda at: at + 7), active=st.booleans()), max_size=5)
ALWAYS = [Edit(site, region, -3600.0, True) for site in (1, 2) for region in (1, 2)]
periods = st.lists(
    st.builds(
        lambda site, region, since, lasts: Period(site, region, since, since + lasts),
        site=st.none() | st.integers(1, 2),
        region=st.none() | st.integers(1, 3),
        since=moments.map(lambda at: at + 11),
        lasts=st.sampled_from([300.0, 3600.0, 7200.0]),
    ),
    max_size=2,
)
histories = st.builds(
    lambda slots, edits, suspect: History(slots, [*ALWAYS, *edits], suspect, 0.0, float(END_S)), slots, edits, periods
)


@given(histories)
@settings(max_examples=60, deadline=None)
def test_the_vote_over_time_is_what_a_plain_loop_finds(history: History) -> None:
    for site in (1, 2):
        assert sites_of(history, site) == history.spans(site)


@given(slots)
@settings(max_examples=40, deadline=None)
def test_hours_joined_are_the_spans_of_the_ticks(some: list[Slot]) -> None:
    ticks = ticks_of(some)
    whole = spans(ticks).filter((pl.col("checks") > 0) & (pl.col("state") != "unknown"))
    days = day_spans(hourly(ticks.sample(fraction=1, shuffle=True, seed=3)))
    joined = merged(days.sort(*SERIES, "since"), SERIES).filter(pl.col("state") != "unknown")
    columns = [*SERIES, "state", "since", "until", "checks"]
    assert joined.select(columns).rows() == whole.select(columns).rows()
    assert days.filter(pl.col("until") > pl.col("at") + timedelta(days=1)).is_empty()


@given(slots.map(lambda some: [slot for slot in some if slot.site == 1]))
@settings(max_examples=60, deadline=None)
def test_the_judge_says_at_each_tick_what_the_spans_say_later(some: list[Slot]) -> None:
    history = History(some, [Edit(1, region, -3600.0, True) for region in (1, 2, 3)], [], 0.0, float(END_S))
    site = Watched(regions={n: Standing() for n in (1, 2, 3)}, settle_s=dict.fromkeys((1, 2, 3), 0.0))
    outcomes = {"up": Outcome.OK, "degraded": Outcome.SLOW, "down": Outcome.TIMEOUT, "unknown": Outcome.LATE}
    told = {}
    for slot in sorted(some, key=lambda slot: slot.at):
        tick = Tick(1, slot.region, time(slot.at), 0, None, outcomes[slot.state], True, int(slot.interval_s), 1, "t")
        judge({1: site}, [tick], now=tick.scheduled_at)
        told[slot.at] = site.state.value
    found = sites_of(history)
    for at, state in told.items():
        assert [span.state for span in found if span.since <= at < span.until] == [state]


@given(st.lists(st.sampled_from([State.UP, State.DEGRADED, State.DOWN, State.UNKNOWN]), max_size=7))
def test_counts_and_votes_make_the_same_verdict(votes: list[State]) -> None:
    known = len(votes) - votes.count(State.UNKNOWN)
    found = decided(known, votes.count(State.DOWN), votes.count(State.DEGRADED), len(votes))
    assert verdict(dict(enumerate(votes))) is found
    assert not votes or found == oracle.verdict([str(vote) for vote in votes])


@pytest.mark.parametrize(
    ("quorum", "state"), [(None, State.DEGRADED), (1, State.DOWN), (2, State.DOWN), (3, State.DEGRADED)]
)
def test_a_quorum_of_their_own_is_what_it_takes(quorum: int | None, state: State) -> None:
    assert decided(5, 2, 0, 5, quorum) is state


def three(*slots: Slot, suspect: Sequence[Period] = (), extra: Sequence[Edit] = ()) -> list[Span]:
    return sites_of(History(slots, [*(Edit(1, n, 0.0, True) for n in (1, 2, 3)), *extra], list(suspect), 0.0, 600.0))


def told(found: list[Span]) -> list[tuple[str, float, float]]:
    return [(span.state, span.since, span.until) for span in found]


UP = [Slot(1, region, 0.0, "up", 600) for region in (1, 2, 3)]


def test_a_site_is_down_from_its_second_region_on_and_not_longer_than_two_say_so() -> None:
    found = three(*UP, Slot(1, 1, 60, "down", 600), Slot(1, 2, 70, "down", 600), Slot(1, 1, 120, "up", 600))
    assert told(found) == [("up", 0, 60), ("degraded", 60, 70), ("down", 70, 120), ("degraded", 120, 600)]
    down = found[2]
    assert (down.down, down.known, down.regions) == (2, 3, 3)
    assert (down.began_after, down.ended_after) == (0, 60)  # the edges of the regions that flipped


def test_a_suspect_region_has_no_say_so_that_the_others_decide() -> None:
    downs = [Slot(1, 1, 60, "down", 600), Slot(1, 2, 70, "down", 600)]
    assert told(three(*UP, *downs))[-1] == ("down", 70, 600)
    spoiled = three(*UP, *downs, suspect=[Period(None, 2, 65, 300)])
    assert told(spoiled) == [("up", 0, 60), ("degraded", 60, 300), ("down", 300, 600)]
    assert spoiled[2].began_after is None  # unknown came before it


def test_a_region_that_is_not_called_for_has_no_vote() -> None:
    found = three(*UP, Slot(1, 1, 60, "down", 600), extra=[Edit(1, 2, 100, False), Edit(1, 3, 100, False)])
    assert told(found) == [("up", 0, 60), ("degraded", 60, 100), ("down", 100, 600)]
    assert [span.regions for span in found] == [3, 3, 1]


def test_what_nobody_told_of_is_unknown_and_maintenance_and_pauses_lie_over_it() -> None:
    called = pl.DataFrame([(1, 1, time(0), time(300))], schema=PERIOD_TYPES, orient="row")
    types = pl.Schema({"site_id": pl.Int32(), "since": TIME, "until": TIME})
    repaired = pl.DataFrame([(1, time(100), time(200))], schema=types, orient="row")
    asleep = pl.DataFrame([(1, time(300), time(400))], schema=types, orient="row")
    stored = voted(regions_of(History([Slot(1, 1, 0, "down", 75)], [Edit(1, 1, 0, True)], [], 0, 300)))
    found = plain(overlaid(stored.filter(pl.col("state") != "unknown"), called, repaired, asleep))
    assert told(found) == [
        ("down", 0, 100),
        ("maintenance", 100, 200),
        ("unknown", 200, 300),
        ("paused", 300, 400),
    ]
    assert [span.known for span in found] == [1, None, 0, None]
    assert found[0].ended_after is None


def test_intervals_that_overlap_or_touch_are_one() -> None:
    some = [
        (1, 1, time(0), time(10)),
        (1, 1, time(5), time(20)),
        (1, 1, time(20), time(30)),
        (1, 1, time(40), time(50)),
    ]
    found = united(pl.DataFrame(some, schema=PERIOD_TYPES, orient="row"), SERIES)
    assert [(seconds(row[2]), seconds(row[3])) for row in found.rows()] == [(0, 30), (40, 50)]


def test_layers_say_which_row_holds() -> None:
    types = pl.Schema({"site_id": pl.Int32(), "since": TIME, "until": TIME})
    one = pl.DataFrame([(1, time(0), time(10)), (2, time(0), time(5))], schema=types, orient="row")
    other = pl.DataFrame([(1, time(5), time(20))], schema=types, orient="row")
    rows = layered({"one": one, "other": other}, SITE).rows()
    assert [(row[0], seconds(row[1]), seconds(row[2]), *row[3:]) for row in rows] == [
        (1, 0, 5, 0, None),
        (1, 5, 10, 0, 0),
        (1, 10, 20, None, 0),
        (2, 0, 5, 1, None),
    ]


def test_a_change_out_of_unknown_has_no_edge_and_one_between_two_slots_has_both() -> None:
    frame = spans(ticks_of([Slot(1, 1, 0, "up"), Slot(1, 1, 60, "down"), Slot(1, 1, 600, "up")]).select(TYPES.names()))
    edges = [
        (state, seconds(began), seconds(ended))
        for state, began, ended in frame.select("state", "began_after", "ended_after").rows()
    ]
    assert edges == [("up", None, 0), ("down", 0, 60), ("unknown", 60, None), ("up", None, None)]
