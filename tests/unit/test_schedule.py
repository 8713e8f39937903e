"""Any pusher computes the same slots, whatever it was told when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from pipeline.schedule import Plan, phase_us, slots
from pipeline.vocabulary import Revision

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def revision(number: int, effective_s: float, interval_s: int = 10, *, active: bool = True, site: int = 1) -> Revision:
    return Revision(number, site, 1, at(effective_s), active, interval_s)


def test_a_new_site_is_checked_at_once_and_then_on_its_grid() -> None:
    found = [s.scheduled_at for s in slots([revision(1, 3.25)], at(0), at(40))]
    assert found[0] == at(3.25)
    grid = found[1:]
    assert all(b - a == timedelta(seconds=10) for a, b in pairwise(grid))
    assert len(grid) in (3, 4)


def test_a_pause_ends_the_slots_and_a_resume_starts_them_at_once() -> None:
    history = [revision(1, 0), revision(2, 20, active=False), revision(3, 50)]
    found = [s.scheduled_at for s in slots(history, at(0), at(60))]
    assert not [t for t in found if at(20) <= t < at(50)]
    assert at(50) in found


def test_the_phase_never_changes_between_versions() -> None:
    # A different hash would move every slot of every site; these values are part of the format.
    assert [phase_us(s, 1, 30) for s in (1, 2, 3)] == [25_222_000, 13_882_000, 16_088_000]


edits = st.lists(
    st.tuples(
        st.integers(1, 3),  # site
        st.integers(0, 120),  # effective at, seconds
        st.sampled_from([1, 2, 7, 30]),
        st.booleans(),
    ),
    max_size=12,
)


@given(edits=edits, beats=st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_a_plan_taken_beat_by_beat_equals_the_pure_schedule(
    edits: list[tuple[int, int, int, bool]], beats: list[int]
) -> None:
    """Edits become known at any beat up to the one that they take effect in, as the store guarantees."""
    edits.sort(key=lambda e: e[1])
    revisions = [Revision(n, s, 1, at(e), active, i) for n, (s, e, i, active) in enumerate(edits, 1)]
    plan, known, now, taken = Plan(), 0, 0, []
    for beat in beats:
        until = now + beat
        news = [r for r in revisions[known:] if r.effective_at < at(until)]
        known += len(news)
        plan.learn(news, at(now))
        taken += plan.take(at(until))
        now = until
    expected = sorted((s.scheduled_at, s.revision.id) for s in slots(revisions, at(0), at(now)))
    assert sorted((s.scheduled_at, s.revision.id) for s in taken) == expected


@given(edits=edits, joins=st.integers(0, 100))
def test_a_second_pusher_that_joins_late_computes_the_same_slots(
    edits: list[tuple[int, int, int, bool]], joins: int
) -> None:
    edits.sort(key=lambda e: e[1])
    revisions = [Revision(n, s, 1, at(e), active, i) for n, (s, e, i, active) in enumerate(edits, 1)]
    first, second = Plan(), Plan()
    first.learn(revisions, at(0))
    first.take(at(joins))
    second.learn(revisions, at(joins))
    assert second.take(at(140)) == first.take(at(140))
