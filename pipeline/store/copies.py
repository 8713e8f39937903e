"""Frames into tables and out of them by COPY, in the caller's transaction: narrow ones, lists of numbers among them."""

from __future__ import annotations

import io
from collections.abc import Sequence

import polars as pl
import psycopg
from psycopg import sql


def copied(connection: psycopg.Connection, query: sql.Composable, types: pl.Schema) -> pl.DataFrame:
    """The query's rows, its columns in these types. It gives a time as whole microseconds since 1970 (see `us`)."""
    copying = sql.SQL("copy ({}) to stdout (format csv)").format(query)
    with connection.cursor() as cursor, cursor.copy(copying) as copy:
        text = b"".join(copy)
    if not text:
        return pl.DataFrame(schema=types)
    raw = {name: _raw(dtype) for name, dtype in types.items()}
    frame = pl.read_csv(io.BytesIO(text), has_header=False, schema=raw)
    return frame.with_columns(
        *(_numbers(name) for name, dtype in types.items() if dtype == pl.List),
        *(pl.col(name) == "t" for name, dtype in types.items() if dtype == pl.Boolean),
    ).cast(types)


def us(name: str) -> sql.Composed:
    """A time as `copied` reads it."""
    return sql.SQL("(extract(epoch from {0}) * 1000000)::int8 as {0}").format(sql.Identifier(name))


def copy_in(connection: psycopg.Connection, table: sql.Identifier, rows: pl.DataFrame) -> None:
    """The frame's rows into the table's columns of the same names."""
    if rows.is_empty():
        return
    lists = [name for name, dtype in rows.schema.items() if dtype == pl.List]
    text = rows.with_columns(_array(name) for name in lists).write_csv(
        include_header=False, datetime_format="%Y-%m-%d %H:%M:%S%.6f+00"
    )
    names = sql.SQL(", ").join(map(sql.Identifier, rows.columns))
    copying = sql.SQL("copy {} ({}) from stdin (format csv)").format(table, names)
    with connection.cursor() as cursor, cursor.copy(copying) as copy:
        copy.write(text)


def listed(keys: pl.DataFrame) -> Sequence[list[object]]:
    """A frame's columns as the parameters of an `unnest`."""
    return [keys[name].to_list() for name in keys.columns]


def _raw(dtype: pl.DataType) -> pl.DataType:
    if isinstance(dtype, pl.List | pl.Boolean):
        return pl.String()
    return pl.Int64() if isinstance(dtype, pl.Datetime) else dtype


def _array(name: str) -> pl.Expr:
    """A list column as Postgres writes arrays."""
    return pl.concat_str(pl.lit("{"), pl.col(name).cast(pl.List(pl.String)).list.join(","), pl.lit("}")).alias(name)


def _numbers(name: str) -> pl.Expr:
    """An array as Postgres writes it as a list of strings of digits."""
    inside = pl.col(name).str.strip_chars("{}")
    return pl.when(inside == "").then(pl.lit([], pl.List(pl.String))).otherwise(inside.str.split(",")).alias(name)
