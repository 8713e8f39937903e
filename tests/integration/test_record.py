"""The recorder's transaction on a real Postgres: ticks once each, whatever the order and however often."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from random import Random

import psycopg
import pytest
from msgspec import structs
from redis import Redis

from pipeline.cleaning import cleaned
from pipeline.declared import RegionIn, SiteIn
from pipeline.schedule import slots
from pipeline.store.engine import plain_dsn
from pipeline.store.regions import create_region
from pipeline.store.schedule import revisions_until
from pipeline.store.sites import create_site
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Outcome, Source, Tick
from tests.harness import now, rows_of, writing
from workers import streams
from workers.recorder import Recorder, record
from workers.wire import pack


@pytest.fixture(scope="module")
def series(dsn: str) -> tuple[int, int]:
    """A site and its region."""
    with writing(dsn) as connection:
        began = now() - timedelta(hours=2)
        region = create_region(connection, RegionIn(key="eu"), now=began, actor="test")
        site = create_site(connection, SiteIn(key="s", url="http://127.0.0.1/"), now=began, actor="test")
    return site.id, region.id


def ticks(series: tuple[int, int], number: int, *, since: datetime) -> list[Tick]:
    site, region = series
    made = []
    for n in range(number):
        at = since + timedelta(seconds=10 * n)
        failed = n % 7 == 3
        made.append(Tick(site, region, at, 0, at, Outcome.STATUS if failed else Outcome.OK, not failed, 10, 1, "p"))
        if failed:
            made.append(Tick(site, region, at, 1, at, Outcome.OK, True, 10, 1, "p"))
    return made


def called_for(dsn: str, series: tuple[int, int]) -> list[Tick]:
    """Ticks as a prober would hand them over: of the slots that the site's revision called for, an hour ago."""
    with psycopg.connect(plain_dsn(dsn)) as connection:
        revisions = revisions_until(connection, [series[0]], now())
    made = []
    for slot in slots(revisions, now() - timedelta(hours=2), now()):
        at, revision = slot.scheduled_at, slot.revision
        made.append(Tick(*series, at, 0, at, Outcome.OK, True, revision.interval_s, revision.id, "p"))
    return made


STORED = "select scheduled_at, attempt, outcome, final from ticks where scheduled_at >= %s order by 1, 2"


def test_shuffled_and_repeated_batches_store_the_same_ticks(dsn: str, series: tuple[int, int]) -> None:
    since = now() - timedelta(hours=3)
    story = ticks(series, 60, since=since)
    random = Random(7)
    with psycopg.connect(plain_dsn(dsn), autocommit=True) as connection:
        for _ in range(8):
            batch = random.sample(story, 30) + random.sample(story, 10)
            with connection.transaction():
                record(connection, batch, now=now())
        with connection.transaction():
            assert len(record(connection, story, now=now())) <= len(story)
            assert record(connection, story, now=now()) == []
    stored = rows_of(dsn, STORED, since)
    assert len(stored) == len(story)
    assert {(at, attempt) for at, attempt, *_ in stored} == {(t.scheduled_at, t.attempt) for t in story}


def test_a_probers_tick_replaces_what_was_written_in_its_absence_and_nothing_else(
    dsn: str, series: tuple[int, int]
) -> None:
    [real] = ticks(series, 1, since=now() - timedelta(hours=6))
    absent = structs.replace(real, outcome=Outcome.SCHEDULER_DOWN, source=Source.PUSHER, started_at=None)
    other = structs.replace(real, outcome=Outcome.STATUS)
    with psycopg.connect(plain_dsn(dsn), autocommit=True) as connection, connection.transaction():
        ensure_partitions(connection, [real.scheduled_at.date()])
        assert store_ticks(connection, [absent]) == [absent]
        assert store_ticks(connection, [real]) == [real]
        assert store_ticks(connection, [absent, other]) == []
        later = real.scheduled_at + timedelta(seconds=1)
        both = [structs.replace(tick, scheduled_at=later) for tick in (absent, real)]
        assert store_ticks(connection, both) == both[1:], "also within one batch"
    [(_, _, outcome, _)] = rows_of(dsn, STORED.replace(">=", "="), real.scheduled_at)
    assert outcome == 0


