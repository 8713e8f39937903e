"""Frames out of Postgres through ADBC: whole results, or ticks batch by batch when somebody collects them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import polars as pl
from polars.io.plugins import register_io_source
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pipeline.calendar import DAY, day_of
from pipeline.frames import TICKS, decoded, schema, state_of
from pipeline.store.engine import plain_dsn
from pipeline.store.lake_reads import cold_days, lake_batches
from pipeline.wanted import Names, Wanted, steps

BATCH_BYTES = 4 * 2**20  # of COPY: what reads a day in pieces should not hold much of it
READ_ONLY = "-c timezone=UTC -c default_transaction_read_only=on"


def conditions(wanted: Wanted, at: str) -> sql.Composed:
    """The rows wanted, as SQL; `at` is the column that holds the time."""
    parts = [sql.SQL("{0} >= {1} and {0} < {2}").format(sql.Identifier(at), wanted.since, wanted.until)]
    for column, numbers in (("site_id", wanted.site_ids), ("region_id", wanted.region_ids)):
        if numbers is not None:
            parts.append(sql.SQL("{} = any({}::int[])").format(sql.Identifier(column), sorted(numbers)))
    return sql.SQL(" and ").join(parts)


def batches(dsn: str, query: sql.Composable) -> Iterator[pl.DataFrame]:
    """The result, some megabytes at a time."""
    from adbc_driver_postgresql import dbapi  # brings pandas along: a second of CPU, for those who read

    with (
        dbapi.connect(make_conninfo(plain_dsn(dsn), options=READ_ONLY, application_name="workbench")) as connection,
        connection.cursor() as cursor,
    ):
        cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
        cursor.execute(query.as_string())
        reader = cursor.fetch_record_batch()
        for batch in reader:
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield frame


def read(dsn: str, query: sql.Composable, types: pl.Schema) -> pl.DataFrame:
    """The whole result, in these columns and types."""
    found = [frame.cast(types) for frame in batches(dsn, query)]
    return pl.concat([pl.DataFrame(schema=types), *found])


def scan_ticks(dsn: str, wanted: Wanted, names: Callable[[], Names]) -> pl.LazyFrame:
    """Frame TICKS of the rows wanted, unsorted. Every collect asks anew, for the columns that it needs."""
    types = schema(TICKS)

    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        columns = with_columns if with_columns is not None else types.names()
        left = n_rows
        for frame in tick_batches(dsn, wanted, names(), columns, predicate):
            part = frame if predicate is None else frame.filter(predicate)
            yield part if left is None else part.head(left)
            left = None if left is None else left - part.height
            if left is not None and left <= 0:
                return

    return register_io_source(source, schema=types, is_pure=False)


def tick_batches(
    dsn: str, wanted: Wanted, names: Names, columns: Collection[str], predicate: pl.Expr | None = None
) -> Iterator[pl.DataFrame]:
    """The rows wanted, these columns of frame TICKS, some megabytes at a time, UTC day by day where some are archived.

    Days that were dropped come from the lake, where `predicate` leaves out what the caller leaves out anyway. At least
    one frame, if empty. Errors: UnavailableError.
    """
    cold = cold_days(dsn, wanted.since, wanted.until)
    if not cold:
        yield from _hot_batches(dsn, wanted, names, columns)
        return
    yield pl.DataFrame(schema=schema(TICKS, columns))
    for day in steps(wanted, DAY):
        archived = cold.get(day_of(day.since))
        if archived is None:
            yield from _hot_batches(dsn, day, names, columns)
        else:
            yield from lake_batches(archived, day, names, columns, predicate)


def _hot_batches(dsn: str, wanted: Wanted, names: Names, columns: Collection[str]) -> Iterator[pl.DataFrame]:
    types = schema(TICKS, columns)
    derived = {"site": names.site(), "region": names.region(), "state": state_of()}
    needed = {"site": "site_id", "region": "region_id", "state": "outcome"}
    physical = dict.fromkeys(needed.get(name, name) for name in columns)
    query = sql.SQL("select {} from ticks where {}").format(
        sql.SQL(", ").join(map(sql.Identifier, physical)) if physical else sql.SQL("site_id"),
        conditions(wanted, "scheduled_at"),
    )
    yield pl.DataFrame(schema=types)
    for frame in batches(dsn, query):
        yield frame.select(_column(name, derived) for name in columns).cast(types)


def _column(name: str, derived: Mapping[str, pl.Expr]) -> pl.Expr:
    if name in derived:
        return derived[name]
    return decoded(name) if name in ("outcome", "kind", "clock", "source") else pl.col(name)
