"""Medians out of Postgres for the questions: of each hour or day its time and its p50, never its histogram."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import polars as pl
import psycopg
from msgspec import Struct
from psycopg import sql
from sqlalchemy import Connection

from pipeline.analysis.screening import screened
from pipeline.analysis.spans import SERIES
from pipeline.answers import MEDIANS, PHASE
from pipeline.calendar import day_of
from pipeline.frames import KEY, SITE_SPANS, STATE, schema
from pipeline.store.copies import copied, us
from pipeline.store.engine import driver

HISTORY = timedelta(days=35)  # before what is asked: five weeks, of which a rhythm can be told
SCREENED = timedelta(days=14)  # before what is asked: of days, to see which series are worth their hours
MOST = 24  # sites that are looked at by the hour: some 5 ms each
PHASES = tuple(name for name in PHASE.categories if name != "total")
_LISTS = pl.Schema({"at": pl.List(pl.Int32()), "p50_ms": pl.List(pl.Float32())})
_DAY_TYPES = pl.Schema({"site_id": pl.Int32(), "region_id": pl.Int32(), **_LISTS})
_HOUR_TYPES = pl.Schema({"site": pl.String(), "region": pl.String(), "phase": pl.String(), **_LISTS})
_DOWN = ("site", "state", "since", "until")

# A row is a message of its own on the wire, and reading one costs more than what is in it: so a series is a row, and
# its times are whole days or hours since 1970. Where a site or a region is gone, so are its questions.
_DAYS = sql.SQL("""
    select d.site_id, d.region_id, array_agg((d.at at time zone 'UTC')::date - date '1970-01-01') as at,
        array_agg(d.p50_ms) as p50_ms
    from rollups_day d
    where d.at >= {since} and d.at < {until} and d.p50_ms is not null
        and d.site_id in (select id from sites where deleted_at is null)
        and d.region_id in (select id from regions where deleted_at is null)
    group by 1, 2
""")
_HOURS = sql.SQL("""
    select s.key as site, r.key as region, 'total' as phase, {at}, array_agg(h.p50_ms) as p50_ms
    from unnest({sites}::int[], {regions}::int[]) as k (site_id, region_id)
    join rollups_hour h on h.site_id = k.site_id and h.region_id = k.region_id and h.at >= {since} and h.at < {until}
    join sites s on s.id = k.site_id join regions r on r.id = k.region_id
    where h.p50_ms is not null
    group by 1, 2
""")
_AT = sql.SQL("array_agg((extract(epoch from h.at) / 3600)::int) as at")
_OF_SITE = sql.SQL("""
    select s.key as site, r.key as region, {phase} as phase, {at}, array_agg(h.{column}) as p50_ms
    from {table} h join sites s on s.id = h.site_id join regions r on r.id = h.region_id and r.deleted_at is null
    where h.site_id = {site} and h.at >= {since} and h.at < {until} and h.{column} is not null
        and ({everywhere} or r.key = any({keys}))
    group by 1, 2
""")
_FAILED = sql.SQL("""
    select s.key as site, 'down' as state, {since_us}, {until_us} from spans_site d
    join sites s on s.id = d.site_id and s.deleted_at is null
    where d.state = {down} and d.at >= {first} and d.at < {until} and d.until > {since}
        and not exists (
            select from periods p where p.deleted_at is null and p.region_id is null
                and (p.site_id is null or p.site_id = d.site_id)
                and p.since <= d.since and coalesce(p.until >= d.until, true)
        )
""")


class Screened(Struct, frozen=True):
    """Frame MEDIANS by the hour of the series worth a look; how many series differ at all, of how many."""

    medians: pl.DataFrame
    differ: int
    series: int


def worth_a_look(connection: Connection, *, since: datetime, until: datetime, most: int = MOST) -> Screened:
    """Of all sites those `most` whose days differ the most since `since`, each by the region from which they do, with
    five weeks before for the rhythm.
    """
    query = _DAYS.format(since=day_of(since - SCREENED), until=until)
    days = _exploded(copied(driver(connection), query, _DAY_TYPES), hours=24)
    found = screened(days, SERIES, since=day_of(since), most=days.height)
    sites = found.unique("site_id", keep="first", maintain_order=True).head(most)
    medians = of_series(driver(connection), sites, since=day_of(since - HISTORY), until=until)
    return Screened(medians, found.height, days.select(SERIES).n_unique())


def of_series(
    connection: psycopg.Connection, series: pl.DataFrame, *, since: datetime, until: datetime
) -> pl.DataFrame:
    """Frame MEDIANS by the hour of these series [site_id, region_id]."""
    sites, regions = (series[name].to_list() for name in SERIES)
    query = _HOURS.format(at=_AT, sites=sites, regions=regions, since=since, until=until)
    return _read(connection, query)


def of_site(
    connection: Connection,
    site_id: int,
    *,
    since: datetime,
    until: datetime,
    regions: Collection[str] | None = None,
    phases: bool = False,
) -> pl.DataFrame:
    """Frame MEDIANS by the hour of a site, of all its regions or the named ones; with `phases` those beside total."""
    sources = [("rollups_hour", "p50_ms", "total")]
    sources += [("phases_hour", f"{phase}_p50_ms", phase) for phase in PHASES if phases]
    given = {
        "at": _AT,
        "site": site_id,
        "since": since,
        "until": until,
        "everywhere": not regions,
        "keys": sorted(regions or ()),
    }
    parts = [
        _read(
            driver(connection),
            _OF_SITE.format(table=sql.Identifier(table), column=sql.Identifier(column), phase=phase, **given),
        )
        for table, column, phase in sources
    ]
    return pl.concat(parts).sort("region", "phase", "at")


def down_spans(connection: Connection, *, since: datetime, until: datetime) -> pl.DataFrame:
    """[site, state, since, until] of frame SITE_SPANS: when sites were down by the vote of their regions, within
    [since, until), as the roller stored it; what lies in a maintenance is not in it.
    """
    types = schema(SITE_SPANS, _DOWN)
    query = _FAILED.format(
        since_us=us("since"),
        until_us=us("until"),
        down=STATE.categories.to_list().index("down"),
        first=day_of(since),
        since=since,
        until=until,
    )
    raw = pl.Schema({"site": pl.String(), "state": pl.String(), "since": types["since"], "until": types["until"]})
    found = copied(driver(connection), query, raw).cast({"site": KEY, "state": STATE})
    return found.with_columns(pl.col("since").clip(lower_bound=since), pl.col("until").clip(upper_bound=until)).sort(
        "site", "since"
    )


def _read(connection: psycopg.Connection, query: sql.Composable) -> pl.DataFrame:
    types = schema(MEDIANS)
    return _exploded(copied(connection, query, _HOUR_TYPES), hours=1).select(types.names()).cast(types)


def _exploded(series: pl.DataFrame, *, hours: int) -> pl.DataFrame:
    """A row a time, of a row a series; a time is counted in so many hours."""
    rows = series.explode(*_LISTS, empty_as_null=False, keep_nulls=False)
    return rows.with_columns(pl.from_epoch(pl.col("at").cast(pl.Int64) * (3600 * hours)).cast(schema(MEDIANS)["at"]))
