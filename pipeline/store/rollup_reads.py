"""Stored rollups as people read them: merged over what they did not ask for, with the time that was called for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import polars as pl
from psycopg import sql
from sqlalchemy import Engine, select

from pipeline.analysis import accounts, histograms
from pipeline.analysis.rollups import COUNTED, HELD
from pipeline.analysis.spans import SERIES
from pipeline.calendar import day_of
from pipeline.errors import InvalidInputError, Problem
from pipeline.frames import HOURS, ROLLUPS, TIME, schema
from pipeline.store import tables as t
from pipeline.store.scans import conditions, read
from pipeline.wanted import Names, Wanted

Every = Literal["1h", "1d"]
TABLES = {"1h": "rollups_hour", "1d": "rollups_day"}
# How much is read at a time: an hour's rows merge with no other hour's, so memory holds one step and the result.
STEPS = {"1h": timedelta(days=1), "1d": timedelta(days=30)}


def keys_of(every: Every, by: Sequence[str]) -> list[str]:
    """The columns that tell rows apart. Errors: InvalidInputError."""
    if every not in TABLES or not set(by) <= {"site", "region"}:
        raise InvalidInputError([Problem("every, by", "rollups are by 1h or 1d, and by site, region, both or none")])
    return ["at", *(name for name in ("site", "region") if name in by)]


def schema_of(keys: Sequence[str]) -> pl.Schema:
    """Frame ROLLUPS as `keys` leave it."""
    return schema(ROLLUPS, [name for name in ROLLUPS if name in keys or name not in ("site", "region")])


def floor(at: datetime, every: Every) -> datetime:
    """The beginning of the hour or the UTC day."""
    return day_of(at) if every == "1d" else at.replace(minute=0, second=0, microsecond=0)


def merged_rollups(
    dsn: str, wanted: Wanted, every: Every, names: Names, revisions: pl.DataFrame, keys: Sequence[str]
) -> pl.DataFrame:
    """Frame ROLLUPS by `keys` of the rows wanted, sorted."""
    columns = sql.SQL(", ").join(map(sql.Identifier, HOURS))
    table = sql.Identifier(TABLES[every])
    query = sql.SQL("select {} from {} where {}").format(columns, table, conditions(wanted, "at"))
    return merged_over(read(dsn, query, schema(HOURS)), wanted, every, names, revisions, keys)


def merged_over(
    rows: pl.DataFrame, wanted: Wanted, every: Every, names: Names, revisions: pl.DataFrame, keys: Sequence[str]
) -> pl.DataFrame:
    """Frame ROLLUPS by `keys` of frame HOURS, sorted, with the time that the revisions called for in the window."""
    called = accounts.expected(revisions, wanted.since, wanted.until, every)
    every_row = accounts.accounted(rows, called).with_columns(names.site(), names.region())
    whole = pl.col(*COUNTED, *HELD).cast(pl.Int64).sum()
    sums = every_row.group_by(keys).agg(whole, pl.col("expected_s").sum())
    merged = sums.join(histograms.merge(every_row, keys), on=keys, how="left", nulls_equal=True)
    filled = merged.with_columns(pl.col("buckets", "counts").fill_null([]), pl.col("expected_s").fill_null(0))
    types = schema_of(keys)
    return histograms.with_quantiles(filled).select(types.names()).cast(types).sort(keys)


def revisions_of(engine: Engine, wanted: Wanted) -> pl.DataFrame:
    """[id, site_id, region_id, effective_at, active] of every revision before the window's end."""
    columns = t.revisions.c
    types = pl.Schema({"id": pl.Int64(), **schema(HOURS, SERIES), "effective_at": TIME, "active": pl.Boolean()})
    query = select(*(columns[name] for name in types)).where(columns.effective_at < wanted.until)
    if wanted.site_ids is not None:
        query = query.where(columns.site_id.in_(wanted.site_ids))
    if wanted.region_ids is not None:
        query = query.where(columns.region_id.in_(wanted.region_ids))
    with engine.connect() as connection:
        return pl.DataFrame(list(map(tuple, connection.execute(query))), schema=types, orient="row")


def names_of(engine: Engine) -> Names:
    """The keys of all sites and regions that ever were."""
    with engine.connect() as connection:
        sites = {row.id: row.key for row in connection.execute(select(t.sites.c.id, t.sites.c.key))}
        regions = {row.id: row.key for row in connection.execute(select(t.regions.c.id, t.regions.c.key))}
    return Names(sites, regions)
