"""A prober's pace, on a clock that the tests hold."""

from __future__ import annotations

from workers.pace import AHEAD_S, BUSY_FOR_S, LEAST_HELD, WINDOW_S, Lateness, Pace


def test_lateness_is_that_of_the_last_ten_seconds() -> None:
    pace = Pace(10)
    for _ in range(100):
        pace.started(0.0, 1_000.0)
    for number in range(100):
        pace.started(WINDOW_S, float(number))
    assert pace.lateness(WINDOW_S).p99_ms == 1_000.0
    assert pace.lateness(WINDOW_S + 1) == Lateness(50.0, 95.0, 99.0)
    assert pace.lateness(WINDOW_S * 3) == Lateness()


def test_a_check_that_came_too_late_counts_as_late_and_not_as_probed() -> None:
    pace = Pace(10)
    pace.gave_up(0.0, 6_000.0)
    assert (pace.late, pace.probed, pace.probe_s) == (1, 0, None)
    assert pace.lateness(0.0).p95_ms == 6_000.0


def test_it_holds_what_it_can_start_before_its_time_and_leaves_the_rest_to_others() -> None:
    pace = Pace(32)
    for _ in range(200):
        pace.ended(0.4)
    assert pace.probe_s == 0.4
    assert pace.room(4_000) == 32 + int(32 / 0.4 * AHEAD_S)


def test_fast_probes_are_bound_by_the_limit_and_slow_ones_leave_some_room() -> None:
    fast, slow = Pace(500), Pace(1)
    fast.ended(0.001)
    slow.ended(30.0)
    assert fast.room(4_000) == 4_000
    assert slow.room(4_000) == LEAST_HELD


def test_a_busy_prober_takes_little_more_than_it_can_start_and_an_idle_one_whatever_comes() -> None:
    pace = Pace(32)
    pace.ended(0.4)  # 80 a second
    assert pace.allowance(0.0, probing=32, queued=0) == 0
    taken = 0
    for step in range(1, 101):
        if allowed := pace.allowance(step / 50, probing=32, queued=0):
            pace.took(allowed)
            taken += allowed
    assert 190 <= taken <= 200
    assert pace.allowance(2.0, probing=0, queued=0) < 20  # busy lately, so the next second's checks are shared, too
    assert [pace.allowance(2.0 + BUSY_FOR_S, probing=10, queued=0) for _ in range(3)] == [20, 20, 20]


def test_a_prober_that_is_behind_keeps_a_few_checks_at_hand_and_leaves_the_rest_to_others() -> None:
    pace = Pace(32)
    pace.ended(0.4)
    assert [pace.allowance(1.0, probing=32, queued=queued) for queued in (1, 7, 8, 30)] == [7, 1, 0, 0]
    pace.took(20)
    assert pace.allowance(1.0, probing=32, queued=1) == 0  # and those come at its own pace, too
