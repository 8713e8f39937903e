"""What a beat sends: due checks as checks, missed ones as unknown with their reason, nothing for whom is gone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipeline.schedule import Slot
from pipeline.vocabulary import Kind, Outcome, Region, Revision, Source, Spec
from workers.due import step
from workers.wire import unpack_check, unpack_tick

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EU = Region(1, "eu", "Europe")
REVISION = Revision(7, 1, 1, NOW - timedelta(days=1), True, 10, Spec("https://example.org/"))


def slot(ago_s: float) -> Slot:
    return Slot(NOW - timedelta(seconds=ago_s), REVISION)


def test_a_due_slot_is_a_check_with_its_spec_and_the_leaders_epoch() -> None:
    push = step([slot(-1)], {1: EU}, now=NOW, epoch=3)
    [entry] = push.entries["checks:{eu}"]
    check = unpack_check(entry)
    assert (check.spec, check.epoch, check.revision, check.kind) == (REVISION.spec, 3, 7, Kind.SCHEDULED)


def test_a_slot_that_nobody_pushed_in_time_is_unknown_and_says_why() -> None:
    push = step([slot(10.5)], {1: EU}, now=NOW, epoch=3)
    [entry] = push.entries["ticks:{eu}"]
    tick = unpack_tick(entry)
    assert (tick.outcome, tick.source, tick.final) == (Outcome.SCHEDULER_DOWN, Source.PUSHER, True)


def test_a_region_that_is_full_gets_no_more_and_its_slots_are_unknown() -> None:
    push = step([slot(0)], {1: EU}, now=NOW, epoch=3, full=frozenset({"eu"}))
    assert unpack_tick(push.entries["ticks:{eu}"][0]).outcome is Outcome.WORKER_LOST


def test_a_region_that_is_gone_gets_nothing() -> None:
    assert step([slot(0)], {}, now=NOW, epoch=3).entries == {}
