"""Whoever holds a region's join command may write what he likes into it. It stops and blinds nobody but himself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta, timezone
from typing import Any

import msgspec
import psycopg
import pytest
from msgspec import structs
from redis import Redis
from sqlalchemy import Engine

from app.api import healthz, metrics
from app.api.families import families
from pipeline.checkup import checkup
from pipeline.declared import RegionIn, SiteIn
from pipeline.health import Grade, Health
from pipeline.schedule import slots
from pipeline.store.engine import engine, plain_dsn
from pipeline.store.regions import create_region, get_region, rotate_access
from pipeline.store.schedule import revisions_until
from pipeline.store.sites import create_site
from pipeline.store.vitals import read_vitals
from pipeline.vocabulary import Outcome, Region, Tick
from tests.harness import Fleet, Target, audit, count, eventually, now, rows_of, writing
from tests.integration.elsewhere import Wire
from workers import access, streams
from workers.streams import LEASES_LIMIT
from workers.wire import pack

SECRET = "a-secret-key-that-is-long-enough-for-tests"
NEVER = "9999-12-31T23:59:59-14:00"


class House:
    """A fleet with a region of our own, and somebody who was let into another."""

    def __init__(self, fleet: Fleet, wire: Wire, site: int) -> None:
        self.fleet, self.wire, self.site = fleet, wire, site
        self.database: Engine = engine(fleet.dsn)

    def region(self, key: str) -> Region:
        with writing(self.fleet.dsn) as connection:
            return get_region(connection, key)

    def stranger(self) -> Redis:
        """Signed in as the probers of `eu` are; the caller closes it."""
        eu = self.region("eu")
        password = access.password(SECRET.encode(), eu)
        client: Redis = Redis(port=self.wire.port, username="region-eu", password=password, socket_timeout=5)
        eventually(lambda: _greets(client), what="the region's user")
        return client

    def called_for(self) -> list[Tick]:
        """Ticks as the region's own probers would hand them over, of the last minute."""
        eu = self.region("eu")
        with psycopg.connect(plain_dsn(self.fleet.dsn)) as connection:
            revisions = revisions_until(connection, [self.site], now())
        found = slots([each for each in revisions if each.region_id == eu.id], now() - timedelta(minutes=1), now())
        return [
            Tick(self.site, eu.id, at, 0, at, Outcome.OK, True, revision.interval_s, revision.id, "stranger")
            for at, revision in found
        ]

    def goes_on(self) -> None:
        """Our own region's ticks come in, and of the other's stream nothing is left."""
        here = "select count(*) from ticks t join regions r on r.id = t.region_id where r.key = 'here'"
        before = count(self.fleet.dsn, here)
        eventually(lambda: count(self.fleet.dsn, here) > before + 1, what="ticks of the other region")
        eventually(lambda: self.wire.client.xlen(streams.ticks("eu")) == 0, what="the end of what was sent")
        assert all(process.poll() is None for process in self.fleet.running)

    def checkup(self) -> Health:
        with self.database.connect() as connection:
            return checkup(read_vitals(connection, now))

    def probers(self, key: str) -> list[str]:
        query = "select w.name from workers w join regions r on r.id = w.region_id where r.key = %s and role = 'prober'"
        alive = f"{query} and seen_at > now() - interval '3 s' order by 1"
        return [str(name) for (name,) in rows_of(self.fleet.dsn, alive, key)]