def test_text_that_postgres_refuses_is_mended(dsn: str, series: tuple[int, int]) -> None:
    [tick] = ticks(series, 1, since=now() - timedelta(hours=7))
    with psycopg.connect(plain_dsn(dsn), autocommit=True) as connection, connection.transaction():
        assert len(record(connection, [cleaned(structs.replace(tick, detail="a\x00b\ud800c"))], now=now())) == 1
    [(detail,)] = rows_of(dsn, "select detail from ticks where scheduled_at = %s", tick.scheduled_at)
    assert detail == "a�b?c"


def test_a_late_tick_marks_its_hour_and_those_into_which_it_is_held(dsn: str, series: tuple[int, int]) -> None:
    at = (now() - timedelta(hours=20)).replace(minute=59, second=55, microsecond=0)
    site, region = series
    tick = Tick(site, region, at, 0, at, Outcome.OK, True, 10, 1, "p")
    with psycopg.connect(plain_dsn(dsn), autocommit=True) as connection, connection.transaction():
        connection.execute("delete from dirty_hours")
        record(connection, [tick], now=now())
    hours = [at for (at,) in rows_of(dsn, "select at from dirty_hours order by at")]
    hour = at.replace(minute=0, second=0)
    assert hours == [hour, hour + timedelta(hours=1)]


@pytest.fixture
def recorder(dsn: str, redis_url: str, series: tuple[int, int]) -> Iterator[tuple[Recorder, Redis]]:
    assert series
    client: Redis = Redis.from_url(redis_url, **streams.options())
    streams.ensure_groups(client, "eu")
    recorder = Recorder(dsn, client, clock=now)
    yield recorder, client
    recorder.close()
    client.close()


def test_what_postgres_refuses_is_buried_and_takes_nobody_with_it(
    recorder: tuple[Recorder, Redis], series: tuple[int, int], dsn: str
) -> None:
    good, bad = called_for(dsn, series)[:2]
    at = good.scheduled_at
    role, client = recorder
    refused = [structs.replace(bad, status=70_000), structs.replace(bad, latency_ms=1e300)]
    streams.push(client, streams.ticks("eu"), [pack(tick) for tick in (*refused, good)])
    assert role.beat() == 1
    assert [row[0] for row in rows_of(dsn, STORED.replace("scheduled_at >=", "scheduled_at ="), at)] == [at]
    assert client.xlen(streams.ticks("eu")) == 0
    assert client.xlen(streams.dead("eu")) == 2


@pytest.mark.parametrize("lease", [b"garbage", b"[1]", b'{"pid":"x"}', b'{"pid":99999999999}', b'{"x":"a\\u0000"}'])
def test_what_somebody_says_of_himself_does_not_stop_the_recording(
    recorder: tuple[Recorder, Redis], series: tuple[int, int], dsn: str, lease: bytes
) -> None:
    role, client = recorder
    client.xgroup_createconsumer(streams.checks("eu"), streams.PROBERS, "odd")
    client.set(streams.lease("eu", "odd"), lease, ex=streams.LEASE_S)
    tick = called_for(dsn, series)[-1]
    streams.push(client, streams.ticks("eu"), [pack(tick)])
    assert role.beat() == 1


def refusing(dsn: str, code: str) -> None:
    """From now on Postgres refuses ticks of the prober `bad`, with that code; with none it takes them again."""
    refuse = f"begin if new.prober = 'bad' then raise 'refused' using errcode = '{code}'; end if; return new; end"
    with psycopg.connect(plain_dsn(dsn), autocommit=True) as connection:
        connection.execute("drop trigger if exists refuse on ticks")
        if code:
            connection.execute(
                f"create or replace function refuse() returns trigger language plpgsql as $$ {refuse} $$"
            )
            connection.execute("create trigger refuse before insert on ticks for each row execute function refuse()")


