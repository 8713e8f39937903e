"""The autoscaler on figures that the tests make up: pure functions over a clock that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.store.beats import Decision
from workers.autoscaler import APART, CALM, STALE, Bounds, Load, Need, arrivals_per_s, decide, need
from workers.scaling import Memory

T0 = datetime(2026, 11, 24, tzinfo=UTC)
BOUNDS = Bounds(1, 3)
EU = 1


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def load(
    seconds: float, added: float, *, probe_s: float | None = 0.4, late_ms: float | None = 1.0, overdue_s: float = 0.0
) -> Load:
    return Load(at(seconds), int(added), probe_s, 32, late_ms, overdue_s)


def steady(per_s: float, *, seconds: int = 8, **figures: Any) -> list[Load]:
    return [load(second, per_s * second, **figures) for second in range(seconds)]


def needs(*counts: int, start: float = 0.0) -> list[Need]:
    return [Need(at(start + second), count, "so it is", {}) for second, count in enumerate(counts)]


def decided(seconds: float, running: int, asked: Sequence[Need], last_at: datetime | None = None) -> Decision | None:
    return decide(at(seconds), EU, running, BOUNDS, asked, last_at)


def test_a_load_asks_for_as_many_probers_as_keep_a_fifth_of_their_slots_free() -> None:
    found = need(steady(60), 1)
    assert found is not None
    assert found.probers == 1  # 24 in flight of 25.6
    found = need(steady(200), 1)
    assert found is not None
    assert found.probers == 4  # 80 in flight
    assert "200 checks/s of 400 ms keep 80 probes in flight" in found.why


@pytest.mark.parametrize("figures", [{"late_ms": 501.0}, {"overdue_s": 1.1}])
def test_checks_that_start_late_ask_for_one_more_where_probes_are_many_or_it_lasts(figures: dict[str, Any]) -> None:
    crowded, burst = need(steady(100, **figures), 2), need(steady(10, **figures), 2)
    lasting = need(steady(10, seconds=16, **figures), 2)
    assert crowded is not None
    assert burst is not None
    assert lasting is not None
    assert [crowded.probers, burst.probers, lasting.probers] == [3, 1, 3]


def test_one_good_second_is_no_end_of_being_late() -> None:
    loads = [load(n, 3_000 * n, late_ms=10.0 if n == 4 else 900.0, probe_s=0.02) for n in range(16)]
    found = need([each._replace(in_flight_limit=500) for each in loads], 1)
    assert found is not None
    assert found.probers == 2, "60 of 500 are in flight, so it is not their number: the prober is short of time"


def test_a_clock_that_was_set_back_is_believed() -> None:
    memory = Memory(1, at(3_600))
    for each in [load(3_600 + n, n) for n in range(8)] + steady(200, late_ms=900.0):
        memory.take_in(each)
    assert decide(at(7), EU, 1, BOUNDS, list(memory.needs), memory.decided_at) is not None


def test_a_little_late_asks_for_nothing() -> None:
    on_time = need(steady(100, late_ms=499.0, overdue_s=0.9), 2)
    assert on_time is not None
    assert on_time.probers == 2


def test_nothing_is_asked_before_a_prober_has_told_what_it_can() -> None:
    assert need([Load(at(0), 0, None, 0, None, 0.0)], 1) is None


def test_the_rate_needs_a_few_seconds_and_survives_a_stream_that_began_anew() -> None:
    assert arrivals_per_s(steady(50, seconds=2)) is None
    assert arrivals_per_s(steady(50)) == 50
    assert arrivals_per_s([*steady(50), load(9, 0)]) is None


def test_more_probers_come_in_one_decision_up_to_the_most() -> None:
    assert decided(1, 1, needs(2, 4)) is None  # a load that rises is not judged half-way
    found = decided(2, 1, needs(2, 4, 4))
    assert found is not None
    assert (found.before, found.after) == (1, 3)
    assert "3 is the most it may have" in found.reason


def test_a_region_is_left_alone_for_half_a_minute_after_a_decision() -> None:
    just_before, long_before = at(3) - APART, at(2) - APART
    assert decided(2, 1, needs(3, 3, 3), just_before) is None
    assert decided(2, 1, needs(3, 3, 3), long_before) is not None


def test_fewer_probers_need_a_minute_in_which_no_more_were_needed() -> None:
    minute = int(CALM.total_seconds())
    calm = needs(*[1] * (minute + 1))
    assert decided(minute - 10, 3, calm[: minute - 10]) is None
    found = decided(minute, 3, calm)
    assert found is not None
    assert (found.before, found.after) == (3, 1)
    assert decided(minute, 3, [*needs(3), *calm[1:]]) is None
    assert decided(minute, 3, calm, last_at=at(10)) is None  # the minute begins at a decision


def test_a_load_that_fell_in_steps_is_answered_by_one_decision() -> None:
    minute = int(CALM.total_seconds())
    falling = needs(*[3] * 3, *[2] * 4, *[1] * 66)
    assert decided(minute + 5, 3, [each for each in falling if at(5) <= each.at <= at(minute + 5)]) is None
    found = decided(minute + 9, 3, [each for each in falling if at(9) <= each.at <= at(minute + 9)])
    assert found is not None
    assert (found.before, found.after) == (3, 1)


def test_old_figures_decide_nothing() -> None:
    assert decided(STALE.total_seconds() + 3, 1, needs(3, 3, 3)) is None
    assert decided(0, 1, []) is None


@pytest.mark.parametrize(("running", "after"), [(5, 3), (0, 1)])
def test_new_bounds_hold_at_once(running: int, after: int) -> None:
    found = decided(0, running, [], last_at=at(0))
    assert found is not None
    assert found.after == after


def test_a_memory_keeps_a_minute_and_takes_no_figure_twice() -> None:
    memory = Memory(1, None)
    for second in range(200):
        memory.take_in(load(second, second * 10))
        memory.take_in(load(second, second * 10))
    assert len(memory.loads) <= 17
    assert len(memory.needs) == CALM.total_seconds() + 1
