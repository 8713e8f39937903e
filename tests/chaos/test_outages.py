"""Servers go away and targets hang; checks go on, nothing is lost, nothing is invented."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from redis import Redis

from pipeline.declared import RegionIn
from pipeline.store.engine import migrate
from pipeline.store.regions import create_region, delete_region
from pipeline.vocabulary import OUTCOME_CODES, STATE_OF, Outcome, State
from tests.harness import Fleet, Target, add_sites, audit, count, eventually, now, rows_of, writing
from workers import embedded, streams
from workers.embedded import Servers

AWAY_S = float(os.environ.get("CHAOS_AWAY_S", "12"))  # the 60 s: CHAOS_AWAY_S=60
INTERVAL_S = 2


@pytest.fixture
def own_servers(tmp_path: Path) -> Iterator[Servers]:
    """Servers that only this test stops."""
    with embedded.running(tmp_path / "data") as servers:
        migrate(servers.database_url)
        yield servers


@pytest.fixture
def fleet(own_servers: Servers) -> Iterator[Fleet]:
    """Every role that a check passes, with one region."""
    with writing(own_servers.database_url) as connection:
        create_region(connection, RegionIn(key="eu"), now=now(), actor="test")
    with Fleet(own_servers.database_url, own_servers.redis_url) as fleet:
        for role in (("pusher",), ("recorder",), ("roller",), ("prober", "--region", "eu")):
            fleet.start(*role)
        eventually(lambda: count(fleet.dsn, "select count(*) from workers where role = 'prober'") == 1)
        yield fleet


def first_slot(fleet: Fleet) -> datetime:
    found = rows_of(fleet.dsn, "select min(effective_at) from revisions")[0][0]
    assert isinstance(found, datetime)
    return found


def revive(servers: Servers) -> None:
    eventually(servers.revive, seconds=10, what="the server's new start")


def test_postgres_away_loses_no_slot_and_invents_no_outage(fleet: Fleet, own_servers: Servers) -> None:
    with Target() as target:
        add_sites(fleet.dsn, [f"{target.url}/{n}" for n in range(50)], interval_s=INTERVAL_S)
        eventually(lambda: count(fleet.dsn, "select count(*) from ticks") > 50)
        own_servers.postgres.stop(patience_s=10)
        probed = target.requests
        time.sleep(AWAY_S)  # the fault itself
        assert target.requests - probed > 50 * AWAY_S / INTERVAL_S / 2, "checks went on"
        revive(own_servers)
        back = time.monotonic()
        client: Redis = Redis.from_url(fleet.redis_url, **streams.options())
        eventually(lambda: _answers(fleet) and client.xlen(streams.ticks("eu")) < 100, seconds=30, what="no backlog")
        backlog_gone_s = time.monotonic() - back
        client.close()
        until = now()
        eventually(lambda: audit(fleet.dsn, first_slot(fleet), until).missing == 0, what="every slot's tick")
        found = audit(fleet.dsn, first_slot(fleet), until)
    print(f"backlog gone {backlog_gone_s:.1f} s after Postgres came back; {found}")
    assert found.ghosts == 0
    assert not [outcome for outcome in found.by_outcome if STATE_OF[Outcome(outcome)] is State.DOWN]
    assert count(fleet.dsn, "select count(*) from transitions where to_state = 'down'") == 0
    assert all(process.poll() is None for process in fleet.running), "nobody crashed"


def _answers(fleet: Fleet) -> bool:
    try:
        return count(fleet.dsn, "select 1") == 1
    except psycopg.OperationalError:
        return False


def test_valkey_killed_and_back_invents_no_outage_and_goes_on(fleet: Fleet, own_servers: Servers) -> None:
    with Target() as target:
        add_sites(fleet.dsn, [f"{target.url}/{n}" for n in range(50)], interval_s=INTERVAL_S)
        eventually(lambda: count(fleet.dsn, "select count(*) from ticks") > 50)
        os.kill(own_servers.valkey.pid, 9)
        revive(own_servers)
        back = now()
        fresh = "select count(*) from ticks where scheduled_at > %s and outcome = 0"
        eventually(lambda: count(fleet.dsn, fresh, back + timedelta(seconds=INTERVAL_S)) > 50, what="checks again")
        until = now() - timedelta(seconds=5)
        eventually(
            lambda: audit(fleet.dsn, first_slot(fleet), until).missing == 0, seconds=30, what="every slot's tick"
        )
        found = audit(fleet.dsn, first_slot(fleet), until)
    assert not [outcome for outcome in found.by_outcome if STATE_OF[Outcome(outcome)] is State.DOWN], found


def test_streams_that_vanish_are_made_again(fleet: Fleet) -> None:
    with Target() as target:
        add_sites(fleet.dsn, [f"{target.url}/{n}" for n in range(20)], interval_s=INTERVAL_S)
        eventually(lambda: count(fleet.dsn, "select count(*) from ticks") > 20)
        client: Redis = Redis.from_url(fleet.redis_url, **streams.options())
        client.flushall()
        client.close()
        gone = now()
        fresh = "select count(*) from ticks where scheduled_at > %s and outcome = 0"
        eventually(lambda: count(fleet.dsn, fresh, gone + timedelta(seconds=3)) > 20, what="checks again")
        assert count(fleet.dsn, "select count(*) from transitions where to_state = 'down'") == 0


def test_a_redis_that_is_full_for_a_while_costs_no_slot(fleet: Fleet) -> None:
    client: Redis = Redis.from_url(fleet.redis_url, **streams.options())
    with Target() as target:
        add_sites(fleet.dsn, [f"{target.url}/{n}" for n in range(20)], interval_s=INTERVAL_S)
        eventually(lambda: count(fleet.dsn, "select count(*) from ticks") > 20)
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", client.info("memory")["used_memory"] // 2)
        full = now()
        time.sleep(AWAY_S)  # the fault itself
        client.config_set("maxmemory", 0)
        fresh = "select count(*) from ticks where scheduled_at > %s and outcome = 0"
        eventually(lambda: count(fleet.dsn, fresh, full + timedelta(seconds=AWAY_S)) > 20, what="checks again")
        until = now() - timedelta(seconds=2 * INTERVAL_S)
        eventually(lambda: audit(fleet.dsn, first_slot(fleet), until).missing == 0, what="every slot's tick")
        found = audit(fleet.dsn, first_slot(fleet), until)
    client.close()
    assert found.ghosts == 0
    assert not [outcome for outcome in found.by_outcome if STATE_OF[Outcome(outcome)] is State.DOWN], found


def test_a_check_under_way_when_its_region_is_removed_has_a_tick(fleet: Fleet) -> None:
    with writing(fleet.dsn) as connection:
        create_region(connection, RegionIn(key="us"), now=now(), actor="test")
    with Target() as target:
        add_sites(fleet.dsn, [f"{target.url}/hang"], interval_s=60, timeout_s=30, confirmations=0)
        client: Redis = Redis.from_url(fleet.redis_url, **streams.options())
        eventually(lambda: client.xlen(streams.checks("eu")) == 1, what="the check is with the prober")
        with writing(fleet.dsn) as connection:
            delete_region(connection, "eu", now=now(), actor="test")
        fleet.stop(fleet.running[-1])
        client.close()
        (since,) = rows_of(fleet.dsn, "select min(effective_at) from revisions where region_id = 1")[0]
        query = "select detail from ticks where region_id = 1 and scheduled_at = %s"
        eventually(lambda: rows_of(fleet.dsn, query, since), seconds=30, what="its tick")
        assert rows_of(fleet.dsn, query, since) == [("its region was removed before this check was done",)]


def test_two_of_a_hundred_that_hang_do_not_hold_up_the_others(fleet: Fleet) -> None:
    with Target() as target:
        urls = [f"{target.url}/{n}" for n in range(98)] + [f"{target.url}/hang/{n}" for n in range(2)]
        add_sites(fleet.dsn, urls, interval_s=3, timeout_s=2, confirmations=0)
        timed_out = OUTCOME_CODES[Outcome.TIMEOUT]
        hung = "select count(*) from ticks where outcome = %s"
        eventually(lambda: count(fleet.dsn, hung, timed_out) >= 6, seconds=40, what="time-outs")
        until = now() - timedelta(seconds=4)
        eventually(lambda: audit(fleet.dsn, first_slot(fleet), until).missing == 0, what="every slot's tick")
    others = "from ticks join sites on sites.id = site_id where url not like '%%/hang/%%'"
    assert count(fleet.dsn, f"select count(*) {others} and outcome <> 0") == 0
    late = f"select count(*) {others} and started_at - scheduled_at > interval '3 seconds'"
    assert count(fleet.dsn, late) == 0, "the others keep their slots"
    latencies = rows_of(fleet.dsn, "select latency_ms from ticks where outcome = %s", timed_out)
    assert all(1_800 <= float(str(value)) <= 2_200 for (value,) in latencies), latencies
