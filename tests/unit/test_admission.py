"""What a region's stream may make the recorder believe, and what not: the stream is written by whoever joined."""

from __future__ import annotations

import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, cast

import msgspec
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from pipeline.schedule import slots
from pipeline.vocabulary import Kind, Outcome, Revision, Tick
from workers.admission import ENTRY_LIMIT, FIRST, LAST, Admission, opened, refuse_foreign, refuse_unlikely
from workers.streams import About, Entry, size_of
from workers.wire import UnreadableError

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
REVISION = Revision(7, 1, 2, AT, True, 30)
TICK = Tick(1, 2, AT, 0, AT + SECOND, Outcome.OK, True, 30, 7, "eu-1a2b3c")
SECOND_SLOT = next(slot.scheduled_at for slot in slots([REVISION], AT + SECOND, AT + 60 * SECOND))


def entry_of(tick: Tick, **overwritten: Any) -> Entry:
    """An entry with fields that our own types would not let us write, by their positions (`_4`)."""
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(tick))
    for name, value in overwritten.items():
        fields[int(name.removeprefix("_"))] = value
    return Entry(b"1-1", {b"1": msgspec.msgpack.encode(fields)})


def read(tick: Tick, **overwritten: Any) -> Tick:
    entry = entry_of(tick, **overwritten)
    return opened(entry, size_of(entry))


