"""Whole frames of ticks into Postgres: history from elsewhere, and the demo's. By the key and rule of single ones."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import polars as pl
import psycopg
from psycopg import sql

from pipeline.analysis.spans import SERIES
from pipeline.frames import TIME
from pipeline.judge.verdict import INTERVALS_HELD
from pipeline.store.lake_days import dropped
from pipeline.store.ticks import COLUMNS, KINDS, MERGE, MERGE_LATE, ensure_partitions
from pipeline.vocabulary import Kind

NAMES = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
_COPY = sql.SQL("copy {} ({}) from stdin (format csv)")

MANY = 5_000  # marks that Postgres should know of: by the statistics of an empty table it looks for each by a scan


def store_frame(connection: psycopg.Connection, ticks: pl.DataFrame) -> int:
    """Store what is not stored yet of a frame with the columns of `store.ticks.COLUMNS`; returns how many rows it has.

    Codes as the store keeps them, no slot's attempt twice. Makes the partitions that are missing, marks the hours that
    change for the roller. Runs in the caller's transaction; who makes it long calls `make_room` before.
    """
    height = ticks.height
    ticks = _here(connection, ticks.with_columns(pl.col(pl.Float32).cast(pl.Float64).round(3).cast(pl.Float32)))
    if ticks.is_empty():
        return height
    ensure_partitions(connection, ticks["scheduled_at"].dt.date().unique().to_list())
    try:
        with connection.transaction():
            _copy(connection, sql.Identifier("ticks"), ticks)
    except psycopg.errors.UniqueViolation:
        _merge(connection, ticks, MERGE)
    mark(connection, touched(ticks))
    return height


def make_room(connection: psycopg.Connection, days: Iterable[date]) -> None:
    """Make the days' partitions, each in a moment of its own: nobody may touch ticks while that transaction lasts."""
    for day in days:
        with connection.transaction():
            ensure_partitions(connection, [day])


def _here(connection: psycopg.Connection, ticks: pl.DataFrame) -> pl.DataFrame:
    """Those whose day has a partition; the others are set aside for the files of their days."""
    gone = dropped(connection, ticks["scheduled_at"].dt.date().unique().to_list())
    late = pl.col("scheduled_at").dt.date().is_in(list(gone))
    if gone:
        _merge(connection, ticks.filter(late), MERGE_LATE)
        connection.execute("delete from incoming")
    return ticks.filter(~late) if gone else ticks


def _merge(connection: psycopg.Connection, ticks: pl.DataFrame, merge: sql.Composed) -> None:
    connection.execute(
        "create temporary table if not exists incoming (like ticks including defaults) on commit delete rows"
    )
    _copy(connection, sql.Identifier("incoming"), ticks)
    connection.execute(merge)


def touched(ticks: pl.DataFrame) -> pl.DataFrame:
    """[at, site_id, region_id]: every hour whose rollup these ticks can change, as `store.ticks.mark_dirty` has it."""
    held = pl.col("scheduled_at") + pl.duration(seconds=INTERVALS_HELD * pl.col("interval_s").cast(pl.Int64))
    first, last = pl.col("scheduled_at").dt.truncate("1h"), held.dt.truncate("1h")
    scheduled = ticks.filter(pl.col("kind") == KINDS[Kind.SCHEDULED])
    reached = scheduled.select(*SERIES, first=first, last=last).unique()
    hours = pl.datetime_ranges("first", "last", "1h").cast(pl.List(TIME))
    return reached.select(hours.alias("at"), *SERIES).explode("at", empty_as_null=False, keep_nulls=False).unique()


def mark(connection: psycopg.Connection, hours: pl.DataFrame) -> None:
    """Mark hours [at, site_id, region_id] for the roller."""
    copying = sql.SQL("copy dirty_hours (at, site_id, region_id) from stdin (format csv)")
    with connection.cursor() as cursor, cursor.copy(copying) as copy:
        copy.write(_csv(hours.select("at", *SERIES)))
    if hours.height > MANY:
        connection.execute("analyze dirty_hours")


def _copy(connection: psycopg.Connection, table: sql.Identifier, ticks: pl.DataFrame) -> None:
    with connection.cursor() as cursor, cursor.copy(_COPY.format(table, NAMES)) as copy:
        for part in ticks.select(list(COLUMNS)).iter_slices(50_000):
            copy.write(_csv(part))


def _csv(frame: pl.DataFrame) -> str:
    """Rows as Postgres reads them: nulls are empty, empty text is quoted."""
    return frame.write_csv(include_header=False, datetime_format="%Y-%m-%d %H:%M:%S%.6f+00", quote_style="necessary")
