"""Sites over weeks and months, from the hours and days that the roller keeps, where ticks are too many or gone.

Time that was called for and that nobody speaks for is counted, so that a gap reads as unknown and not as nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil
from typing import Literal

import polars as pl
from msgspec import Struct
from psycopg import sql
from sqlalchemy import Connection, text

from pipeline.analysis import histograms
from pipeline.analysis.accounts import accounted, expected
from pipeline.analysis.rollups import KEY
from pipeline.analysis.spans import SERIES
from pipeline.charts.shapes import COUNTED, bucket_of, grid, latency_of
from pipeline.charts.shares import overview_of, seconds_by_state, shares_of
from pipeline.frames import HOURS, TIME, schema
from pipeline.store.engine import driver
from pipeline.store.rollups import stored
from pipeline.store.series import POINTS, latency_over_time, overview_of_ticks, phases_over_time, state_spans

Every = Literal["1h", "1d"]
FROM_TICKS = timedelta(hours=24)  # up to this range the ticks themselves are asked
FROM_HOURS = timedelta(days=31)  # and up to this one the hours: beyond, days are as many as there is room for
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PHASES_FROM_TICKS = timedelta(days=7)  # means of phases are in no rollup
P95 = {"p95_ms": 0.95}
_TABLES = {"1h": sql.Identifier("rollups_hour"), "1d": sql.Identifier("rollups_day")}

_REVISIONS = text("""
    select v.id, v.site_id, v.region_id, v.effective_at, v.active from revisions v
    where v.site_id = any(:sites) and v.effective_at < :until
""")
_REGIONS = text("select id, key from regions")
# Whole days of ticks are dropped at once, so the first hour of a range tells whether its ticks are still there.
_KEPT = text("""
    select exists (select from ticks where site_id = :site and scheduled_at >= :since and scheduled_at < :hour_after),
        exists (select from rollups_hour where site_id = :site and at >= :hour and at < :hour_after and checks > 0)
""")


class Source(StrEnum):
    """What a range is drawn of."""

    TICKS = "ticks"
    HOURS = "1h"
    DAYS = "1d"


EVERY: dict[Source, Every] = {Source.HOURS: "1h", Source.DAYS: "1d"}
STEPS = {Source.HOURS: HOUR, Source.DAYS: DAY}


class Detail(Struct, frozen=True):
    """A site over a range. `states` is `STATES` where it is drawn of ticks, else `SHARES`; phases are kept by tick."""

    source: Source
    states: pl.DataFrame
    latency: pl.DataFrame
    phases: pl.DataFrame | None


class Strip(Struct, frozen=True):
    """A site in a row of a list: by bucket its seconds (down, degraded, unknown, up) and its 95th percentile."""

    seconds: list[tuple[float, float, float, float]]
    p95s_ms: list[float | None]
    p95_ms: float | None  # over the whole range, None where nothing was answered


def detail(
    connection: Connection,
    site_id: int,
    *,
    since: datetime,
    until: datetime,
    rolled: datetime,
    regions: Collection[str] | None = None,
) -> Detail:
    """What a site's page draws of [since, until); `rolled` is up to when the roller may have come."""
    source = source_of(connection, site_id, since, until)
    given = {"since": since, "until": until}
    phases = None
    if source is Source.TICKS or until - since <= PHASES_FROM_TICKS:
        phases = phases_over_time(connection, site_id, regions=regions, **given)
    if source is Source.TICKS:
        states = state_spans(connection, [site_id], **given)
        return Detail(source, states, latency_over_time(connection, site_id, regions=regions, **given), phases)
    states, latency = _long(connection, site_id, since, min(until, rolled), source, regions)
    return Detail(source, states, latency, phases)


def overview(
    connection: Connection,
    site_id: int,
    *,
    since: datetime,
    until: datetime,
    rolled: datetime,
    regions: Collection[str] | None = None,
) -> pl.DataFrame:
    """A site's whole range (columns `OVERVIEW`), all regions or the named ones together."""
    if until - since <= FROM_TICKS:
        return overview_of_ticks(connection, site_id, since=since, until=until, regions=regions)
    source = Source.DAYS if until - since > FROM_HOURS else Source.HOURS
    until = min(until, rolled)
    width = width_of(source, since, until)
    since = bucket_of(since, width)
    found = rollups(connection, [site_id], since=since, until=until, every=EVERY[source], regions=regions)
    return overview_of(found, width, since, until)


