"""Ticks into Postgres as the recorder and the bulk loads put them there, beside a bare COPY of the same rows; and the
roller over the last minutes of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any

import polars as pl
import psycopg
from psycopg import sql

from pipeline.declared import RegionIn, SiteIn
from pipeline.store.bulk import make_room, store_frame
from pipeline.store.regions import create_region
from pipeline.store.rollups import roll, verify
from pipeline.store.sites import create_sites
from pipeline.store.ticks import COLUMNS, store_ticks
from pipeline.vocabulary import Clock, Kind, Outcome, Phases, Source, Tick
from tests.bench._ticks import INTERVAL_S, PHASES, REGIONS, day_of_ticks
from tests.harness import writing

BATCH = 10_000
MINUTE = timedelta(minutes=1)
_NAMES = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
_WORDS: dict[str, list[Any]] = {
    "outcome": list(Outcome),
    "kind": list(Kind),
    "clock": list(Clock),
    "source": list(Source),
}


def declare(dsn: str, sites: int, now: datetime) -> None:
    """The regions and sites whose ticks come, numbered from 1."""
    with writing(dsn) as store:
        for region in range(1, REGIONS + 1):
            create_region(store, RegionIn(key=f"region-{region}"), now=now, actor="bench")
        wanted = [
            SiteIn(key=f"site-{n}", url=f"https://site-{n}.example", interval_s=INTERVAL_S) for n in range(1, sites + 1)
        ]
        create_sites(store, wanted, now=now, actor="bench")


def ingest(connection: psycopg.Connection, ticks: pl.DataFrame, batches: int) -> dict[str, float]:
    """Rows a second of three ways, a batch of each in turn, each in a transaction; the recorder's are `Tick`s.

    The bare COPY has its rows ready as bytes: what it takes is Postgres' work alone. All of `ticks` are stored then.
    """
    connection.execute("create table bare (like ticks including defaults)")
    make_room(connection, ticks["scheduled_at"].dt.date().unique().to_list())
    spent = {"bare": 0.0, "recorder": 0.0, "bulk": 0.0}
    pieces = list(ticks.head(ticks.height // (2 * BATCH) * 2 * BATCH).iter_slices(BATCH))[: 2 * batches]
    for one, other in zip(pieces[::2], pieces[1::2], strict=True):
        ready = _bytes(connection, one)
        recorded = as_ticks(one)
        spent["bare"] += _timed(connection, partial(_bare, connection, ready))
        spent["recorder"] += _timed(connection, partial(store_ticks, connection, recorded))
        spent["bulk"] += _timed(connection, partial(store_frame, connection, other))
    rows = sum(piece.height for piece in pieces[::2])
    for piece in ticks[2 * rows :].iter_slices(200_000):
        with connection.transaction():
            store_frame(connection, piece)
    connection.execute("drop table bare")
    return {f"{name}_rows_s": round(rows / seconds) for name, seconds in spent.items()}


def hot_bytes(connection: psycopg.Connection) -> dict[str, float]:
    """Bytes a tick in the partitions: rows, and with the key and the like."""
    connection.execute("vacuum analyze ticks")
    row = connection.execute("""
        select (select count(*) from ticks), sum(pg_relation_size(inhrelid)), sum(pg_total_relation_size(inhrelid))
        from pg_inherits where inhparent = 'ticks'::regclass
    """).fetchone()
    assert row is not None
    rows, heap, whole = map(float, row)
    return {"heap_bytes_a_tick": round(heap / rows, 1), "hot_bytes_a_tick": round(whole / rows, 1)}


def incremental(connection: psycopg.Connection, day: datetime, sites: int, rounds: int) -> dict[str, Any]:
    """Milliseconds of `roll` after five more minutes of all series: at the hour's start, in its middle, at its end.

    The hours before are rolled up, so spans and votes of the day are there.
    """
    whole = pl.concat(day_of_ticks(day, sites))
    start = day + timedelta(hours=10)
    make_room(connection, [day.date()])
    _store(connection, whole, start, start + timedelta(hours=2))
    _roll(connection)
    found: dict[str, list[float]] = {"start": [], "middle": [], "end": []}
    for number in range(rounds):
        at = start + timedelta(hours=2 + number)
        for name, minute, until in (("start", 0, 5), ("middle", 25, 30), ("end", 55, 60)):
            if minute:
                _store(connection, whole, at + {25: 5, 55: 30}[minute] * MINUTE, at + minute * MINUTE)
                _roll(connection)
            _store(connection, whole, at + minute * MINUTE, at + until * MINUTE)
            connection.execute("analyze dirty_hours")
            began = time.perf_counter()
            _roll(connection)
            found[name].append(1000 * (time.perf_counter() - began))
    differences = len(verify(connection, day, day + timedelta(days=1)))
    return {
        "series": sites * REGIONS,
        **{f"roll_{name}_ms": round(median(times), 1) for name, times in found.items()},
        "rollup_differences": differences,
    }


def as_ticks(frame: pl.DataFrame) -> list[Tick]:
    """Rows of the store as the recorder has them."""
    return [_tick(row) for row in frame.iter_rows(named=True)]


def _tick(row: dict[str, Any]) -> Tick:
    words = {name: _WORDS[name][row[name]] for name in _WORDS}
    phases = Phases(**{f"{name}_ms": row[f"{name}_ms"] for name in PHASES})
    rest = {name: value for name, value in row.items() if name not in words and name.removesuffix("_ms") not in PHASES}
    return Tick(**rest, **words, phases=phases)


def _store(connection: psycopg.Connection, ticks: pl.DataFrame, since: datetime, until: datetime) -> None:
    at = pl.col("scheduled_at")
    with connection.transaction():
        store_frame(connection, ticks.filter(at >= since, at < until).sort("scheduled_at"))


def _roll(connection: psycopg.Connection) -> None:
    with connection.transaction():
        roll(connection, before=datetime(9999, 1, 1, tzinfo=UTC))


def _bytes(connection: psycopg.Connection, ticks: pl.DataFrame) -> list[bytes]:
    """The rows as a binary COPY carries them."""
    with connection.transaction(force_rollback=True):
        connection.execute("create temporary table ready (like ticks including defaults)")
        with connection.cursor() as cursor, cursor.copy(_copy("ready", "csv")) as copy:
            copy.write(ticks.select(list(COLUMNS)).write_csv(include_header=False, datetime_format=_FORMAT))
        with connection.cursor() as cursor, cursor.copy(_out("ready")) as copy:
            return [b"".join(copy)]


def _bare(connection: psycopg.Connection, ready: list[bytes]) -> None:
    with connection.cursor() as cursor, cursor.copy(_copy("bare", "binary")) as copy:
        for part in ready:
            copy.write(part)


def _timed(connection: psycopg.Connection, work: Callable[[], object]) -> float:
    began = time.perf_counter()
    with connection.transaction():
        work()
    return time.perf_counter() - began


def _copy(table: str, form: str) -> sql.Composed:
    return sql.SQL("copy {} ({}) from stdin (format {})").format(sql.Identifier(table), _NAMES, sql.SQL(form))


def _out(table: str) -> sql.Composed:
    return sql.SQL("copy (select {} from {}) to stdout (format binary)").format(_NAMES, sql.Identifier(table))


_FORMAT = "%Y-%m-%d %H:%M:%S%.6f+00"
