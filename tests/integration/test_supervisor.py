"""The supervisor as a role: real probers that come, go and are replaced, and a decision for each change of bounds."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta

import pytest

from pipeline.declared import RegionIn
from pipeline.store.regions import create_region, delete_region, update_region
from tests.harness import Fleet, Target, add_sites, audit, eventually, now, rows_of, writing


@pytest.fixture
def fleet(dsn: str, redis_url: str) -> Iterator[Fleet]:
    with Fleet(dsn, redis_url) as fleet:
        for role in ("pusher", "recorder", "supervisor"):
            fleet.start(role)
        yield fleet


def pids(dsn: str, region: str) -> set[int]:
    """Of the region's probers that have a lease; the census looks once a second."""
    query = (
        "select pid from workers w join regions r on r.id = w.region_id"
        " where w.role = 'prober' and r.key = %s and w.seen_at > now() - interval '3 s'"
    )
    return {int(str(pid)) for (pid,) in rows_of(dsn, query, region)}


def test_probers_come_with_their_region_are_replaced_and_scale_within_its_bounds(fleet: Fleet) -> None:
    dsn = fleet.dsn
    with writing(dsn) as connection:
        create_region(connection, RegionIn(key="eu"), now=now(), actor="test")
        create_region(connection, RegionIn(key="us"), now=now(), actor="test")
    [first] = eventually(lambda: pids(dsn, "eu"), seconds=10, what="a new region's prober")
    eventually(lambda: pids(dsn, "us"), seconds=10, what="the other's")
    with Target() as target:
        add_sites(dsn, [f"{target.url}/{n}" for n in range(10)], interval_s=1, confirmations=0)
        began = now() + timedelta(seconds=2)

        os.kill(first, signal.SIGKILL)
        eventually(lambda: pids(dsn, "eu") - {first}, seconds=10, what="a replacement")

        with writing(dsn) as connection:
            update_region(connection, "eu", {"min_probers": 3}, now=now(), actor="test")
        eventually(lambda: len(pids(dsn, "eu")) == 3, seconds=15, what="three probers")
        with writing(dsn) as connection:
            update_region(connection, "eu", {"min_probers": 1, "max_probers": 1}, now=now(), actor="test")
        eventually(lambda: len(pids(dsn, "eu")) == 1, seconds=20, what="one prober")
        decisions = rows_of(dsn, "select before, after, reason from decisions order by id")
        assert decisions == [
            (1, 3, "the region may have 3 to 4 probers"),
            (3, 1, "the region may have 1 to 1 probers"),
        ]

        with writing(dsn) as connection:
            delete_region(connection, "us", now=now(), actor="test")
        [gone] = rows_of(dsn, "select pid from workers w join regions r on r.id = w.region_id where r.key = 'us'")
        eventually(lambda: not _lives(int(str(gone[0]))), seconds=15, what="the end of the removed region's prober")

        until = now() - timedelta(seconds=1)
        eventually(lambda: audit(dsn, began, until).missing == 0 or None, seconds=20, what="every slot's tick")
        assert set(audit(dsn, began, until).by_outcome) == {"ok"}  # whoever was let go gave back what it held


def test_a_second_supervisor_stands_by_until_the_first_one_is_gone(fleet: Fleet) -> None:
    dsn = fleet.dsn
    with writing(dsn) as connection:
        create_region(connection, RegionIn(key="asia"), now=now(), actor="test")
    eventually(lambda: pids(dsn, "asia"), seconds=10, what="a prober")
    fleet.start("supervisor")
    first = fleet.running[2]
    eventually(lambda: rows_of(dsn, "select from pg_stat_activity where application_name = 'supervisor' offset 1"))
    before = pids(dsn, "asia")
    assert len(before) == 1
    fleet.stop(first)
    eventually(lambda: pids(dsn, "asia") - before, seconds=15, what="the second one's prober")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