def test_a_tick_that_breaks_a_rule_of_the_tables_is_buried_and_takes_nobody_with_it(
    recorder: tuple[Recorder, Redis], series: tuple[int, int], dsn: str
) -> None:
    good, bad = called_for(dsn, series)[3:5]
    role, client = recorder
    streams.push(client, streams.ticks("eu"), [pack(structs.replace(bad, prober="bad")), pack(good)])
    refusing(dsn, "23514")
    role.beat()
    refusing(dsn, "")
    assert client.xlen(streams.ticks("eu")) == 0
    assert client.xlen(streams.dead("eu")) == 1
    assert "refused" in str(client.xrange(streams.dead("eu")))
    assert rows_of(dsn, "select count(*) from ticks where scheduled_at = %s", good.scheduled_at) == [(1,)]


def test_a_batch_that_fails_twice_goes_one_by_one_and_nothing_is_lost(
    recorder: tuple[Recorder, Redis], series: tuple[int, int], dsn: str
) -> None:
    good, bad, later = called_for(dsn, series)[5:8]
    role, client = recorder
    stored = "select count(*) from ticks where scheduled_at = any(%s)"

    def fails() -> None:
        with pytest.raises(psycopg.Error) as refusal:
            role.beat()
        role.fail(refusal.value)

    streams.push(client, streams.ticks("eu"), [pack(structs.replace(bad, prober="bad")), pack(good)])
    refusing(dsn, "P0001")
    fails()
    assert rows_of(dsn, stored, [good.scheduled_at]) == [(0,)], "it may have been a moment's trouble"
    fails()
    assert rows_of(dsn, stored, [good.scheduled_at]) == [(1,)]
    assert client.xlen(streams.ticks("eu")) == 1, "kept: nobody said that it is wrong"
    assert client.xlen(streams.dead("eu")) == 0
    streams.push(client, streams.ticks("eu"), [pack(later)])
    refusing(dsn, "")
    role.beat()
    role.beat()
    assert client.xlen(streams.ticks("eu")) == 0
    assert rows_of(dsn, stored, [bad.scheduled_at, later.scheduled_at]) == [(2,)]


def test_what_came_after_a_tick_that_fails_for_ever_is_recorded(
    recorder: tuple[Recorder, Redis], series: tuple[int, int], dsn: str
) -> None:
    bad, later = called_for(dsn, series)[11:13]
    role, client = recorder
    streams.push(client, streams.ticks("eu"), [pack(structs.replace(bad, prober="bad"))])
    refusing(dsn, "P0001")
    for beat in range(6):
        if beat == 3:
            streams.push(client, streams.ticks("eu"), [pack(later)])
        try:
            role.beat()
        except psycopg.Error as error:
            role.fail(error)
    refusing(dsn, "")
    assert client.xlen(streams.ticks("eu")) == 1
    assert rows_of(dsn, "select count(*) from ticks where scheduled_at = %s", later.scheduled_at) == [(1,)]


def test_a_server_that_is_away_makes_nobody_go_one_by_one(
    recorder: tuple[Recorder, Redis], series: tuple[int, int], dsn: str
) -> None:
    ticks = [structs.replace(tick, prober="bad") for tick in called_for(dsn, series)[8:11]]
    role, client = recorder
    streams.push(client, streams.ticks("eu"), [pack(tick) for tick in ticks])
    refusing(dsn, "53100")  # its disk is full
    for _ in range(3):
        with pytest.raises(psycopg.OperationalError) as refusal:
            role.beat()
        role.fail(refusal.value)
    refusing(dsn, "")
    assert (client.xlen(streams.ticks("eu")), client.xlen(streams.dead("eu"))) == (3, 0)
    assert role.beat() == 3


def test_a_region_is_read_in_pieces_that_fit_into_memory(
    recorder: tuple[Recorder, Redis], series: tuple[int, int]
) -> None:
    assert series
    role, client = recorder
    streams.push(client, streams.ticks("eu"), [{b"1": b"x" * 200_000}] * 300)
    left = [client.xlen(streams.ticks("eu"))]
    while left[-1]:
        role.beat()
        left.append(client.xlen(streams.ticks("eu")))
    taken = [before - after for before, after in itertools.pairwise(left)]
    assert max(taken) <= 100
    assert min(taken[1:-1]) < 50, "by the size of those before"
