"""The formats of files: each takes frames piece by piece and writes them to an open file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO, Literal

import polars as pl
import pyarrow as pa
from pyarrow import parquet

Format = Literal["csv", "parquet", "jsonl", "openmetrics"]
SUFFIXES: Mapping[Format, str] = {"csv": "csv", "parquet": "parquet", "jsonl": "jsonl", "openmetrics": "txt"}
Write = Callable[[pl.DataFrame], None]
Writer = Callable[[BinaryIO, pl.DataFrame], AbstractContextManager[Write]]

# A spreadsheet runs a cell that begins like this as a formula; what a site answered must not become one.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
TIMES = "%Y-%m-%dT%H:%M:%S%.6fZ"


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Words as text: a file's reader knows nothing of our enums, and every piece has the same types."""
    return frame.cast({name: pl.String for name, dtype in frame.schema.items() if dtype in (pl.Categorical, pl.Enum)})


@contextmanager
def _csv(file: BinaryIO, empty: pl.DataFrame) -> Iterator[Write]:
    file.write(_cells(plain(empty)).write_csv().encode())

    def write(frame: pl.DataFrame) -> None:
        file.write(_cells(plain(frame)).write_csv(include_header=False, datetime_format=TIMES).encode())

    yield write


def _cells(frame: pl.DataFrame) -> pl.DataFrame:
    texts = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    lists = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
    return frame.with_columns(
        *(pl.col(name).cast(pl.List(pl.String)).list.join(" ") for name in lists),
        *(_harmless(pl.col(name)).alias(name) for name in texts),
    )


def _harmless(text: pl.Expr) -> pl.Expr:
    dangerous = pl.any_horizontal(text.str.starts_with(sign) for sign in FORMULA)
    return pl.when(dangerous).then(pl.lit("'") + text).otherwise(text)


@contextmanager
def _parquet(file: BinaryIO, empty: pl.DataFrame) -> Iterator[Write]:
    types = _arrow(plain(empty)).schema
    with parquet.ParquetWriter(file, types, compression="zstd") as writer:
        yield lambda frame: writer.write_table(_arrow(plain(frame)).cast(types))


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


@contextmanager
def _jsonl(file: BinaryIO, empty: pl.DataFrame) -> Iterator[Write]:
    times = [name for name, dtype in empty.schema.items() if isinstance(dtype, pl.Datetime)]

    def write(frame: pl.DataFrame) -> None:
        text = plain(frame).with_columns(pl.col(times).dt.strftime(TIMES))
        file.write(text.write_ndjson().encode())

    yield write


@contextmanager
def _openmetrics(file: BinaryIO, _empty: pl.DataFrame) -> Iterator[Write]:
    from pipeline.openmetrics import END, exposition

    first = True

    def write(frame: pl.DataFrame) -> None:
        nonlocal first
        file.write(exposition(frame, first=first).encode())
        first = False

    yield write
    file.write(END.encode())


WRITERS: Mapping[str, Writer] = {"csv": _csv, "parquet": _parquet, "jsonl": _jsonl, "openmetrics": _openmetrics}
