"""Stored rollups equal a recomputation row for row, whatever came late, twice, or in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from random import Random

import msgspec
import psycopg
import pytest
from msgspec import structs

from pipeline.declared import RegionIn
from pipeline.settings import Settings
from pipeline.store import beats
from pipeline.store.engine import plain_dsn
from pipeline.store.regions import create_region
from pipeline.store.rollups import BATCH, recompute, roll, verify
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Outcome, Source, Tick
from tests.harness import count, eventually, now, writing
from tests.integration.tickmaker import some_slots, tick
from workers import roller
from workers.lifecycle import Stop
from workers.roller import Roller, horizon

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
END = START + timedelta(days=4)
ALWAYS = datetime.max.replace(tzinfo=UTC)


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    """On empty tables, in UTC, each statement of its own."""
    with connected(dsn) as connection:
        connection.execute(
            "truncate ticks, dirty_hours, dirty_days, rollups_hour, rollups_day, spans_region, spans_site"
        )
        ensure_partitions(connection, [START.date() + timedelta(days=n) for n in range(-2, 6)])
        yield connection


def connected(dsn: str) -> psycopg.Connection:
    return psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC")


def store(connection: psycopg.Connection, ticks: list[Tick]) -> None:
    with connection.transaction():
        store_ticks(connection, ticks)


def drain(connection: psycopg.Connection, *, before: datetime = ALWAYS, limit: int = BATCH) -> int:
    hours, after = 0, None
    while True:
        with connection.transaction():
            rolled = roll(connection, before=before, after=after, limit=limit)
        hours, after = hours + rolled.hours, rolled.last
        if after is None:
            return hours


def marks(connection: psycopg.Connection) -> int:
    row = connection.execute("select count(*) from dirty_hours").fetchone()
    assert row
    return int(row[0])


@pytest.mark.parametrize("seed", range(3))
def test_random_batches_with_rollers_in_between_equal_a_recomputation(
    connection: psycopg.Connection, seed: int
) -> None:
    random = Random(seed)
    ticks = some_slots(random, START, hours=36, count=100)
    while ticks:
        size = random.randint(1, 40)
        batch, ticks = ticks[:size], ticks[size:]
        store(connection, batch)
        if random.random() < 0.3:
            store(connection, batch)  # delivered again
        if random.random() < 0.5:
            drain(
                connection, before=random.choice([ALWAYS, START + timedelta(hours=12)]), limit=random.choice([7, BATCH])
            )
    drain(connection, limit=50)
    assert marks(connection) == 0
    hours, days = recompute(connection, START, END)
    assert hours.height > 36
    assert days.height >= 6
    assert verify(connection, START, END) == []


def test_a_tick_that_ends_what_a_longer_interval_held_corrects_the_hours_after(connection: psycopg.Connection) -> None:
    store(connection, [tick(START, interval_s=3600)])
    drain(connection)
    store(connection, [tick(START + timedelta(minutes=10), interval_s=5)])
    drain(connection)
    assert verify(connection, START, END) == []
    later = connection.execute("select count(*) from rollups_hour where at > %s", [START]).fetchone()
    assert later == (0,)


def test_a_late_tick_changes_the_hour_that_was_rolled_long_ago(connection: psycopg.Connection) -> None:
    store(connection, [tick(START + timedelta(minutes=n)) for n in range(60)])
    store(connection, [tick(START + timedelta(hours=3))])
    drain(connection)
    store(connection, [tick(START + timedelta(seconds=90), Outcome.TIMEOUT)])
    drain(connection, before=START + timedelta(hours=2))
    row = connection.execute("select checks, down, down_us from rollups_hour where at = %s", [START]).fetchone()
    assert row == (61, 1, 30_000_000)
    assert verify(connection, START, END) == []


def test_a_real_tick_replaces_what_stood_in_for_it(connection: psycopg.Connection) -> None:
    missed = msgspec.structs.replace(tick(START, Outcome.WORKER_LOST), source=Source.RECONCILER)
    store(connection, [missed])
    drain(connection)
    store(connection, [tick(START)])
    drain(connection)
    row = connection.execute("select up, unknown, up_us, unknown_us from rollups_hour").fetchone()
    assert row == (1, 0, 120_000_000, 0)
    assert verify(connection, START, END) == []


def test_an_hour_without_ticks_loses_its_row_and_its_day(connection: psycopg.Connection) -> None:
    store(connection, [tick(START)])
    drain(connection)
    connection.execute("delete from ticks")
    connection.execute("insert into dirty_hours (at, site_id, region_id) values (%s, 1, 1)", [START])
    drain(connection)
    assert connection.execute("select count(*) from rollups_hour").fetchone() == (0,)
    assert connection.execute("select count(*) from rollups_day").fetchone() == (0,)


def test_what_is_not_true_is_told(connection: psycopg.Connection) -> None:
    store(connection, [tick(START + timedelta(minutes=n)) for n in range(3)])
    drain(connection)
    connection.execute("update rollups_hour set up = 7")
    connection.execute("delete from rollups_day")
    found = verify(connection, START, START + timedelta(days=1))
    assert [difference.split(":")[0] for difference in found if "not stored" in difference]
    assert any("up is 7, recomputed 3" in difference for difference in found)


def test_two_rollers_and_a_recorder_at_once_equal_a_recomputation(connection: psycopg.Connection, dsn: str) -> None:
    ticks = some_slots(Random(99), START, hours=30, count=400, sites=8)
    written = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with connected(dsn) as mine:
                while not written.is_set():
                    drain(mine, limit=25)
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it
            failures.append(error)

    rollers = [threading.Thread(target=work) for _ in range(2)]
    for thread in rollers:
        thread.start()
    for start in range(0, len(ticks), 20):
        store(connection, ticks[start : start + 20])
    written.set()
    for thread in rollers:
        thread.join()
    assert failures == []
    drain(connection)
    assert verify(connection, START, END) == []


def test_a_second_roller_waits_for_the_first_one_s_day(connection: psycopg.Connection, dsn: str) -> None:
    """Each would else make the day of the hours that it can see, and one of the two would be lost."""
    store(connection, [tick(START)])
    with connected(dsn) as first, connected(dsn) as second:
        follower = threading.Thread(target=drain, args=(second,))
        with first.transaction():
            roll(first, before=ALWAYS)
            store(connection, [tick(START + timedelta(hours=1))])
            follower.start()
            waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            eventually(lambda: count(dsn, waiting) == 1, what="the second one's wait")
        follower.join(30)
    assert connection.execute("select checks from rollups_day").fetchall() == [(2,)]
    assert verify(connection, START, END) == []


KILLED = """
import sys
from datetime import UTC, datetime
from workers.roller import Roller
Roller(sys.argv[1], clock=lambda: datetime.now(UTC)).roll()
"""


def test_a_roller_killed_in_mid_transaction_loses_nothing(connection: psycopg.Connection, dsn: str) -> None:
    store(connection, some_slots(Random(5), START, hours=5, count=60))
    before = marks(connection)
    environment = {**os.environ, "BETTERSTACK_KILL_AT": "roller: before commit"}
    killed = subprocess.run([sys.executable, "-c", KILLED, dsn], check=False, timeout=60, env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert marks(connection) == before
    assert connection.execute("select count(*) from rollups_hour").fetchone() == (0,)
    survivor = Roller(dsn, clock=lambda: START + timedelta(days=2))
    assert survivor.roll() > 0
    assert marks(connection) == 0
    assert verify(connection, START, END) == []


def test_the_open_hour_waits_and_the_closed_ones_do_not() -> None:
    now = START + timedelta(minutes=30)
    assert horizon(now, None) == ALWAYS
    assert horizon(now, now - timedelta(seconds=20)) == START
    assert horizon(now, now - timedelta(seconds=61)) == ALWAYS
    assert horizon(now, now + timedelta(hours=1)) == ALWAYS  # the clock was set back


def test_a_roller_without_postgres_says_so_once_and_lives(caplog: pytest.LogCaptureFixture) -> None:
    lonely = Roller("postgresql://nobody@/nothing?host=/nowhere", clock=lambda: START)
    for _ in range(3):
        assert lonely.roll() == 0
    lonely.be_seen()
    told = [
        getattr(record, "step", None) for record in caplog.records if getattr(record, "action", "") == "roller_fails"
    ]
    assert told == ["roll up", "be seen"]


def test_samples_of_the_fleet_are_kept_for_eight_days(connection: psycopg.Connection, dsn: str) -> None:
    with writing(dsn) as store:
        region = create_region(store, RegionIn(key="eu"), now=now(), actor="test")
    nothing = beats.Sample(region.id, now(), 1, 0, 0, None, None, None, None, 0, 0, 0.0, 0)
    young, old = (structs.replace(nothing, at=now() - timedelta(days=age)) for age in (7.9, 8.1))
    with connection.transaction():
        beats.note_samples(connection, [young, old])
    Roller(dsn, clock=now).tidy()
    assert connection.execute("select at from region_samples").fetchall() == [(young.at,)]


def test_the_role_makes_partitions_rolls_and_is_seen(
    connection: psycopg.Connection, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roller, "ROLL_S", 0.2)
    store(connection, [tick(START)])
    stop = Stop()
    thread = threading.Thread(target=roller.run, args=(Settings(database_url=dsn), stop))
    thread.start()
    try:
        today = datetime.now(UTC).date()
        eventually(lambda: count(dsn, "select count(*) from workers where role = 'roller'") == 1, what="its row")
        eventually(lambda: count(dsn, "select count(*) from rollups_day") == 1, what="the day")
        days = [today + timedelta(days=ahead) for ahead in range(-1, 4)]
        eventually(lambda: all(partition(dsn, day) for day in days), what="partitions")
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()


def partition(dsn: str, day: date) -> bool:
    return count(dsn, "select count(*) from pg_class where relname = %s", f"ticks_{day:%Y%m%d}") == 1