def _greets(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except Exception:  # noqa: BLE001 - it is not let in yet
        return False


@pytest.fixture(scope="module")
def house(dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    wire = Wire(tmp_path_factory.mktemp("wire"))
    began = now() - timedelta(seconds=30)
    with writing(dsn) as connection:
        for key in ("eu", "here"):
            create_region(connection, RegionIn(key=key, managed=key == "here"), now=began, actor="test")
    with Target() as target, Fleet(dsn, wire.url, BETTERSTACK_SECRET_KEY=SECRET) as fleet:
        with writing(dsn) as connection:
            site = SiteIn(key="s", url=f"{target.url}/well", interval_s=1)
            number = create_site(connection, site, now=began, actor="test").id
        for role in (("pusher",), ("recorder",), ("roller",), ("prober", "--region", "here")):
            fleet.start(*role)
        house = House(fleet, wire, number)
        eventually(lambda: house.probers("here"), what="our own prober")
        yield house
        house.database.dispose()
    wire.close()


@pytest.fixture
def stranger(house: House) -> Iterator[Redis]:
    client = house.stranger()
    yield client
    client.close()


def forged(tick: Tick, **overwritten: Any) -> dict[Any, Any]:
    """An entry with fields that our own types would not let us write, by their positions (`_4`)."""
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(tick))
    for name, value in overwritten.items():
        fields[int(name.removeprefix("_"))] = value
    return {b"1": msgspec.msgpack.encode(fields)}


def lease(client: Redis, name: str, ttl_s: int | None = streams.LEASE_S, **about: object) -> None:
    """What a prober does before anybody counts it: read, then say how it is."""
    client.xreadgroup(streams.PROBERS, name, {streams.checks("eu"): ">"}, count=1)
    said = {"pid": 1, "host": "h", "started_at": now().isoformat(), **about}
    client.set(streams.lease("eu", name), msgspec.json.encode(said), ex=ttl_s)


def test_what_is_as_it_should_be_is_stored_as_it_came(house: House, stranger: Redis) -> None:
    """Else the tests below would show nothing."""
    tick = house.called_for()[-1]
    stranger.xadd(streams.ticks("eu"), pack(tick))  # type: ignore[arg-type] # redis-py's dict is invariant
    stored = "select count(*) from ticks where prober = 'stranger' and scheduled_at = %s"
    eventually(lambda: count(house.fleet.dsn, stored, tick.scheduled_at) == 1, what="the tick")


def test_a_zone_far_away_a_time_out_of_the_calendar_and_an_unknown_series_stop_nobody(
    house: House, stranger: Redis
) -> None:
    tick, far = house.called_for()[0], timezone(timedelta(hours=23, minutes=59))
    old = (now() - timedelta(days=200)).astimezone(far).isoformat()
    letters = house.wire.client.xlen(streams.dead("eu"))
    junk: dict[Any, Any] = {b"1": b"junk"}
    for entry in (
        forged(tick, _2=old),
        forged(tick, _2=NEVER),
        forged(tick, _7=2**31 - 1),
        forged(structs.replace(tick, site_id=999_999)),
        forged(structs.replace(tick, revision=999_999)),
        forged(structs.replace(tick, scheduled_at=tick.scheduled_at + timedelta(microseconds=5))),
        forged(tick, _11=float("nan")),
        junk,
    ):
        stranger.xadd(streams.ticks("eu"), entry)
        house.goes_on()
    assert house.wire.client.xlen(streams.dead("eu")) == letters + 8
    assert count(house.fleet.dsn, "select count(*) from dirty_hours") < 500
    assert audit(house.fleet.dsn, now() - timedelta(days=365), now()).ghosts == 0


def test_a_start_out_of_the_calendar_is_left_out_and_read_by_everybody(house: House, stranger: Redis) -> None:
    tick = house.called_for()[3]
    stranger.xadd(streams.ticks("eu"), forged(tick, _4=NEVER))
    house.goes_on()
    query = "select started_at from ticks where scheduled_at = %s and region_id = %s and attempt = 0"
    assert rows_of(house.fleet.dsn, query, tick.scheduled_at, tick.region_id) == [(None,)]


def test_the_interval_of_a_tick_is_its_schedules(house: House, stranger: Redis) -> None:
    tick = structs.replace(house.called_for()[5], interval_s=86_400)
    stranger.xadd(streams.ticks("eu"), pack(tick))  # type: ignore[arg-type] # redis-py's dict is invariant
    house.goes_on()
    query = "select interval_s from ticks where scheduled_at = %s and region_id = %s"
    assert rows_of(house.fleet.dsn, query, tick.scheduled_at, tick.region_id) == [(1,)]


def test_entries_without_an_end_are_buried_and_their_letters_cut(house: House, stranger: Redis) -> None:
    tick = structs.replace(house.called_for()[0], detail="x" * 2_000_000)
    for _ in range(20):
        stranger.xadd(streams.ticks("eu"), forged(tick))
    house.goes_on()
    letter = str(house.wire.client.xrevrange(streams.dead("eu"), count=1))
    assert "larger than any tick" in letter
    assert len(letter) < 40_000, "each byte is four letters at most"
    assert not count(house.fleet.dsn, "select count(*) from ticks where length(detail) > 1000")


@pytest.mark.parametrize(
    "about",
    [
        {"late": 10**400},
        {"in_flight": 2**40},
        {"probed": 10**30},
        {"lateness_p95_ms": 1e308},
        {"lateness_p95_ms": -1e308},
        {"started_at": NEVER},
        {"started_at": "0001-01-01T00:00:00+14:00"},
        {"started_at": "9999-12-31T23:59:59Z"},
        {"host": "h" * 9_000},
    ],
    ids=["late", "in flight", "probed", "lateness", "early", "never", "before all", "at the end", "long"],
)
def test_a_lease_blinds_nobody(house: House, stranger: Redis, about: dict[str, Any]) -> None:
    key = access.region_key(SECRET.encode(), house.region("eu"))
    seen = "select max(seen_at) from backlogs b join regions r on r.id = b.region_id where r.key = 'here'"
    before = rows_of(house.fleet.dsn, seen)
    lease(stranger, "evil", proof=access.proof(key, "evil"), **about)
    eventually(lambda: rows_of(house.fleet.dsn, seen) > before, what="the next census")
    eventually(lambda: rows_of(house.fleet.dsn, seen) > before)
    health = healthz.look(house.database, now())
    assert "postgres" not in [part.name for part in health.parts if not part.ok]
    reading = metrics.look(house.database, now())
    assert reading.figures is not None
    assert list(families(reading.figures, reading.health, {}))
    assert [part.grade for part in house.checkup().parts if part.name == "prober here"] == [Grade.WELL]
    assert all(started.year < 2200 for (started,) in rows_of(house.fleet.dsn, "select started_at from workers"))  # type: ignore[attr-defined]
    house.goes_on()


def test_samples_of_the_others_are_taken_meanwhile(house: House) -> None:
    query = "select count(*) from region_samples s join regions r on r.id = s.region_id where r.key = 'here'"
    before = count(house.fleet.dsn, query)
    eventually(lambda: count(house.fleet.dsn, query) > before, what="a sample")


def test_nobody_takes_the_row_of_another_regions_prober(house: House, stranger: Redis) -> None:
    [ours] = house.probers("here")
    name = ours.rpartition("/")[2]
    key = access.region_key(SECRET.encode(), house.region("eu"))
    lease(stranger, name, proof=access.proof(key, name))
    eventually(lambda: house.probers("eu"), what="the forger's own row")
    assert house.probers("here") == [ours]
    assert [part.grade for part in house.checkup().parts if part.name == "prober here"] == [Grade.WELL]
    stranger.delete(streams.lease("eu", name))


def test_a_lease_counts_only_with_its_key_and_while_somebody_renews_it(house: House, stranger: Redis) -> None:
    key = access.region_key(SECRET.encode(), house.region("eu"))
    eventually(lambda: not house.probers("eu"), what="the end of earlier leases")
    lease(stranger, "unproven")
    lease(stranger, "wrong", proof=access.proof(key, "another"))
    lease(stranger, "forever", ttl_s=None, proof=access.proof(key, "forever"))
    lease(stranger, "for-long", ttl_s=3_600, proof=access.proof(key, "for-long"))
    lease(stranger, "right", proof=access.proof(key, "right"))
    eventually(lambda: house.probers("eu"), what="the prober with its key")
    assert [name.rpartition("/")[2] for name in house.probers("eu")] == ["right"]


def test_three_thousand_leases_are_a_hundred_at_most(house: House, stranger: Redis) -> None:
    key = access.region_key(SECRET.encode(), house.region("eu"))
    names = [f"x{number}" for number in range(300)]
    with stranger.pipeline(transaction=False) as pipeline:
        for name in names:
            lease(pipeline, name, proof=access.proof(key, name))
        for number in range(3_000):
            pipeline.set(streams.lease("eu", f"y{number}"), "{}", ex=5)
        pipeline.execute()
    eventually(lambda: house.probers("eu"), what="leases")
    assert len(house.probers("eu")) <= LEASES_LIMIT
    house.goes_on()
    with stranger.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.xgroup_delconsumer(streams.checks("eu"), streams.PROBERS, name)
        pipeline.execute()


def test_dead_letters_are_the_same_on_health_as_in_redis(house: House, stranger: Redis) -> None:
    stranger.xadd(streams.ticks("eu"), {b"1": b"junk"})
    house.goes_on()
    letters = house.wire.client.xlen(streams.dead("eu"))

    def told() -> str:
        [part] = [part for part in house.checkup().parts if part.name == "dead letters"]
        return part.message if part.grade is Grade.LOOK else ""

    eventually(lambda: f"{letters} in eu" in told(), what="as many on Health")


def test_who_is_cut_off_leaves_no_lease_behind(house: House, stranger: Redis) -> None:
    key = access.region_key(SECRET.encode(), house.region("eu"))
    lease(stranger, "ghost", ttl_s=None, proof=access.proof(key, "ghost"))
    gone: Callable[[], bool] = lambda: not house.wire.client.exists(streams.lease("eu", "ghost"))  # noqa: E731
    assert not gone()
    with writing(house.fleet.dsn) as connection:
        rotate_access(connection, "eu", now=now(), actor="test")
    eventually(gone, what="the end of the lease")
