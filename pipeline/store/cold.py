"""Ticks of days that lie in the lake alone, for the roller: an hour is made of its file then, never of nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import polars as pl
import psycopg

from pipeline.analysis.spans import SERIES
from pipeline.calendar import DAY
from pipeline.frames import TICKS, schema
from pipeline.lake.files import LakeRoot
from pipeline.lake.ticks import chosen, collected, nothing, rows_of, unpacked
from pipeline.store.lake_days import LakeDay, cold, lake_root
from pipeline.vocabulary import Kind
from pipeline.wanted import Wanted

HOUR = timedelta(hours=1)


def cold_around(
    connection: psycopg.Connection, chunk: pl.DataFrame, columns: Sequence[str], hold: timedelta
) -> pl.DataFrame:
    """As `slots.ticks_around`, what of it lies in the lake: an hour's ticks, and the slot that may be held into it.

    Errors: UnavailableError.
    """
    found = [pl.DataFrame(schema=schema(TICKS, columns))]
    hours = chunk["at"].unique().to_list()
    if hours and (days := cold(connection, min(hours) - hold, max(hours) + HOUR)):
        root = lake_root()
        for of_hour in chunk.partition_by("at"):
            found += _of_hour(root, days, of_hour, columns, hold)
    return pl.concat(found)


def cold_between(
    connection: psycopg.Connection, since: datetime, until: datetime, columns: Sequence[str]
) -> pl.DataFrame:
    """As `slots.ticks_between`, what of it lies in the lake. Errors: UnavailableError."""
    empty = pl.DataFrame(schema=schema(TICKS, columns))
    if not (days := cold(connection, since, until)):
        return empty
    root = lake_root()
    found = unpacked(_scheduled(root, days, Wanted(since, until)), None, columns)
    return pl.concat([empty, collected(root, found)])


def cold_sites(
    connection: psycopg.Connection, sites: Sequence[int], since: datetime, until: datetime, columns: Sequence[str]
) -> pl.DataFrame:
    """As `slots.ticks_of`, what of it lies in the lake. Errors: UnavailableError."""
    empty = pl.DataFrame(schema=schema(TICKS, columns))
    if not (days := cold(connection, since, until)):
        return empty
    root = lake_root()
    found = unpacked(_scheduled(root, days, Wanted(since, until, site_ids=sites)), None, columns)
    return pl.concat([empty, collected(root, found)])


def _of_hour(
    root: LakeRoot, days: Sequence[LakeDay], chunk: pl.DataFrame, columns: Sequence[str], hold: timedelta
) -> list[pl.DataFrame]:
    """Of one hour: its own ticks, and of those before the last slot of each series."""
    hour, sites = chunk["at"][0], chunk["site_id"].unique().to_list()
    within = Wanted(hour, hour + HOUR, site_ids=sites)
    before = _scheduled(root, days, Wanted(hour - hold, hour, site_ids=sites)).filter("final")
    last = before.group_by(SERIES).agg(pl.col("scheduled_at").max())
    carried = before.join(last, on=[*SERIES, "scheduled_at"], how="semi")
    return [
        collected(root, unpacked(rows, None, columns)).join(chunk, on=SERIES, how="semi")
        for rows in (_scheduled(root, days, within), carried)
    ]


def _scheduled(root: LakeRoot, days: Sequence[LakeDay], wanted: Wanted) -> pl.LazyFrame:
    """The scheduled attempts wanted, of those of the days whose files can have any."""
    paths = [each.path for each in days if each.at < wanted.until and each.at + DAY > wanted.since]
    found = pl.concat([rows_of(root, path) for path in paths]) if paths else nothing()
    return chosen(found, wanted).filter(pl.col("kind") == Kind.SCHEDULED.value)
