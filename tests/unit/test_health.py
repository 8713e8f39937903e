"""Well is: tables of this version, and a fresh sign of life from everybody who is needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.health import FRESH, STARTING, Health, health, unreachable
from pipeline.store.fleet import WorkerSeen
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
    assert "betterstack up" in part.message


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
