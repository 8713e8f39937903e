"""One day's file: written in row groups whose columns are packed by what they hold, read back, summed up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.frames import TIME
from pipeline.lake.files import LakeRoot
from pipeline.lake.ticks import COLUMNS, KEY, MEASURED

ROW_GROUP = 32_768  # rows: a writer and a reader hold one each, and a site is found without many neighbours
LEVEL = 9  # of zstd: what is left is noise, which more does not shrink

_ARROW = {
    pl.String(): pa.string(),
    pl.Int16(): pa.int16(),
    pl.Int32(): pa.int32(),
    pl.Int64(): pa.int64(),
    pl.Boolean(): pa.bool_(),
    TIME: pa.timestamp("us", "UTC"),
}
_SCHEMA = pa.schema([(name, _ARROW[dtype]) for name, dtype in COLUMNS.items()])
# Neighbours differ by little: a series' slots by its interval, its latencies by their jitter.
_DELTA = ("scheduled_at", "late_us", "bytes", *(f"{name}_us" for name in MEASURED))
# What is read off others, or was a name when the file was written: not part of what was measured.
_DERIVED = {"site", "region", "state"}


class TickFile:
    """Writes rows, sorted by KEY, in row groups of one size; counts and sums them up meanwhile."""

    def __init__(self, sink: Any) -> None:
        self._waiting: list[pl.DataFrame] = []
        self._height = 0
        self.seen = Checksum()
        words = [name for name in COLUMNS if name not in _DELTA]
        self._writer = pq.ParquetWriter(
            sink,
            _SCHEMA,
            compression="zstd",
            compression_level=LEVEL,
            use_dictionary=words,
            column_encoding=dict.fromkeys(_DELTA, "DELTA_BINARY_PACKED"),
            sorting_columns=pq.SortingColumn.from_ordering(_SCHEMA, [(name, "ascending") for name in KEY]),
            store_schema=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._height:
            self._write(pl.concat(self._waiting))
        self._writer.close()
        pa.default_memory_pool().release_unused()

    def write(self, rows: pl.DataFrame) -> None:
        """Rows as `packed` returns them, after those before."""
        self.seen.add(rows)
        self._waiting.append(rows)
        self._height += rows.height
        if self._height < ROW_GROUP:
            return
        whole = pl.concat(self._waiting)
        for start in range(0, whole.height - ROW_GROUP + 1, ROW_GROUP):
            self._write(whole.slice(start, ROW_GROUP))
        rest = whole.slice(whole.height // ROW_GROUP * ROW_GROUP)
        self._waiting, self._height = [rest.clone()], rest.height

    def _write(self, rows: pl.DataFrame) -> None:
        self._writer.write_table(rows.to_arrow().cast(_SCHEMA), row_group_size=ROW_GROUP)


class Checksum:
    """Count and sum of rows that are the same in any order, on any machine: 64 bits mixed by column, then by row."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = np.uint64(0)

    @classmethod
    def of(cls, batches: Iterable[pl.DataFrame]) -> Self:
        found = cls()
        for batch in batches:
            found.add(batch)
        return found

    def add(self, rows: pl.DataFrame) -> None:
        """Rows as `packed` returns them."""
        whole = np.zeros(rows.height, np.uint64)
        with np.errstate(over="ignore"):
            for name in COLUMNS:
                if name not in _DERIVED:
                    whole += _mixed(_numbers(rows[name]) ^ _digest(name))
            self._sum += _mixed(whole).sum(dtype=np.uint64)
        self.rows += rows.height

    def __str__(self) -> str:
        return f"{int(self._sum):016x}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Checksum) and (self.rows, str(self)) == (other.rows, str(other))

    def __hash__(self) -> int:
        return hash((self.rows, str(self)))


def batches(root: LakeRoot, relative: str) -> Iterator[pl.DataFrame]:
    """A file's rows, some at a time, in their order. Errors: UnavailableError."""
    with root.reached(), root.filesystem().open_input_file(root.inside(relative)) as source:
        for batch in pq.ParquetFile(source, pre_buffer=False).iter_batches(ROW_GROUP, use_threads=False):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield frame.select(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items())


def checksum(root: LakeRoot, relative: str) -> Checksum:
    """Count and checksum of a file. Errors: UnavailableError."""
    return Checksum.of(batches(root, relative))


def _numbers(column: pl.Series) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """A column's values as 64 bits each; those of nulls are a number of their own."""
    if column.dtype == pl.String:
        words = column.unique().drop_nulls()
        digests = pl.Series([int(_digest(word)) for word in words.to_list()], dtype=pl.UInt64)
        column = column.replace_strict(words, digests, return_dtype=pl.UInt64, default=None)
    elif column.dtype == pl.Boolean:
        column = column.cast(pl.UInt8)
    numbers = column.to_physical().cast(pl.Int64) if column.dtype != pl.UInt64 else column
    found = numbers.fill_null(0).to_numpy().astype(np.uint64, copy=True)
    found[column.is_null().to_numpy()] = _NULL
    return found


def _digest(word: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big"))


_NULL = _digest("null")


def _mixed(numbers: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
