"""Days in the lake: whole, verified, merged with what comes late; and rollups that never notice the difference."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import duckdb
import pandas as pd  # type: ignore[import-untyped] # it ships none
import polars as pl
import psycopg
import pytest
from msgspec import structs

from pipeline.lake.files import LakeRoot, of_day
from pipeline.store import lake
from pipeline.store.engine import plain_dsn
from pipeline.store.lake_days import LakeDay, archived, dropped, late_days, to_archive, to_drop
from pipeline.store.rollups import roll, verify
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Outcome, Source, Tick
from tests.integration.tickmaker import some_slots, tick
from workers.roller import Roller

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
DAY = timedelta(days=1)
ALWAYS = datetime.max.replace(tzinfo=UTC)
NOW = START + 40 * DAY
KEEP = 30 * DAY


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LakeRoot:
    monkeypatch.setenv("BETTERSTACK_LAKE", str(tmp_path / "lake"))
    return LakeRoot.of(tmp_path / "lake")


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    """On empty tables, in UTC, each statement of its own."""
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        connection.execute(
            "truncate ticks, late_ticks, lake_days, dirty_hours, dirty_days, rollups_hour, rollups_day, spans_region, "
            "spans_site"
        )
        ensure_partitions(connection, [(START + n * DAY).date() for n in range(-1, 3)])
        yield connection


def store(connection: psycopg.Connection, ticks: list[Tick]) -> list[Tick]:
    with connection.transaction():
        ensure_partitions(connection, {tick.scheduled_at.date() for tick in ticks})
        return store_ticks(connection, ticks)


def drain(connection: psycopg.Connection) -> None:
    after, going = None, True
    while going:
        with connection.transaction():
            after = roll(connection, before=ALWAYS, after=after).last
        going = after is not None


def never(_: str) -> None:
    """No kill point."""


def archive(connection: psycopg.Connection, dsn: str, root: LakeRoot) -> list[LakeDay]:
    days = to_archive(connection, NOW)
    found = [lake.archive(connection, dsn, root, day, now=NOW, reached=never) for day in days]
    return [each for each in found if each is not None]


def drop(connection: psycopg.Connection, dsn: str, root: LakeRoot) -> list[bool | None]:
    return [lake.drop(connection, dsn, root, day, now=NOW, reached=never) for day in to_drop(connection, NOW, KEEP)]


def merge(connection: psycopg.Connection, root: LakeRoot) -> None:
    for day in late_days(connection):
        lake.merge_late(connection, root, day, now=NOW, reached=never)


def number(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row
    return int(row[0])


def test_a_day_goes_to_the_lake_and_out_of_postgres(connection: psycopg.Connection, dsn: str, root: LakeRoot) -> None:
    ticks = some_slots(Random(1), START, hours=12, count=300)
    store(connection, ticks)
    drain(connection)
    archive(connection, dsn, root)
    day = next(each for each in archived(connection) if each.day == START.date())
    assert day.rows == number(connection, "select count(*) from ticks where scheduled_at < '2026-03-02'")
    assert Path(root.path(day.path)).stat().st_size == day.bytes
    assert drop(connection, dsn, root) == [True] * 4
    assert number(connection, "select count(*) from ticks") == 0
    assert dropped(connection, [START.date()]) == {START.date()}
    assert verify(connection, START, START + 4 * DAY) == []
    assert [wrong for _, wrong in lake.verify(connection, root) if wrong] == []


def in_the_lake(connection: psycopg.Connection, dsn: str, root: LakeRoot, ticks: list[Tick]) -> None:
    """The ticks rolled up, archived, dropped."""
    store(connection, ticks)
    drain(connection)
    archive(connection, dsn, root)
    assert all(drop(connection, dsn, root))
    assert number(connection, "select count(*) from ticks") == 0


def test_an_hour_of_a_dropped_day_is_rolled_up_from_the_lake_not_from_nothing(
    connection: psycopg.Connection, dsn: str, root: LakeRoot
) -> None:
    in_the_lake(connection, dsn, root, some_slots(Random(2), START, hours=30, count=200))
    before = connection.execute("select * from rollups_hour order by site_id, region_id, at").fetchall()
    connection.execute(
        "insert into dirty_hours (at, site_id, region_id) select at, site_id, region_id from rollups_hour"
    )
    drain(connection)
    assert connection.execute("select * from rollups_hour order by site_id, region_id, at").fetchall() == before
    assert verify(connection, START, START + 4 * DAY) == []


@pytest.mark.parametrize("seed", range(3))
def test_what_comes_late_for_dropped_days_ends_as_if_it_had_come_in_time(
    connection: psycopg.Connection, dsn: str, root: LakeRoot, seed: int
) -> None:
    random = Random(seed)
    ticks = some_slots(random, START, hours=40, count=150)
    early, late = ticks[: len(ticks) // 2], ticks[len(ticks) // 2 - 10 :]
    in_the_lake(connection, dsn, root, early)
    while late:
        batch, late = late[: (size := random.randint(1, 60))], late[size:]
        assert store(connection, batch + batch[:2]) == []
        if random.random() < 0.5:
            merge(connection, root)
            drain(connection)
    merge(connection, root)
    drain(connection)
    assert number(connection, "select count(*) from late_ticks") == 0
    assert number(connection, "select count(*) from ticks") == 0
    assert verify(connection, START, START + 4 * DAY) == []
    assert [wrong for _, wrong in lake.verify(connection, root) if wrong] == []
    rows = pl.read_parquet(root.path("ticks/*/*.parquet"))
    keys = rows.select("site_id", "region_id", "scheduled_at", "attempt")
    assert keys.unique().height == keys.height == len({each.key for each in ticks})
    of_day_one = pl.read_parquet(root.path(of_day(START.date()))).select(keys.columns)
    assert of_day_one.equals(of_day_one.sort(keys.columns))


def test_a_prober_s_late_tick_replaces_what_stood_in_for_it_and_nothing_replaces_a_prober_s(
    connection: psycopg.Connection, dsn: str, root: LakeRoot
) -> None:
    missed = structs.replace(tick(START, Outcome.WORKER_LOST), source=Source.RECONCILER)
    in_the_lake(connection, dsn, root, [missed])
    for late in (tick(START), structs.replace(missed, outcome=Outcome.POISON), tick(START, Outcome.TIMEOUT)):
        store(connection, [late])
        merge(connection, root)
    drain(connection)
    rows = pl.read_parquet(root.path(of_day(START.date())))
    assert rows.select("outcome", "source", "state").rows() == [("ok", "prober", "up")]
    assert number(connection, "select up from rollups_hour where checks > 0") == 1


def test_a_tick_that_is_held_over_midnight_changes_the_next_day_whose_ticks_are_still_here(
    connection: psycopg.Connection, dsn: str, root: LakeRoot
) -> None:
    evening = START.replace(hour=23, minute=50)
    store(connection, [tick(evening - timedelta(minutes=20), interval_s=600)])
    store(connection, [tick(evening + timedelta(hours=3), interval_s=600)])
    drain(connection)
    archive(connection, dsn, root)
    assert lake.drop(connection, dsn, root, evening.date(), now=NOW, reached=never)
    store(connection, [tick(evening, Outcome.TIMEOUT, interval_s=600)])
    merge(connection, root)
    drain(connection)
    assert number(connection, "select down_us / 1000000 from rollups_hour where at = '2026-03-02'") == 600
    assert verify(connection, START, START + 4 * DAY) == []


def test_a_day_with_hours_that_are_not_rolled_up_waits(
    connection: psycopg.Connection, dsn: str, root: LakeRoot
) -> None:
    store(connection, [tick(START)])
    archive(connection, dsn, root)
    gone = lake.drop(connection, dsn, root, START.date(), now=NOW, reached=never)
    assert gone is None
    drain(connection)
    assert lake.drop(connection, dsn, root, START.date(), now=NOW, reached=never)


def test_a_partition_that_its_file_does_not_hold_is_not_dropped(
    connection: psycopg.Connection, dsn: str, root: LakeRoot
) -> None:
    store(connection, [tick(START), tick(START + timedelta(minutes=1))])
    archive(connection, dsn, root)
    store(connection, [tick(START + timedelta(minutes=2))])
    drain(connection)
    assert lake.drop(connection, dsn, root, START.date(), now=NOW, reached=never) is False
    lake.archive(connection, dsn, root, START.date(), now=NOW, reached=never)
    Path(root.path(of_day(START.date()))).write_bytes(b"")
    with pytest.raises(Exception, match="Parquet"):
        lake.drop(connection, dsn, root, START.date(), now=NOW, reached=never)
    assert number(connection, "select count(*) from ticks") == 3


def test_a_dropped_day_gets_no_partition_again_and_is_never_archived_again(
    connection: psycopg.Connection, dsn: str, root: LakeRoot
) -> None:
    in_the_lake(connection, dsn, root, [tick(START)])
    assert ensure_partitions(connection, [START.date()]) == []
    assert lake.archive(connection, dsn, root, START.date(), now=NOW, reached=never) is None
    assert START.date() not in to_archive(connection, NOW)
    assert pl.read_parquet(root.path(of_day(START.date()))).height == 1


def test_while_the_lake_is_away_its_hours_keep_their_marks_and_the_others_do_not_wait(
    connection: psycopg.Connection, dsn: str, root: LakeRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_lake(connection, dsn, root, [tick(START)])
    before = number(connection, "select sum(checks) from rollups_hour")
    connection.execute("insert into dirty_hours (at, site_id, region_id) values ('2026-03-01 08:00', 1, 1)")
    store(connection, [tick(START + 20 * DAY)])
    monkeypatch.setenv("BETTERSTACK_LAKE", "/nowhere")
    roller = Roller(dsn, clock=lambda: NOW)
    roller.roll()
    assert number(connection, "select sum(checks) from rollups_hour") == before + 1
    assert number(connection, "select count(*) from dirty_hours") == 1
    monkeypatch.setenv("BETTERSTACK_LAKE", str(root))
    roller.roll()
    assert number(connection, "select count(*) from dirty_hours") == 0
    assert verify(connection, START, START + 4 * DAY) == []


def test_days_that_are_open_or_young_stay(connection: psycopg.Connection) -> None:
    midnight = START.replace(hour=0) + DAY
    assert START.date() not in to_archive(connection, midnight + timedelta(hours=5))
    assert START.date() in to_archive(connection, midnight + timedelta(hours=6))
    assert to_drop(connection, NOW, KEEP) == []


def test_numbers_come_back_to_the_bit_and_any_engine_reads_them(
    connection: psycopg.Connection, dsn: str, root: LakeRoot
) -> None:
    random = Random(7)
    ticks = some_slots(random, START, hours=10, count=200)
    store(connection, ticks)
    latencies = sorted(
        row[0] for row in connection.execute("select latency_ms from ticks where latency_ms is not null")
    )
    drain(connection)
    archive(connection, dsn, root)
    path = root.path("ticks/*/*.parquet")
    query = f"select count(*), sum(latency_us) from read_parquet('{path}', hive_partitioning = true)"
    duck = duckdb.connect().execute(query).fetchall()
    pandas = pd.read_parquet(root.path(of_day(START.date())))
    rows = pl.read_parquet(path)
    assert duck == [(rows.height, rows["latency_us"].sum())]
    assert set(pandas["state"]) == {"up", "degraded", "down", "unknown"}
    assert pandas["scheduled_at"].dt.tz is not None
    back = (rows["latency_us"].drop_nulls() / 1000).cast(pl.Float32).sort()
    assert back.equals(pl.Series(latencies, dtype=pl.Float32))
