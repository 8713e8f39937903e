"""The walk on a real Redis Cluster: three nodes, a region on each; slots that move, a node that is killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from redis.exceptions import ConnectionError  # noqa: A004 - redis's own

from pipeline.declared import RegionIn, SiteIn
from pipeline.schedule import slots
from pipeline.store.engine import plain_dsn
from pipeline.store.regions import create_region
from pipeline.store.schedule import revisions_until
from pipeline.store.sites import create_site, request_check
from pipeline.vocabulary import STATE_OF, Outcome, State
from tests import cluster as clusters
from tests.cluster import Cluster
from tests.harness import Fleet, Target, add_sites, audit, count, eventually, fresh_database, now, rows_of, writing
from workers import streams
from workers.cluster import NodeAwayError
from workers.embedded import Servers
from workers.pusher import Pusher
from workers.wire import unpack_check, unpack_tick

REGIONS = ("eu", "us", "ap")
INTERVAL_S = 2
SITES = 15
AWAY_S = 4  # two intervals


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with clusters.running(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with Target() as target:
        yield target


@pytest.fixture(scope="module")
def fleet(dsn: str, cluster: Cluster, target: Target) -> Iterator[Fleet]:
    """Pusher, recorder and a prober for each of three regions, with sites to watch."""
    with writing(dsn) as connection:
        for key in REGIONS:
            create_region(connection, RegionIn(key=key), now=now(), actor="test")
    with Fleet(dsn, cluster.url) as fleet:
        for role in (("pusher",), ("recorder",), *(("prober", "--region", key) for key in REGIONS)):
            fleet.start(*role)
        query = "select count(distinct region_id) from workers where role = 'prober'"
        eventually(lambda: count(dsn, query) == len(REGIONS), what="a prober in each region")
        add_sites(dsn, [f"{target.url}/{n}" for n in range(SITES)], interval_s=INTERVAL_S)
        yield fleet


def ticks_after(fleet: Fleet, region: str, at: datetime) -> int:
    """Good ones, of slots later than `at`."""
    query = (
        "select count(*) from slot_ticks join regions on regions.id = region_id"
        " where key = %s and scheduled_at > %s and outcome = 0"
    )
    return count(fleet.dsn, query, region, at)


def assert_balanced(fleet: Fleet, until: datetime) -> None:
    """Every slot has its tick, no tick is without a slot, and nothing of ours is called an outage."""
    first = rows_of(fleet.dsn, "select min(effective_at) from revisions")[0][0]
    assert isinstance(first, datetime)
    eventually(lambda: audit(fleet.dsn, first, until).missing == 0, what="every slot's tick")
    found = audit(fleet.dsn, first, until)
    assert found.ghosts == 0
    downs = (
        "select count(*) from ticks join sites on sites.id = site_id where url not like '%%/down' and outcome = any(%s)"
    )
    states = [number for number, outcome in enumerate(Outcome) if STATE_OF[outcome] is State.DOWN]
    assert count(fleet.dsn, downs, states) == 0
    assert all(process.poll() is None for process in fleet.running), "nobody crashed"


def test_regions_on_three_shards_walk_side_by_side(fleet: Fleet, cluster: Cluster, target: Target) -> None:
    owners = {cluster.owner(streams.checks(region)).address for region in REGIONS}
    assert len(owners) == len(REGIONS), "each region is on a shard of its own"
    with writing(fleet.dsn) as connection:
        failing = SiteIn(key="failing", url=f"{target.url}/down", interval_s=2, confirmations=1, spacing_s=0.2)
        site = create_site(connection, failing, now=now(), actor="test")
        assert request_check(connection, "s0", now=now(), actor="test") == len(REGIONS)
    began = now()
    for region in REGIONS:
        eventually(lambda key=region: ticks_after(fleet, key, began) > SITES, what=f"ticks of {region}")  # type: ignore[misc] # mypy cannot infer it
    eventually(lambda: rows_of(fleet.dsn, "select state from verdicts where site_id = %s", site.id) == [("down",)])
    eventually(lambda: count(fleet.dsn, "select count(*) from ticks where kind = 1") == len(REGIONS), what="a test now")
    assert_balanced(fleet, now() - timedelta(seconds=1))


def test_a_slot_that_moves_to_another_node_takes_its_region_along(fleet: Fleet, cluster: Cluster) -> None:
    moved = now()
    cluster.move(streams.checks("eu"), cluster.owner(streams.checks("us")))
    eventually(lambda: ticks_after(fleet, "eu", moved + timedelta(seconds=INTERVAL_S)) > SITES, what="checks again")
    assert_balanced(fleet, now() - timedelta(seconds=1))


def test_a_node_that_is_killed_stops_its_own_region_only_and_no_slot_is_lost(fleet: Fleet, cluster: Cluster) -> None:
    node = cluster.owner(streams.checks("ap"))  # the first one: the seed of our URL, and redis-py's default
    node.kill()
    killed = now()
    back = killed + timedelta(seconds=AWAY_S)
    eventually(lambda: now() > back, what="the end of the fault")
    for region in ("eu", "us"):
        eventually(lambda key=region: ticks_after(fleet, key, back) > 0, what=f"{region} while a node is away")  # type: ignore[misc] # see above
    node.start()
    eventually(lambda: ticks_after(fleet, "ap", back + timedelta(seconds=INTERVAL_S)) > SITES, what="its own region")
    assert_balanced(fleet, now() - timedelta(seconds=1))
    others = (
        "select count(*) from slot_ticks join regions on regions.id = region_id join sites on sites.id = site_id"
        " where regions.key <> 'ap' and url not like '%%/down' and scheduled_at between %s and %s and outcome <> 0"
    )
    assert count(fleet.dsn, others, killed, now()) == 0, "the others had no interruption"
    assert count(fleet.dsn, "select count(*) from arrears") == 0, "what was owed is paid"


def test_what_a_region_is_owed_outlives_the_pusher(servers: Servers, template: str, cluster: Cluster) -> None:
    with fresh_database(servers, template) as dsn, closing(streams.connect(cluster.url)) as client:
        with writing(dsn) as connection:
            create_region(connection, RegionIn(key="sa"), now=now(), actor="test")
        began, node = now(), cluster.owner(streams.checks("sa"))
        add_sites(dsn, [f"http://127.0.0.1:9/{n}" for n in range(3)], interval_s=1)
        first = Pusher(dsn, client, clock=now)
        first.beat()
        node.kill()
        eventually(lambda: _debts_after_a_beat(first, dsn) == 1, what="a debt")
        first.close()
        node.start()
        second = Pusher(dsn, client, clock=now)
        eventually(lambda: _debts_after_a_beat(second, dsn) == 0, what="its payment")
        second.close()
        with psycopg.connect(plain_dsn(dsn)) as connection:
            [(until,)] = connection.execute("select pushed_until from pusher").fetchall()
            wanted = {slot.scheduled_at for slot in slots(revisions_until(connection, [1, 2, 3], until), began, until)}
        server: Any = streams.at(client, streams.checks("sa"))
        checks = {unpack_check(fields).scheduled_at for _, fields in server.xrange(streams.checks("sa"))}
        ticks = {unpack_tick(fields).scheduled_at for _, fields in server.xrange(streams.ticks("sa"))}
        assert wanted == checks | ticks


def _debts_after_a_beat(pusher: Pusher, dsn: str) -> int:
    pusher.beat()
    return count(dsn, "select count(*) from arrears")


def test_what_is_away_says_so_and_is_used_again_when_it_is_back(cluster: Cluster, fleet: Fleet) -> None:
    node, other = cluster.owner(streams.checks("ap")), cluster.owner(streams.checks("us"))
    client = streams.connect(f"redis+cluster://{other.address}")
    with closing(client):
        assert client.ping()
        assert streams.exist(client, "ap")
        assert len(streams.leases(client, "ap")) == 1
        node.kill()
        for _ in range(50):
            with pytest.raises(NodeAwayError, match=str(node.address.port)):
                streams.length(client, streams.checks("ap"))
        assert streams.exist(client, "us")
        assert client.ping(), "the cluster is there"
        node.start()
        eventually(lambda: _reached(client, "ap"), what="the node")
    nobody = streams.connect("redis+cluster://127.0.0.1:1")
    with closing(nobody), pytest.raises(ConnectionError):
        nobody.ping()
    assert all(process.poll() is None for process in fleet.running), "nobody crashed"


def _reached(client: streams.Client, region: str) -> bool:
    try:
        return streams.exist(client, region)
    except NodeAwayError:
        return False
