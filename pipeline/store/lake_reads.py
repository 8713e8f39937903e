"""Ticks of dropped days for whoever reads: out of the lake, as the hot ones come out of Postgres."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime

import polars as pl

from pipeline.lake.ticks import chosen, read_whole, rows_of, unpacked
from pipeline.store.lake_days import LakeDay, cold, lake_root
from pipeline.store.session import session
from pipeline.wanted import Names, Wanted

BATCH = 100_000  # rows: some 20 MB with every column


def cold_days(dsn: str, since: datetime, until: datetime) -> Mapping[datetime, LakeDay]:
    """The days of [since, until) that lie in the lake alone, by their midnight."""
    with session(dsn, "workbench", lock_timeout_ms=5_000) as connection:
        return {each.at: each for each in cold(connection, since, until)}


def lake_batches(
    day: LakeDay, wanted: Wanted, names: Names, columns: Collection[str], predicate: pl.Expr | None
) -> Iterator[pl.DataFrame]:
    """The rows wanted of an archived day, these columns of frame TICKS. Errors: UnavailableError."""
    root = lake_root()
    rows = chosen(rows_of(root, day.path), wanted)
    found = unpacked(rows, names)
    yield from read_whole(root, (found if predicate is None else found.filter(predicate)).select(columns), BATCH)
