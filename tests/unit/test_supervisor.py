"""What the supervisor decides, without a process: pure functions over a clock that the tests hold."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from workers.lifecycle import Stop
from workers.scaling import Served
from workers.supervisor import DRAIN_S, HEALTHY_S, ROLES, Action, Child, RegionWatch, desired, step, stop_order

EU = Served("eu", 1)
WANTED = desired([EU])
RUNNING = {name: Child(started_at=0.0) for name in WANTED}


def test_it_wants_every_role_and_as_many_probers_as_a_region_was_given() -> None:
    assert desired([EU, Served("us", 2)]) == {role: (role,) for role in ROLES} | {
        "prober eu 1": ("prober", "--region", "eu"),
        "prober us 1": ("prober", "--region", "us"),
        "prober us 2": ("prober", "--region", "us"),
    }
    assert list(desired([EU], roles=())) == ["prober eu 1"]


def test_it_lets_the_last_prober_go_when_a_region_needs_fewer() -> None:
    running = RUNNING | {"prober eu 2": Child(started_at=0.0)}
    assert step(1.0, WANTED, running) == [Action("tell", "prober eu 2")]


def test_it_starts_what_is_missing_and_leaves_what_runs_alone() -> None:
    assert step(0.0, WANTED, {}) == [Action("start", name) for name in WANTED]
    assert step(1.0, WANTED, RUNNING) == []


def test_it_starts_the_prober_of_a_new_region_only() -> None:
    wanted = desired([EU, Served("asia", 1)])
    assert step(1.0, wanted, RUNNING) == [Action("start", "prober asia 1")]


def test_it_tells_the_prober_of_a_deleted_region_once_and_kills_it_after_its_time_to_drain() -> None:
    wanted = desired([])
    assert step(5.0, wanted, RUNNING) == [Action("tell", "prober eu 1")]
    told = RUNNING | {"prober eu 1": RUNNING["prober eu 1"].told(5.0)}
    assert step(5.0 + DRAIN_S - 0.1, wanted, told) == []
    assert step(5.0 + DRAIN_S, wanted, told) == [Action("kill", "prober eu 1")]
    gone = told | {"prober eu 1": told["prober eu 1"].exited(7.0)}
    assert step(7.0, wanted, gone) == [Action("forget", "prober eu 1")]


def test_it_starts_a_prober_again_at_once_when_its_region_returns_while_it_drains() -> None:
    draining = RUNNING | {"prober eu 1": RUNNING["prober eu 1"].told(5.0)}
    assert step(6.0, WANTED, draining) == []
    gone = draining | {"prober eu 1": draining["prober eu 1"].exited(7.0)}
    assert step(7.0, WANTED, gone) == [Action("start", "prober eu 1")]


def test_it_waits_twice_as_long_after_each_failure_in_a_row() -> None:
    child = Child(started_at=0.0)
    waits = []
    now = 0.0
    for _ in range(9):
        child = child.exited(now)
        waits.append(child.retry_s)
        assert step(now + child.retry_s - 0.01, {"app": ("app",)}, {"app": child}) == []
        now += child.retry_s
        assert step(now, {"app": ("app",)}, {"app": child}) == [Action("start", "app")]
        child = child.started(now)
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_one_that_somebody_kills_is_back_within_three_seconds_however_often() -> None:
    child, waits = Child(started_at=0.0), []
    for _ in range(6):
        child = child.exited(0.0, -9)
        waits.append(child.retry_s)
    assert waits == [0.5, 1.0, 2.0, 2.0, 2.0, 2.0]


def test_it_forgets_failures_after_a_healthy_while() -> None:
    child = Child(started_at=0.0, failures=7).exited(HEALTHY_S)
    assert child.retry_s == 0.5


def test_a_role_that_fails_for_a_year_still_has_a_finite_wait() -> None:
    assert Child(started_at=0.0, failures=1_000_000).exited(0.0).retry_s == 30.0


def test_it_stops_who_asks_before_who_answers_within_the_time_that_the_servers_leave() -> None:
    groups = stop_order(["pusher", "recorder", "roller", "app", "prober eu 1", "prober us 2"])
    assert [names for names, _ in groups] == [
        ["app"],
        ["pusher"],
        ["prober eu 1", "prober us 2"],
        ["recorder", "roller"],
    ]
    assert sum(seconds for _, seconds in groups) <= 6.5


class Flaky:
    """Reads regions as scripted, fails where the script says so, and stops the watch at its end."""

    def __init__(self, *script: Sequence[Served] | Exception) -> None:
        self._script = list(script)
        self.watch = RegionWatch(self)

    def __call__(self) -> Sequence[Served]:
        answer = self._script.pop(0)
        if not self._script:
            self.watch.stop()
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_it_keeps_the_last_known_regions_while_they_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("workers.supervisor.REGIONS_EVERY_S", 0.0)
    flaky = Flaky([EU], ConnectionError("away"), ConnectionError("still away"))
    flaky.watch._run()
    assert flaky.watch.latest == [EU]
    assert [getattr(record, "action", None) for record in caplog.records] == ["regions_unreadable"]


def test_a_stop_that_is_set_wakes_everybody_who_waits() -> None:
    stop = Stop()
    assert not stop.wait(0.0)
    stop.set()
    assert stop
    assert stop.wait(10.0)
    assert stop.wait()
