"""What the heatmap of a site shows, of single checks where those can be told, else of rollups; and checks for a box."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

import polars as pl
from msgspec import Struct
from psycopg import sql
from sqlalchemy import Connection, text

from pipeline.analysis.boxes import Box
from pipeline.charts.heat import heat_by, heat_of, width_of
from pipeline.frames import HOURS, schema
from pipeline.store.copies import copied, us
from pipeline.store.engine import driver
from pipeline.store.history import STEPS, Source, source_of
from pipeline.store.slots import ticks_of

_ROLLUPS = {Source.HOURS: sql.Identifier("rollups_hour"), Source.DAYS: sql.Identifier("rollups_day")}
_TYPES = pl.Schema({**schema(HOURS, ["at", "down"]), **schema(HOURS, ["buckets", "counts"])})
_KEPT = sql.SQL("""
    select {at}, down, buckets, counts from {table}
    where site_id = {site} and at >= {since} and at < {until} and ({everywhere} or region_id = any({regions}))
""")
_REGIONS = text("select id from regions where deleted_at is null and key = any(:keys)")
_CHECKS = text("""
    select coalesce(sum(attempts), 0) from rollups_hour where site_id = :site and at >= :since and at < :until
""")
MOST_CHECKS = 60_000  # that a box is explained of: reading and comparing them takes some 150 ms
AROUND = 4  # times as long as the box, on either side of it
LEAST_AROUND = timedelta(hours=6)


class Heat(Struct, frozen=True):
    """Cells (`charts.heat.HEAT`) of columns that are `width` wide."""

    source: Source
    width: timedelta
    cells: pl.DataFrame


def heat(
    connection: Connection,
    site_id: int,
    *,
    since: datetime,
    until: datetime,
    regions: Collection[str] | None = None,
) -> Heat:
    """The heatmap of [since, until), from its first whole column on; of all regions or the named ones."""
    source = source_of(connection, site_id, since, until)
    ids = list(connection.execute(_REGIONS, {"keys": sorted(regions)}).scalars()) if regions else []
    if source is Source.TICKS:
        width = width_of(since, until, timedelta(minutes=1))
        ticks = ticks_of(driver(connection), [site_id], since, until)
        seen = ticks.filter(pl.col("region_id").is_in(ids)) if regions else ticks
        return Heat(source, width, heat_by(seen, width))
    width = width_of(since, until, STEPS[source])
    query = _KEPT.format(
        at=us("at"), table=_ROLLUPS[source], site=site_id, since=since, until=until, everywhere=not regions, regions=ids
    )
    return Heat(source, width, heat_of(copied(driver(connection), query, _TYPES), width))


def compared_with(
    connection: Connection, site_id: int, box: Box, since: datetime, until: datetime
) -> Sequence[datetime]:
    """(since, until) of the checks that a box is held against: around it, as far as the window and their number allow.

    The box itself is always within.
    """
    around = max(AROUND * (box.until - box.since), LEAST_AROUND)
    while True:
        first, last = min(box.since, max(since, box.since - around)), max(box.until, min(until, box.until + around))
        checks = connection.execute(_CHECKS, {"site": site_id, "since": first, "until": last}).scalar_one()
        if checks <= MOST_CHECKS or around < timedelta(minutes=10):
            return first, last
        around /= 2
