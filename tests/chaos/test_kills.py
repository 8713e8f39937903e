"""Roles are killed at their worst moments; every slot still has its tick, once, and nothing stays behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from redis import Redis

from pipeline.declared import RegionIn
from pipeline.store.regions import create_region
from pipeline.vocabulary import STATE_OF, Outcome, State
from tests.harness import Fleet, Target, add_sites, audit, count, eventually, fresh_database, now, rows_of, writing
from workers import streams
from workers.embedded import Servers


@pytest.fixture
def target() -> Iterator[Target]:
    with Target() as target:
        yield target


@pytest.fixture
def fleet(servers: Servers, template: str, redis_url: str) -> Iterator[Fleet]:
    """A fresh database with one region, and no role yet."""
    with fresh_database(servers, template) as dsn, Fleet(dsn, redis_url) as fleet:
        with writing(dsn) as connection:
            create_region(connection, RegionIn(key="eu"), now=now(), actor="test")
        yield fleet


def balanced(fleet: Fleet, *, seconds: float = 30.0) -> datetime:
    """Wait until every slot up to now has its tick and nothing is left pending; returns until when."""
    since: datetime = rows_of(fleet.dsn, "select min(effective_at) from revisions")[0][0]  # type: ignore[assignment]
    until = now()
    eventually(lambda: audit(fleet.dsn, since, until).missing == 0, seconds=seconds, what="a tick for every slot")
    assert audit(fleet.dsn, since, until).ghosts == 0
    return until


def nothing_left(fleet: Fleet) -> None:
    """With the pusher gone, the streams run empty and no entry stays pending."""
    client = Redis.from_url(fleet.redis_url, **streams.options())
    for key, group in ((streams.checks("eu"), streams.PROBERS), (streams.ticks("eu"), streams.RECORDERS)):
        eventually(lambda key=key: client.xlen(key) == 0, seconds=30, what=f"an empty {key}")  # type: ignore[misc] # bound
        assert streams.depth(client, key, group).pending == 0
    assert client.xlen(streams.dead("eu")) == 0
    client.close()


def nothing_invented(fleet: Fleet) -> None:
    """The target was well all the time: most slots say so, none says that it was down."""
    since: datetime = rows_of(fleet.dsn, "select min(effective_at) from revisions")[0][0]  # type: ignore[assignment]
    found = audit(fleet.dsn, since, now()).by_outcome
    assert not [outcome for outcome in found if STATE_OF[Outcome(outcome)] is State.DOWN], found
    assert found["ok"] > 0


@pytest.mark.parametrize("point", ["prober: before probe", "prober: before hand-over"])
def test_a_prober_killed_in_mid_batch_with_300_due_checks(fleet: Fleet, target: Target, point: str) -> None:
    add_sites(fleet.dsn, [f"{target.url}/{n}" for n in range(300)], interval_s=10)
    fleet.start("pusher")
    fleet.start("recorder")
    doomed = fleet.start("prober", "--region", "eu", BETTERSTACK_KILL_AT=point)
    assert doomed.wait(timeout=20) == -signal.SIGKILL
    fleet.running.remove(doomed)
    fleet.start("prober", "--region", "eu")
    balanced(fleet)
    fleet.stop(fleet.running[0])
    nothing_left(fleet)
    nothing_invented(fleet)


def test_a_second_prober_claims_what_a_killed_one_held(fleet: Fleet, target: Target) -> None:
    add_sites(fleet.dsn, [f"{target.url}/{n}" for n in range(300)], interval_s=10)
    first = fleet.start("prober", "--region", "eu")
    fleet.start("prober", "--region", "eu")
    fleet.start("recorder")
    pusher = fleet.start("pusher")
    eventually(lambda: count(fleet.dsn, "select count(*) from ticks") > 50)
    assert fleet.stop(first, signal.SIGKILL) == -signal.SIGKILL
    balanced(fleet)
    fleet.stop(pusher)
    nothing_left(fleet)
    nothing_invented(fleet)


@pytest.mark.parametrize("point", ["recorder: before commit", "recorder: after commit"])
def test_a_recorder_killed_around_its_commit(fleet: Fleet, target: Target, point: str) -> None:
    add_sites(fleet.dsn, [f"{target.url}/{n}" for n in range(100)], interval_s=2)
    pusher = fleet.start("pusher")
    fleet.start("prober", "--region", "eu")
    doomed = fleet.start("recorder", BETTERSTACK_KILL_AT=point)
    assert doomed.wait(timeout=20) == -signal.SIGKILL
    fleet.running.remove(doomed)
    recorder = fleet.start("recorder")
    balanced(fleet)
    nothing_invented(fleet)
    fleet.stop(pusher)
    nothing_left(fleet)
    assert recorder.poll() is None


def test_two_pushers_at_once_and_the_leader_killed(fleet: Fleet, target: Target) -> None:
    add_sites(fleet.dsn, [f"{target.url}/{n}" for n in range(100)], interval_s=2)
    fleet.start("prober", "--region", "eu")
    fleet.start("recorder")
    leader, other = fleet.start("pusher"), fleet.start("pusher")
    eventually(lambda: count(fleet.dsn, "select count(*) from ticks") > 200)
    name = str(rows_of(fleet.dsn, "select leader from pusher")[0][0])
    if name.endswith(f"-{other.pid}"):
        leader, other = other, leader
    assert name.endswith(f"-{leader.pid}")
    fleet.stop(leader, signal.SIGKILL)
    killed_at = now()
    eventually(lambda: str(rows_of(fleet.dsn, "select leader from pusher")[0][0]).endswith(f"-{other.pid}"), seconds=5)
    eventually(
        lambda: count(fleet.dsn, "select count(*) from ticks where scheduled_at > %s", killed_at + timedelta(seconds=4))
    )
    balanced(fleet)
    fleet.stop(other)
    nothing_left(fleet)
    nothing_invented(fleet)


def test_a_pusher_killed_before_its_commit_repeats_and_loses_nothing(fleet: Fleet, target: Target) -> None:
    add_sites(fleet.dsn, [f"{target.url}/{n}" for n in range(50)], interval_s=2)
    fleet.start("prober", "--region", "eu")
    fleet.start("recorder")
    doomed = fleet.start("pusher", BETTERSTACK_KILL_AT="pusher: before commit")
    assert doomed.wait(timeout=20) == -signal.SIGKILL
    fleet.running.remove(doomed)
    pusher = fleet.start("pusher")
    eventually(lambda: count(fleet.dsn, "select count(*) from ticks") > 100)
    balanced(fleet)
    fleet.stop(pusher)
    nothing_left(fleet)
    nothing_invented(fleet)
