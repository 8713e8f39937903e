"""Well is: tables of this version, and a fresh sign of life from everybody who is needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.checkup import Disk, Vitals, checkup
from pipeline.health import FRESH, STARTING, Grade, Health, health, unreachable
from pipeline.store.fleet import Backlog, WorkerSeen
from pipeline.vocabulary import Region

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
EU, US, THEIRS = Region(1, "eu", "Europe"), Region(2, "us", "America"), Region(3, "lab", "A lab", managed=False)
MOMENT = timedelta(milliseconds=1)


def seen(role: str, ago: timedelta = timedelta(0), region_id: int | None = None) -> WorkerSeen:
    return WorkerSeen(f"{role}-{region_id}-{ago}", role, "host", 1, NOW - ago, NOW - ago, region_id)


ALL = [seen("recorder"), seen("roller"), seen("prober", region_id=1), seen("prober", region_id=2)]


def judged(
    workers: list[WorkerSeen] = ALL,
    *,
    beat: datetime | None = NOW,
    regions: tuple[Region, ...] = (EU, US, THEIRS),
    migrated: bool = True,
) -> Health:
    return health(NOW, beat, workers, regions, migrated)


def wrong(found: Health) -> list[str]:
    assert found.ok == all(part.ok for part in found.parts)
    return [part.name for part in found.parts if not part.ok]


def test_it_is_well_when_everybody_was_seen_just_now() -> None:
    assert judged().ok
    assert [part.name for part in judged().parts] == [
        "tables",
        "pusher",
        "recorder",
        "roller",
        "prober eu",
        "prober us",
    ]


@pytest.mark.parametrize("role", ["recorder", "roller"])
def test_a_role_that_was_never_seen_is_named(role: str) -> None:
    assert wrong(judged([worker for worker in ALL if worker.role != role])) == [role]


def test_the_pusher_is_judged_by_its_beat() -> None:
    assert wrong(judged(beat=None)) == ["pusher"]
    assert wrong(judged(beat=NOW - FRESH)) == []
    assert wrong(judged(beat=NOW - FRESH - MOMENT)) == ["pusher"]


def test_each_managed_region_needs_a_prober_of_its_own() -> None:
    assert wrong(judged([*ALL[:2], seen("prober", region_id=2)])) == ["prober eu"]
    assert wrong(judged([*ALL[:2], seen("recorder", region_id=1), seen("prober", region_id=2)])) == ["prober eu"]


def test_a_region_that_others_run_and_a_workbench_without_regions_need_none() -> None:
    assert judged(ALL[:2], regions=(THEIRS,)).ok
    assert judged(ALL[:2], regions=()).ok


def test_the_newest_of_several_signs_counts() -> None:
    old = [seen(role, timedelta(minutes=5), region_id) for role, region_id in (("recorder", None), ("prober", 1))]
    assert judged([*old, *ALL, *old]).ok


def test_a_worker_whose_clock_is_ahead_is_alive() -> None:
    assert judged([seen("recorder", -timedelta(seconds=30)), *ALL[1:]]).ok


def test_a_message_says_how_long_and_what_to_do() -> None:
    [part] = [part for part in judged([seen("recorder", timedelta(seconds=75)), *ALL[1:]]).parts if not part.ok]
    assert "75 s" in part.message
    assert "betterstack up" in part.todo[0]


def test_tables_of_another_version_are_all_that_is_said() -> None:
    assert wrong(judged(migrated=False)) == ["tables"]
    assert len(judged(migrated=False).parts) == 1


def test_without_postgres_it_is_not_well() -> None:
    assert wrong(unreachable("start it")) == ["postgres"]


def test_a_new_regions_prober_is_given_the_time_to_start() -> None:
    def founded(ago: timedelta) -> Region:
        return Region(9, "new", "New", created_at=NOW - ago)

    young = judged(regions=(EU, US, founded(STARTING)))
    assert young.ok
    assert young.parts[-1].message == "starting"
    assert wrong(judged(regions=(EU, US, founded(STARTING + MOMENT)))) == ["prober new"]


# --- checkup: what a person should know beyond that -------------------------------------------------------------------


def vitals(**facts: Any) -> Vitals:
    """Everything well, except as said."""
    supervisor = seen("supervisor")
    supervisor.detail["probers"] = {"eu": 1, "us": 1}
    usual: dict[str, Any] = {
        "at": NOW,
        "postgres": "PostgreSQL 18",
        "answered_ms": 0.5,
        "started_at": NOW - timedelta(hours=1),
        "clock_ahead_s": 0.0,
        "schema": "0003",
        "migrated": True,
        "pusher_beat": NOW,
        "pushed_until": NOW + timedelta(seconds=2),
        "workers": [*ALL, supervisor],
        "regions": [EU, US],
        "backlogs": [Backlog(1, NOW, 0, 0, 0.0, 0.0, 0), Backlog(2, NOW, 0, 0, 0.0, 0.0, 0)],
        "partitions": [NOW.date(), NOW.date() + timedelta(days=1)],
    }
    return Vitals(**usual | facts)


def graded(found: Health) -> dict[str, Grade]:
    return {part.name: part.grade for part in found.parts if part.grade is not Grade.WELL}


def prober(region_id: int, **detail: float) -> WorkerSeen:
    return WorkerSeen(f"p{region_id}{detail}", "prober", "host", 1, NOW, NOW, region_id, detail)


def test_a_checkup_of_a_well_house_names_every_part_and_asks_for_nothing() -> None:
    found = checkup(vitals(), Disk("/data", 9, 10))
    assert (found.ok, found.grade, graded(found)) == (True, Grade.WELL, {})
    assert not any(part.todo for part in found.parts)
    assert all(part.means for part in found.parts)
    kinds = {part.name.split()[0] for part in found.parts}
    assert kinds >= {"postgres", "tables", "pusher", "supervisor", "prober", "backlog", "lateness", "clocks", "disk"}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"workers": ALL}, {"supervisor": Grade.LOOK}),
        ({"workers": [seen("supervisor"), *ALL[:3]]}, {"prober us": Grade.UNWELL}),
        ({"pushed_until": NOW - timedelta(seconds=20)}, {"pusher": Grade.LOOK}),
        ({"arrears": {1: NOW - timedelta(minutes=1)}}, {"pusher": Grade.LOOK}),
        ({"backlogs": [Backlog(1, NOW, 9, 0, 6.9, 0.0, 0)]}, {}),  # two seconds ahead of their time is as it should be
        ({"backlogs": [Backlog(1, NOW, 9, 0, 7.0, 0.0, 0)]}, {"backlog": Grade.LOOK}),
        ({"backlogs": [Backlog(1, NOW, 9, 0, 62.0, 0.0, 0)]}, {"backlog": Grade.UNWELL}),
        ({"backlogs": [Backlog(1, NOW, 0, 0, 0.0, 0.0, 100_000)]}, {"backlog": Grade.UNWELL}),
        ({"backlogs": [Backlog(1, NOW - FRESH - MOMENT, 0, 0, 0.0, 0.0, 0)]}, {"backlog": Grade.LOOK}),
        ({"workers": [*ALL, seen("supervisor"), prober(1, lateness_p95_ms=500.0)]}, {"lateness": Grade.LOOK}),
        ({"workers": [*ALL, seen("supervisor"), prober(2, lateness_p95_ms=5e3)]}, {"lateness": Grade.UNWELL}),
        ({"partitions": [NOW.date()]}, {"partitions": Grade.LOOK}),
        ({"partitions": []}, {"partitions": Grade.UNWELL}),
        ({"rolled_from": NOW - timedelta(hours=1)}, {}),  # it ended just now
        ({"rolled_from": NOW - timedelta(hours=2)}, {"rollups": Grade.LOOK}),
        ({"clock_ahead_s": -1.5}, {"clocks": Grade.LOOK}),
        ({"clock_ahead_s": 6.0}, {"clocks": Grade.UNWELL}),
        ({"clock_ahead_s": 2.0, "answered_ms": 5_000.0}, {}),  # a slow answer tells nothing of the clock
        ({"migrated": False, "schema": "0009"}, {"tables": Grade.UNWELL}),
    ],
)
def test_each_part_is_graded_and_says_what_to_do(facts: dict[str, Any], expected: dict[str, Grade]) -> None:
    found = checkup(vitals(**facts))
    assert graded(found) == expected
    assert all(part.todo for part in found.parts if part.grade is not Grade.WELL)
    assert found.ok == (Grade.UNWELL not in expected.values())


def test_what_probers_elsewhere_miss_is_worth_a_look_and_never_unwell() -> None:
    late = Backlog(3, NOW, 500, 0, 3_600.0, 0.0, 0)
    found = checkup(vitals(regions=[EU, THEIRS], backlogs=[late]))
    assert graded(found) == {"prober lab": Grade.LOOK, "backlog": Grade.LOOK}
    assert any("betterstack region join-command lab" in step for part in found.parts for step in part.todo)


def test_a_region_with_fewer_probers_than_decided_is_worth_a_look() -> None:
    supervisor = seen("supervisor")
    supervisor.detail["probers"] = {"eu": 2, "us": 1}
    found = checkup(vitals(workers=[*ALL, supervisor]))
    assert graded(found) == {"prober eu": Grade.LOOK}
    assert "1 of 2" in next(part.message for part in found.parts if part.name == "prober eu")


def test_unreadable_checks_are_counted_as_dead_letters() -> None:
    recorder = seen("recorder")
    recorder.detail["outcomes"] = {"eu": {"ok": 9, "poison": 2}}
    assert graded(checkup(vitals(workers=[*ALL, seen("supervisor"), recorder]))) == {"dead letters": Grade.LOOK}


@pytest.mark.parametrize(
    ("free", "grade"), [(200, None), (5, Grade.LOOK), (1, Grade.UNWELL)], ids=["much", "little", "none"]
)
def test_a_disk_that_fills_is_told_before_it_is_full(free: int, grade: Grade | None) -> None:
    found = checkup(vitals(), Disk("/data", free * 2**30, 200 * 2**30 if free == 200 else 100 * 2**30))
    assert graded(found).get("disk") == grade


def test_tables_may_be_newer_too() -> None:
    [part] = judged(migrated=False).parts
    assert "another version" in part.message
    assert any("Upgrade" in step for step in part.todo)


def test_a_prober_more_than_decided_is_one_that_ends_or_was_killed_a_moment_ago() -> None:
    supervisor = seen("supervisor")
    supervisor.detail["probers"] = {"eu": 1, "us": 1}
    found = checkup(vitals(workers=[*ALL, supervisor, prober(1)]))
    assert graded(found) == {}
    said = next(part.message for part in found.parts if part.name == "prober eu")
    assert said == "alive, 1 of 1 running, and 1 that is ending or gone"


# --- alive is not enough ----------------------------------------------------------------------------------------------


def waiting(oldest_tick_s: float, region_id: int = 1, ago: timedelta = timedelta(0)) -> Backlog:
    return Backlog(region_id, NOW - ago, 0, 0, 0.0, 0.0, 9, oldest_tick_s=oldest_tick_s)


@pytest.mark.parametrize(
    ("oldest_s", "grade"), [(9.9, Grade.WELL), (10.0, Grade.LOOK), (59.9, Grade.LOOK), (60.0, Grade.UNWELL)]
)
def test_a_recorder_that_records_nothing_is_not_well(oldest_s: float, grade: Grade) -> None:
    found = health(NOW, NOW, ALL, (EU, US), True, [waiting(0.0, 2), waiting(oldest_s)])
    assert found.grade is grade
    assert found.ok == (grade is not Grade.UNWELL)
    backlogs = [waiting(0.0, 2), waiting(oldest_s)]
    assert graded(checkup(vitals(backlogs=backlogs))).get("recorder", Grade.WELL) is grade, "Health says the same"


def test_what_waited_before_the_last_census_says_nothing_of_now() -> None:
    assert health(NOW, NOW, ALL, (EU, US), True, [waiting(600.0, ago=FRESH + MOMENT)]).grade is Grade.WELL


def test_sites_without_any_region_are_unwell_and_paused_ones_are_not() -> None:
    here = vitals(regions=[], backlogs=[], sites=3)
    assert graded(checkup(here)) == {"regions": Grade.UNWELL}
    assert not health(NOW, NOW, ALL, (), True, unwatched=3).ok
    assert checkup(vitals(regions=[], backlogs=[], sites=0)).ok
    assert checkup(vitals(sites=3)).ok


def test_letters_that_are_kept_aside_are_told_by_their_number() -> None:
    kept = Backlog(1, NOW, 0, 0, 0.0, 0.0, 0, dead_letters=5)
    found = checkup(vitals(backlogs=[kept, Backlog(2, NOW, 0, 0, 0.0, 0.0, 0)]))
    assert graded(found) == {"dead letters": Grade.LOOK}
    assert next(part.message for part in found.parts if part.name == "dead letters") == "5 in eu"
