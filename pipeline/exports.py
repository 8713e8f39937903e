"""Exports: ticks or hourly rollups as CSV or Parquet, in pieces, so that memory does not grow with the range."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from pipeline.errors import InvalidInputError, Problem
from pipeline.frames import ROLLUPS, TICKS, schema
from pipeline.workbench import Moment, Workbench

What = Literal["ticks", "rollups"]
Format = Literal["csv", "parquet"]

# A spreadsheet runs a cell that begins like this as a formula; what a site answered must not become one.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
FRAMES = {"ticks": TICKS, "rollups": ROLLUPS}
TIMES = "%Y-%m-%dT%H:%M:%S%.6fZ"


def export(
    workbench: Workbench,
    out: Path | BinaryIO,
    *,
    what: What = "ticks",
    format: Format = "csv",  # noqa: A002 - the word people use
    since: Moment = "-7d",
    until: Moment | None = None,
    sites: Collection[str] | None = None,
    regions: Collection[str] | None = None,
) -> int:
    """Write the rows of [since, until) and return how many. A path holds all of them or is not there.

    Columns are those of the frame, words in place of enums; in CSV times are ISO 8601 in UTC, lists are separated by
    spaces, and text that a spreadsheet would run as a formula begins with an apostrophe.
    Errors: NotFoundError, InvalidInputError.
    """
    if what not in FRAMES or format not in _WRITERS:
        raise InvalidInputError([Problem("what, format", "export ticks or rollups, as csv or parquet")])
    frames = _frames(workbench, what, since, until, sites, regions)
    empty = _plain(pl.DataFrame(schema=schema(FRAMES[what])))
    with _target(out) as file, _WRITERS[format](file, empty) as write:
        rows = 0
        for frame in frames:
            if frame.height:
                write(_plain(frame))
                rows += frame.height
    return rows


def _frames(
    workbench: Workbench,
    what: What,
    since: Moment,
    until: Moment | None,
    sites: Collection[str] | None,
    regions: Collection[str] | None,
) -> Iterator[pl.DataFrame]:
    if what == "ticks":
        return workbench.tick_batches(sites, since, until, regions)
    return workbench.rollup_batches("1h", ("site", "region"), since, until, sites, regions)


def _plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Words as text: a file's reader knows nothing of our enums, and every piece has the same types."""
    return frame.cast({name: pl.String for name, dtype in frame.schema.items() if dtype in (pl.Categorical, pl.Enum)})


@contextmanager
def _target(out: Path | BinaryIO) -> Iterator[BinaryIO]:
    if not isinstance(out, Path):
        yield out
        return
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)


Write = Callable[[pl.DataFrame], None]


@contextmanager
def _csv(file: BinaryIO, empty: pl.DataFrame) -> Iterator[Write]:
    file.write(_cells(empty).write_csv().encode())

    def write(frame: pl.DataFrame) -> None:
        file.write(_cells(frame).write_csv(include_header=False, datetime_format=TIMES).encode())

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
    types = _arrow(empty).schema
    with parquet.ParquetWriter(file, types, compression="zstd") as writer:
        yield lambda frame: writer.write_table(_arrow(frame).cast(types))


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


_WRITERS = {"csv": _csv, "parquet": _parquet}