def strips(
    connection: Connection,
    site_ids: Sequence[int],
    *,
    since: datetime,
    until: datetime,
    regions: Collection[str] | None = None,
) -> dict[int, Strip]:
    """Each site over the same range, by hour for a day and by UTC day beyond, of all its regions or the named ones."""
    source = Source.DAYS if until - since > 2 * DAY else Source.HOURS
    step = STEPS[source]
    since = bucket_of(since, step)
    found = rollups(connection, site_ids, since=since, until=until, every=EVERY[source], regions=regions)
    by = ["site_id", "at"]
    seconds = found.group_by(by).agg(expr.sum() for expr in seconds_by_state())
    latency = histograms.with_quantiles(histograms.merge(found, by), P95).select(*by, "p95_ms")
    whole = histograms.with_quantiles(histograms.merge(found, ["site_id"]), P95)
    overall = dict(whole.select("site_id", "p95_ms").iter_rows())
    ids = pl.DataFrame({"site_id": sorted(set(site_ids))}, schema={"site_id": pl.Int32})
    buckets = grid(since, bucket_of(until - timedelta(microseconds=1), step), step)
    rows = ids.join(buckets, how="cross").join(seconds, on=by, how="left").join(latency, on=by, how="left").sort(by)
    states = [state.value for state in COUNTED]
    drawn = rows.with_columns(pl.col(states).fill_null(0.0)).select(*states, "p95_ms").rows()
    # Every site has as many rows as there are buckets, and they are sorted.
    size = buckets.height
    return {
        site: Strip([row[:-1] for row in part], [row[-1] for row in part], overall.get(site))
        for place, site in enumerate(sorted(set(site_ids)))
        if (part := drawn[place * size : (place + 1) * size])
    }


def source_of(connection: Connection, site_id: int, since: datetime, until: datetime) -> Source:
    """Ticks for up to a day, while they are kept; else hours, and days for more than a month."""
    if until - since > FROM_HOURS:
        return Source.DAYS
    if until - since > FROM_TICKS:
        return Source.HOURS
    hour = bucket_of(since, HOUR)
    given = {"site": site_id, "since": since, "hour": hour, "hour_after": hour + 2 * HOUR}
    ticks, hours = connection.execute(_KEPT, given).one()
    return Source.HOURS if hours and not ticks else Source.TICKS


def width_of(source: Source, since: datetime, until: datetime) -> timedelta:
    """A bucket of hours or days: whole ones, and no more than `POINTS` of them."""
    step = STEPS[source]
    return step * max(1, ceil((until - since) / POINTS / step))


def _long(
    connection: Connection,
    site_id: int,
    since: datetime,
    until: datetime,
    source: Source,
    regions: Collection[str] | None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`SHARES` of every region and `LATENCY` of the named ones; the bucket in which `since` is, is there as a whole."""
    width = width_of(source, since, until)
    since = bucket_of(since, width)
    found = rollups(connection, [site_id], since=since, until=until, every=EVERY[source])
    seen = found.filter(pl.col("region").is_in(list(regions))) if regions else found
    merged = None if width == STEPS[source] else width
    return shares_of(found, width, since, until), latency_of(seen, merged, since, until)


def rollups(
    connection: Connection,
    site_ids: Sequence[int],
    *,
    since: datetime,
    until: datetime,
    every: Every,
    regions: Collection[str] | None = None,
) -> pl.DataFrame:
    """Frame HOURS with `region` and `expected_s`: every series' hours (or UTC days) in [since, until)."""
    rows = stored(driver(connection), _TABLES[every], since, until, list(site_ids))
    given = {"sites": list(site_ids), "until": until}
    types = pl.Schema({"id": pl.Int64(), **schema(HOURS, SERIES), "effective_at": TIME, "active": pl.Boolean()})
    revisions = [tuple(row) for row in connection.execute(_REVISIONS, given)]
    called = expected(pl.DataFrame(revisions, schema=types, orient="row"), since, until, every)
    names = {row.id: row.key for row in connection.execute(_REGIONS)}
    region = pl.col("region_id").replace_strict(names, default=None, return_dtype=pl.String)
    found = accounted(rows, called).with_columns(region=region)
    if regions:
        found = found.filter(pl.col("region").is_in(list(regions)))
    return found.sort(KEY)
