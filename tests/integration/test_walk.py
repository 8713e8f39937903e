"""The walk of one check: real processes, real servers, a real target."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from pipeline.declared import RegionIn, SiteIn
from pipeline.store.regions import create_region, delete_region
from pipeline.store.sites import create_site, delete_sites, request_check
from tests.harness import Fleet, Target, add_sites, audit, count, eventually, now, rows_of, writing
from workers import streams


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with Target() as target:
        yield target


@pytest.fixture(scope="module")
def fleet(dsn: str, module_redis_url: str) -> Iterator[Fleet]:
    """Pusher, recorder and a prober for each of two regions."""
    with writing(dsn) as connection:
        for key in ("eu", "us"):
            create_region(connection, RegionIn(key=key), now=now(), actor="test")
    with Fleet(dsn, module_redis_url) as fleet:
        for role in (("pusher",), ("recorder",), ("prober", "--region", "eu"), ("prober", "--region", "us")):
            fleet.start(*role)
        eventually(
            lambda: count(dsn, "select count(distinct region_id) from workers where role = 'prober'") == 2,
            what="both probers",
        )
        yield fleet


def test_a_site_saved_has_its_first_tick_from_both_regions_within_five_seconds(fleet: Fleet, target: Target) -> None:
    began = now()
    add_sites(fleet.dsn, [f"{target.url}/first"], interval_s=2)
    query = "select count(distinct region_id) from slot_ticks join sites on id = site_id where url like '%%/first'"
    eventually(lambda: count(fleet.dsn, query) == 2, seconds=5, what="a tick from each region")
    phases = rows_of(fleet.dsn, "select connect_ms, ttfb_ms, latency_ms, status from ticks where outcome = 0 limit 1")
    assert all(value is not None for value in phases[0])
    eventually(lambda: rows_of(fleet.dsn, "select state from verdicts")[0] == ("up",))
    assert (now() - began).total_seconds() < 15


def test_a_failing_site_is_confirmed_and_then_down_with_one_transition(fleet: Fleet, target: Target) -> None:
    with writing(fleet.dsn) as connection:
        site = create_site(
            connection,
            SiteIn(key="failing", url=f"{target.url}/down", interval_s=2, confirmations=1, spacing_s=0.2),
            now=now(),
            actor="test",
        )
    eventually(lambda: rows_of(fleet.dsn, "select state from verdicts where site_id = %s", site.id) == [("down",)])
    attempts = rows_of(fleet.dsn, "select attempt, final from ticks where site_id = %s order by attempt", site.id)
    assert {(0, False), (1, True)} == set(attempts)
    changes = rows_of(fleet.dsn, "select from_state, to_state from transitions where site_id = %s", site.id)
    assert changes[-1][1] == "down"
    assert [to for _, to in changes].count("down") == 1
    seen = "select attempt, seen ->> 'phase', seen ->> 'status_line' from snapshots where site_id = %s"
    found = rows_of(fleet.dsn, f"select distinct * from ({seen}) s", site.id)
    assert found == [(0, "answer", "HTTP/1.1 503 Unavailable")], "once a region, not with each failure"
    assert count(fleet.dsn, "select count(*) from snapshots where site_id = %s", site.id) == 2


def test_a_check_asked_for_is_made_at_once_and_is_no_part_of_uptime(fleet: Fleet, target: Target) -> None:
    add_sites(fleet.dsn, [f"{target.url}/asked"], interval_s=60, key_prefix="asked")
    with writing(fleet.dsn) as connection:
        assert request_check(connection, "asked0", now=now(), actor="test") == 2
    eventually(lambda: count(fleet.dsn, "select count(*) from ticks where kind = 1") == 2, seconds=5)


def test_a_region_added_while_running_has_its_first_tick_within_ten_seconds(fleet: Fleet, target: Target) -> None:
    add_sites(fleet.dsn, [f"{target.url}/there"], interval_s=2, key_prefix="there")
    with writing(fleet.dsn) as connection:
        region = create_region(connection, RegionIn(key="ap"), now=now(), actor="test")
    fleet.start("prober", "--region", "ap")
    query = "select count(*) from ticks where region_id = %s"
    eventually(lambda: count(fleet.dsn, query, region.id) > 0, seconds=10, what="the new region's tick")
    with writing(fleet.dsn) as connection:
        delete_region(connection, "ap", now=now(), actor="test")
    client = Redis.from_url(fleet.redis_url, **streams.options())
    keys = streams.checks("ap"), streams.ticks("ap")
    eventually(lambda: not client.exists(*keys), seconds=30, what="the end of the region's streams")
    client.close()
    assert count(fleet.dsn, query, region.id) > 0, "history is kept"
    assert not rows_of(fleet.dsn, "select 1 from series where region_id = %s", region.id)
    assert all(process.poll() is None for process in fleet.running), "nobody crashed"


def test_a_site_deleted_with_checks_in_flight_leaves_no_trace_but_its_history(fleet: Fleet, target: Target) -> None:
    add_sites(fleet.dsn, [f"{target.url}/gone/{n}" for n in range(50)], interval_s=1, tags=["gone"], key_prefix="gone")
    keys = [f"gone{n}" for n in range(50)]
    query = "select count(*) from ticks join sites on sites.id = site_id where 'gone' = any(tags)"
    eventually(lambda: count(fleet.dsn, query) >= 100)
    with writing(fleet.dsn) as connection:
        delete_sites(connection, keys, now=now(), actor="test")
    client = Redis.from_url(fleet.redis_url, **streams.options())
    eventually(lambda: client.xlen(streams.checks("eu")) <= 4)
    client.close()
    open_series = "select count(*) from series join sites on sites.id = site_id where 'gone' = any(tags)"
    assert count(fleet.dsn, open_series) == 0
    assert count(fleet.dsn, query) >= 100
    assert all(process.poll() is None for process in fleet.running), "nobody crashed"


def test_every_slot_has_its_tick_and_no_tick_is_without_a_slot(fleet: Fleet) -> None:
    since = rows_of(fleet.dsn, "select min(effective_at) from revisions")[0][0]
    until = now()

    def complete() -> bool:
        found = audit(fleet.dsn, since, until)  # type: ignore[arg-type] # a timestamptz
        return found.missing == 0 and found.ghosts == 0

    eventually(complete, seconds=15, what="a balanced ledger")