class Books:
    """A Postgres that knows one revision, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    def execute(self, _query: str, parameters: list[list[int]]) -> Books:
        self.asked.append(sorted(parameters[0]))
        return self

    def fetchall(self) -> list[tuple[int, int, int, int, datetime]]:
        row = (REVISION.id, REVISION.site_id, REVISION.region_id, REVISION.interval_s, REVISION.effective_at)
        return [row] if REVISION.id in self.asked[-1] else []


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def admission(books: Books) -> Admission:
    admission = Admission()
    admission.learn(cast("psycopg.Connection", books), [7])
    return admission


@pytest.mark.parametrize("zone_min", [-14 * 60, -1, 1, 23 * 60 + 59])
def test_times_are_in_utc_whatever_zone_they_came_in(zone_min: int) -> None:
    there = AT.astimezone(timezone(timedelta(minutes=zone_min)))
    tick = read(TICK, _2=there.isoformat(), _4=there.isoformat())
    assert (tick.scheduled_at, tick.started_at) == (AT, AT)
    assert (tick.scheduled_at.tzinfo, tick.started_at and tick.started_at.tzinfo) == (UTC, UTC)
    assert tick.scheduled_at.date() == AT.date()


@pytest.mark.parametrize("edge", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_a_zone_that_carries_a_time_over_the_calendars_end_stops_nothing(edge: str, admission: Admission) -> None:
    assert admission.admit(read(TICK, _4=edge)).started_at is None
    with pytest.raises(UnreadableError, match="broken clock"):
        refuse_unlikely(read(TICK, _2=edge), AT)
    expires = read(structs.replace(TICK, expires_at=AT), _21=edge).expires_at
    assert expires is not None
    assert FIRST <= expires <= LAST


@pytest.mark.parametrize("interval_s", [2**31 - 1, 86_401, 0, -1])
def test_no_interval_is_longer_than_a_site_may_have(interval_s: int) -> None:
    with pytest.raises(UnreadableError, match="int"):
        read(TICK, _7=interval_s)


def test_no_more_attempts_than_a_site_may_have() -> None:
    with pytest.raises(UnreadableError, match="int"):
        read(TICK, _3=6)


def test_the_interval_is_what_the_schedule_says(admission: Admission) -> None:
    assert admission.admit(structs.replace(TICK, interval_s=86_400)) == TICK


def test_every_slot_of_a_revision_is_let_in_and_nothing_between(admission: Admission) -> None:
    called = [slot.scheduled_at for slot in slots([REVISION], AT, AT + timedelta(days=1))]
    assert len(called) > 2_000
    for at in called:
        tick = structs.replace(TICK, scheduled_at=at, started_at=None)
        assert admission.admit(tick) is tick
    for off in (AT - SECOND, AT + timedelta(microseconds=1), SECOND_SLOT + SECOND):
        with pytest.raises(UnreadableError, match="calls for no check at"):
            admission.admit(structs.replace(TICK, scheduled_at=off))


@given(after_us=st.integers(0, 10**13))
def test_a_slot_is_one_to_the_microsecond(after_us: int) -> None:
    known = Admission()
    known.learn(cast("psycopg.Connection", Books()), [7])
    at = AT + timedelta(microseconds=after_us)
    expected = any(True for _ in slots([REVISION], at, at + timedelta(microseconds=1)))
    tick = structs.replace(TICK, scheduled_at=at, started_at=None)
    if expected:
        assert known.admit(tick) is tick
    else:
        with pytest.raises(UnreadableError):
            known.admit(tick)


def test_a_manual_check_is_due_when_somebody_asked(admission: Admission) -> None:
    asked = structs.replace(TICK, scheduled_at=AT + 7 * SECOND, started_at=None, kind=Kind.MANUAL)
    assert admission.admit(asked) is asked


@pytest.mark.parametrize("change", [{"revision": 8}, {"site_id": 9}, {"region_id": 3}])
def test_a_series_that_no_revision_calls_for_is_refused(admission: Admission, change: dict[str, int]) -> None:
    with pytest.raises(UnreadableError, match="calls for no check of site"):
        admission.admit(structs.replace(TICK, **change))


def test_a_revision_is_looked_up_once_and_one_that_is_not_there_again(books: Books, admission: Admission) -> None:
    connection = cast("psycopg.Connection", books)
    admission.learn(connection, [7, 7])
    admission.learn(connection, [7, 8])
    admission.learn(connection, [8])
    assert books.asked == [[7], [8], [8]]
    admission.forget()
    admission.learn(connection, [7])
    assert books.asked[-1] == [7]


@pytest.mark.parametrize(
    ("after", "kept"),
    [(-61 * SECOND, False), (-60 * SECOND, True), (timedelta(days=1), True), (timedelta(days=1) + SECOND, False)],
)
def test_a_start_that_cannot_be_is_left_out(
    admission: Admission, caplog: pytest.LogCaptureFixture, after: timedelta, kept: bool
) -> None:
    found = [admission.admit(structs.replace(TICK, started_at=AT + after)) for _ in range(3)]
    assert {tick.started_at for tick in found} == {AT + after if kept else None}
    admission.say()
    admission.say()
    assert len(caplog.records) == (0 if kept else 1), "said once for all of them"


def test_texts_are_cut_where_nobody_would_read_on() -> None:
    tick = read(structs.replace(TICK, prober="p" * 5_000, ip="1" * 5_000, detail="d" * 5_000))
    assert (len(tick.prober), len(tick.ip or ""), len(tick.detail or "")) == (100, 100, 1_000)
    assert tick.detail is not None
    assert tick.detail.endswith("d…")
    sound = structs.replace(TICK, detail="für alle: ✓")
    assert read(sound) == sound


def test_an_entry_larger_than_any_tick_is_not_even_read() -> None:
    huge = Entry(b"1-1", {b"1": b"x" * ENTRY_LIMIT, b"y": b""})
    tracemalloc.start()
    with pytest.raises(UnreadableError, match="larger than any tick"):
        opened(huge, size_of(huge))
    assert tracemalloc.get_traced_memory()[1] < ENTRY_LIMIT
    tracemalloc.stop()


def test_one_region_does_not_speak_for_another() -> None:
    with pytest.raises(UnreadableError, match="came in the stream of 'us'"):
        refuse_foreign("us", {3}, TICK)
    refuse_foreign("eu", {2}, TICK)


def test_a_prober_whose_clock_is_ahead_is_early_and_still_there() -> None:
    """What is bounded for strangers must not hide our own: a check taken 0.4 ms before its time is late by -0.4."""
    said = {"pid": 1, "host": "h", "started_at": AT, "lateness_p50_ms": -0.4, "busy_s": 10, "probe_s": None}
    assert msgspec.json.decode(msgspec.json.encode(said), type=About).lateness_p50_ms == -0.4
