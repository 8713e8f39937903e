"""A prober elsewhere: what it is given is all that it needs, and lets it do nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from pipeline.declared import RegionIn, SiteIn
from pipeline.ring import Ring
from pipeline.store.regions import create_region, delete_region, get_region
from pipeline.store.sites import create_site
from pipeline.vocabulary import Check, Outcome, Region, Spec, Tick
from tests import cluster
from tests.harness import Fleet, count, eventually, now, rows_of, writing
from tests.integration.elsewhere import Terminator, Visit, Wire, witness
from workers import access, streams
from workers.attempts import unprobed
from workers.courier import Courier, Done
from workers.doorkeeper import LOOK_EVERY, Doorkeeper
from workers.wire import pack

SECRET = "a-secret-key-that-is-long-enough-for-tests"
HEADER = "a-password-of-the-site"
REFUSED = (
    ("XRANGE", "ticks:{eu}", "-", "+"),
    ("XREAD", "STREAMS", "ticks:{eu}", "0"),
    ("XREADGROUP", "GROUP", "recorders", "me", "STREAMS", "ticks:{eu}", ">"),
    ("XINFO", "STREAM", "ticks:{eu}"),
    ("XDEL", "ticks:{eu}", "1-1"),
    ("XACK", "ticks:{eu}", "recorders", "1-1"),
    ("DEL", "ticks:{eu}"),
    ("DEL", "checks:{eu}"),
    ("XRANGE", "checks:{eu}", "-", "+"),
    ("XGROUP", "DESTROY", "checks:{eu}", "probers"),
    ("XRANGE", "dead:{eu}", "-", "+"),
    ("GET", "lease:{eu}:eu-1"),
    ("XADD", "checks:{us}", "*", "a", "b"),
    ("XADD", "ticks:{us}", "*", "a", "b"),
    ("XADD", "dead:{us}", "*", "a", "b"),
    ("XREADGROUP", "GROUP", "probers", "me", "STREAMS", "checks:{us}", ">"),
    ("XREADGROUP", "GROUP", "probers", "me", "STREAMS", "checks:{eu}", "checks:{us}", ">", ">"),
    ("XINFO", "CONSUMERS", "checks:{us}", "probers"),
    ("EXISTS", "checks:{us}"),
    ("SET", "lease:{us}:us-1", "x"),
    ("DEL", "lease:{us}:us-1"),
    ("GET", "anything"),
    ("SET", "anything", "x"),
    ("SET", "checks:{eu}", "x"),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("RANDOMKEY",),
    ("DBSIZE",),
    ("SELECT", "1"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "GET", "*"),
    ("INFO",),
    ("ACL", "LIST"),
    ("ACL", "SETUSER", "region-eu", "+@all"),
    ("CLIENT", "LIST"),
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("MONITOR",),
    ("EVAL", "return 1", "0"),
    ("FUNCTION", "LIST"),
    ("PUBLISH", "anything", "x"),
    ("SUBSCRIBE", "anything"),
    ("SHUTDOWN",),
)

Join = Callable[..., dict[str, str]]


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    wire = Wire(tmp_path_factory.mktemp("wire"))
    yield wire
    wire.close()


@pytest.fixture(scope="module")
def tls(wire: Wire, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminator]:
    with Terminator(wire.port, tmp_path_factory.mktemp("tls")) as tls:
        yield tls


@pytest.fixture(scope="module")
def fleet(dsn: str, wire: Wire) -> Iterator[Fleet]:
    """Pusher and recorder; the probers of `eu` and `us` are elsewhere, `here` would be ours."""
    with writing(dsn) as connection:
        for key in ("eu", "us", "here"):
            create_region(connection, RegionIn(key=key, managed=key == "here"), now=now(), actor="test")
    with Fleet(dsn, wire.url, BETTERSTACK_SECRET_KEY=SECRET) as fleet:
        fleet.start("pusher")
        fleet.start("recorder")
        yield fleet


@pytest.fixture(scope="module")
def target() -> Iterator[tuple[str, Callable[[str], list[Visit]]]]:
    with witness() as target:
        yield target


@pytest.fixture(scope="module")
def join(fleet: Fleet, tls: Terminator) -> Join:
    """What `betterstack region join-command` says of the environment there."""

    def join(region: str, *more: str) -> dict[str, str]:
        environment = {
            **os.environ,
            "BETTERSTACK_DATABASE_URL": fleet.dsn,
            "BETTERSTACK_REDIS_URL": fleet.redis_url,
            "BETTERSTACK_SECRET_KEY": SECRET,
            "BETTERSTACK_PUBLIC_REDIS_URL": tls.url,
        }
        command = [sys.executable, "-m", "workers.cli", "region", "join-command", region, "--json", *more]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        told: dict[str, str] = json.loads(done.stdout)["environment"]
        return {**told, "BETTERSTACK_REDIS_CA": str(tls.authority_file)}

    return join


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Callable[[str, dict[str, str]], Path]]:
    """Start a prober with nothing but the given environment, and leave to probe this machine; returns its log."""
    running: list[subprocess.Popen[bytes]] = []

    def start(region: str, environment: dict[str, str]) -> Path:
        log = tmp_path / f"prober-{len(running)}.log"
        command = [sys.executable, "-m", "workers.cli", "prober", "--region", region]
        with log.open("wb") as err:
            there = {**environment, "BETTERSTACK_PRIVATE_TARGETS": "allow"}
            running.append(subprocess.Popen(command, env=there, cwd=tmp_path, stderr=err))
        return log

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.wait(15)


def watched(fleet: Fleet, key: str, url: str, region: str = "eu", **more: object) -> int:
    """A site with a secret header, checked from one region each second; its id."""
    fields = {"key": key, "url": f"{url}/{key}", "interval_s": 1, "regions": [region], **more}
    with writing(fleet.dsn) as connection:
        site = SiteIn.model_validate(fields)
        return create_site(connection, site, now=now(), actor="test", ring=lambda: Ring([SECRET.encode()])).id


def ticks(fleet: Fleet, site: int, outcome: Outcome = Outcome.OK) -> int:
    query = "select count(*) from ticks where site_id = %s and outcome = %s"
    return count(fleet.dsn, query, site, list(Outcome).index(outcome))


def signed_in(environment: dict[str, str]) -> Redis:
    authority = environment["BETTERSTACK_REDIS_CA"]
    return Redis.from_url(environment["BETTERSTACK_REDIS_URL"], ssl_ca_certs=authority, **streams.options())


def connections(wire: Wire, user: str) -> int:
    return sum(client["user"] == user for client in wire.client.client_list())


def region(fleet: Fleet, key: str) -> Region:
    with writing(fleet.dsn) as connection:
        return get_region(connection, key)


def test_a_prober_with_redis_and_its_regions_key_alone_makes_its_regions_checks(
    fleet: Fleet,
    wire: Wire,
    join: Join,
    target: tuple[str, Callable[[str], list[Visit]]],
    elsewhere: Callable[[str, dict[str, str]], Path],
) -> None:
    url, visits = target
    environment = join("eu")
    assert sorted(environment) == ["BETTERSTACK_REDIS_CA", "BETTERSTACK_REDIS_URL", "BETTERSTACK_REGION_KEY"]
    elsewhere("eu", environment)
    site = watched(fleet, "sealed", url, headers={"X-Api-Key": HEADER})
    eventually(lambda: ticks(fleet, site) >= 3, what="ticks from elsewhere")
    assert visits("/sealed")[0].headers["x-api-key"] == HEADER
    written = wire.written()
    assert b"X-Api-Key" in written
    assert HEADER.encode() not in written, "a secret was in a stream"
    assert environment["BETTERSTACK_REGION_KEY"].encode() not in written
    said = "select detail ->> 'region_key' from workers where role = 'prober'"
    assert rows_of(fleet.dsn, said) == [("right",)]


def test_its_user_may_do_nothing_else(fleet: Fleet, wire: Wire, join: Join) -> None:
    environment = join("eu")
    eventually(lambda: "region-eu" in wire.client.acl_users(), what="the region's user")
    # Something is there in every place, so that a refusal is one and not an absence.
    wire.client.set("anything", "x")
    before = {key: wire.client.type(key) for key in wire.client.keys()}  # noqa: SIM118 - a command
    with signed_in(environment) as client:
        for command in REFUSED:
            with pytest.raises(NoPermissionError):
                client.execute_command(*command)
        in_a_transaction = client.pipeline(transaction=True).xadd("ticks:{us}", {"a": "b"})
        with pytest.raises(NoPermissionError):
            in_a_transaction.execute()
    assert not before.keys() - wire.client.keys()
    assert fleet.running
    wire.client.delete("anything")


def test_its_word_counts_for_its_own_region_only(fleet: Fleet, wire: Wire, join: Join) -> None:
    site = watched(fleet, "theirs", "http://127.0.0.1:1", region="us")
    forged = Tick(site, region(fleet, "us").id, now(), 0, now(), Outcome.TIMEOUT, True, 1, 1, "eu-forger")
    with signed_in(join("eu")) as client:
        eventually(lambda: client.xadd(streams.ticks("eu"), pack(forged), nomkstream=True))
    letters = eventually(lambda: str(wire.client.xrange(streams.dead("eu")) or ""), what="the forged tick's burial")
    assert "came in the stream of 'eu'" in letters
    assert not count(fleet.dsn, "select count(*) from ticks where prober = 'eu-forger'")


def test_after_a_restart_of_redis_it_goes_on(
    fleet: Fleet,
    wire: Wire,
    join: Join,
    target: tuple[str, Callable[[str], list[Visit]]],
    elsewhere: Callable[[str, dict[str, str]], Path],
) -> None:
    elsewhere("eu", join("eu"))
    site = watched(fleet, "restarted", target[0])
    eventually(lambda: ticks(fleet, site), what="a tick before")
    wire.restart()
    assert "region-eu" not in wire.client.acl_users()
    before = ticks(fleet, site)
    eventually(lambda: ticks(fleet, site) > before + 1, what="ticks after the restart")


def test_a_user_that_somebody_deleted_is_made_again(fleet: Fleet, wire: Wire) -> None:
    eventually(lambda: "region-us" in wire.client.acl_users())
    wire.client.acl_deluser("region-us")
    wire.client.acl_setuser("region-eu", commands=["+@all"])
    eventually(lambda: "region-us" in wire.client.acl_users(), what="the user")
    eventually(lambda: "+@all" not in str(wire.client.acl_getuser("region-eu")), what="the user's rules")
    assert fleet.running


def test_without_its_key_a_sealed_check_is_unknown_and_never_down(
    fleet: Fleet,
    join: Join,
    target: tuple[str, Callable[[str], list[Visit]]],
    elsewhere: Callable[[str, dict[str, str]], Path],
) -> None:
    environment = join("eu")
    del environment["BETTERSTACK_REGION_KEY"]
    elsewhere("eu", environment)
    site = watched(fleet, "keyless", target[0], headers={"X-Api-Key": HEADER})
    eventually(lambda: ticks(fleet, site, Outcome.BLOCKED) >= 2, what="blocked ticks")
    assert not target[1]("/keyless"), "it was probed without its header"
    details = rows_of(fleet.dsn, "select distinct detail from ticks where site_id = %s", site)
    assert len(details) == 1
    assert "set BETTERSTACK_REGION_KEY to what `betterstack region join-command eu` prints" in str(details[0][0])
    assert rows_of(fleet.dsn, "select state from verdicts where site_id = %s", site) == [("unknown",)]


def test_rotating_cuts_the_old_prober_off_and_lets_the_new_one_in(
    fleet: Fleet,
    wire: Wire,
    join: Join,
    target: tuple[str, Callable[[str], list[Visit]]],
    elsewhere: Callable[[str, dict[str, str]], Path],
) -> None:
    old = join("eu")
    log = elsewhere("eu", old)
    site = watched(fleet, "rotated", target[0], headers={"X-Api-Key": HEADER})
    eventually(lambda: ticks(fleet, site), what="a tick with the old credentials")
    new = join("eu", "--rotate")
    assert all(new[name] != old[name] for name in ("BETTERSTACK_REDIS_URL", "BETTERSTACK_REGION_KEY"))
    assert join("eu") == new
    eventually(lambda: "Redis refuses our credentials" in log.read_text(), what="the old prober's end")
    assert connections(wire, "region-eu") == 0
    with signed_in(old) as client, pytest.raises(AuthenticationError):
        client.ping()
    rotated_at = now()
    elsewhere("eu", new)
    query = "select count(*) from ticks where site_id = %s and outcome = 0 and started_at > %s"
    eventually(lambda: count(fleet.dsn, query, site, rotated_at) >= 2, what="ticks with the new credentials")
    audited = rows_of(fleet.dsn, "select subject, detail from audit where action = 'region_access_rotated'")
    assert audited == [("eu", {"access": 2})]


def test_a_region_that_is_removed_takes_its_user_and_its_connections_along(
    fleet: Fleet, wire: Wire, join: Join, elsewhere: Callable[[str, dict[str, str]], Path]
) -> None:
    elsewhere("us", join("us"))
    eventually(lambda: connections(wire, "region-us"), what="the prober")
    with writing(fleet.dsn) as connection:
        connection.exec_driver_sql("update sites set deleted_at = now() where key = 'theirs'")
        delete_region(connection, "us", now=now(), actor="test")
    eventually(lambda: "region-us" not in wire.client.acl_users(), what="the end of the user")
    assert connections(wire, "region-us") == 0


def test_where_redis_lets_us_make_no_users_it_is_said_once_and_the_rest_goes_on(
    wire: Wire, caplog: pytest.LogCaptureFixture
) -> None:
    wire.client.acl_setuser("limited", enabled=True, passwords=["+pw"], commands=["+@all", "-acl"], keys=["*"])
    began, lab = now(), Region(9, "lab", "A lab", managed=False)
    with Redis.from_url(f"redis://limited:pw@127.0.0.1:{wire.port}/0", **streams.options()) as client:
        doorkeeper = Doorkeeper(client, SECRET.encode())
        for beat in range(3):
            doorkeeper.tend([lab], began + beat * LOOK_EVERY)
    wire.client.acl_deluser("limited")
    refusals = [record for record in caplog.records if getattr(record, "action", "") == "access_refused"]
    assert len(refusals) == 1
    assert "may ACL" in refusals[0].getMessage()


def test_it_looks_at_the_server_every_few_seconds_and_not_with_every_beat(wire: Wire) -> None:
    began, lab = now(), Region(9, "lab", "A lab", managed=False)
    doorkeeper = Doorkeeper(wire.client, SECRET.encode())

    def looks() -> int:
        stats = wire.client.info("commandstats")
        assert isinstance(stats, dict)
        return int(stats["cmdstat_acl|list"]["calls"])

    doorkeeper.tend([lab], began)
    before = looks()
    for ms in range(0, 4_900, 100):
        doorkeeper.tend([lab], began + timedelta(milliseconds=ms))
    assert looks() == before
    doorkeeper.tend([lab], began + LOOK_EVERY)
    assert looks() == before + 1
    doorkeeper.tend([], began + LOOK_EVERY)
    assert access.user("lab") not in wire.client.acl_users()


def test_in_a_cluster_every_node_knows_the_user_and_a_prober_finds_its_shard(tmp_path: Path) -> None:
    eu, secret, began = Region(1, "eu", "Europe", managed=False), SECRET.encode(), now()
    check = Check(1, 1, began, 1, 60, Spec("https://example.org/"))
    with cluster.running(tmp_path / "cluster") as three, streams.connect(three.url) as client:
        doorkeeper = Doorkeeper(client, secret)
        doorkeeper.tend([eu], began)
        three.nodes[1].client.acl_deluser("region-eu")
        doorkeeper.tend([eu], began + LOOK_EVERY)
        assert all("region-eu" in node.client.acl_users() for node in three.nodes)
        streams.ensure_groups(client, "eu")
        streams.push(client, streams.checks("eu"), [pack(check)])
        address = three.nodes[2].address
        url = f"redis+cluster://region-eu:{access.password(secret, eu)}@{address}"

        async def walk() -> None:
            courier = Courier(url, "eu", "eu-1")
            await courier.renew({"pid": 1, "host": "there", "started_at": began})
            [entry] = await courier.take(1)
            assert not await courier.claim([entry.id])
            tick = unprobed(check, Outcome.LATE, detail="", prober="eu-1")
            assert not await courier.hand_over([Done(entry.id, tick, check)])
            await courier.bury((await courier.take(1))[0], "a test", None)
            await courier.leave()
            await courier.close()

        asyncio.run(walk())
        assert streams.length(client, streams.ticks("eu")) == 1
        doorkeeper.tend([], began + 2 * LOOK_EVERY)
        assert not any("region-eu" in node.client.acl_users() for node in three.nodes)
