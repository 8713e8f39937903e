"""Spans kept true: of each region as its ticks tell, by UTC day; of each site by the vote, from those.

A site-day has spans of the site where any of its regions has one, for all the time that was called for on that day; so
what is stored follows from region spans, revisions and suspect periods alone, whenever it is made. Maintenance and
pauses are laid over on reading, and what was called for on a day of which nobody told is unknown there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl
import psycopg
from psycopg import sql

from pipeline.analysis.overlays import called_for, spread
from pipeline.analysis.spans import SERIES, day_spans, states, unpacked
from pipeline.analysis.splices import spliced_regions, spliced_votes, windows_of
from pipeline.analysis.votes import seen, voted
from pipeline.calendar import DAY
from pipeline.frames import HOUR_ROWS, SITE_SPANS, TIME, schema
from pipeline.store.copies import copied, copy_in, listed, us

SITE_DAY = ("at", "site_id")
REGION_SPANS, SITE_SPANS_TABLE = sql.Identifier("spans_region"), sql.Identifier("spans_site")

_DAYS = pl.Schema({"at": TIME, "site_id": pl.Int32()})
_TIMES = {"since": TIME, "until": TIME}
_COUNTS = schema(SITE_SPANS, ("down", "known", "regions"))
_EDGES = schema(SITE_SPANS, ("began_after", "ended_after"))
_SERIES = dict.fromkeys(SERIES, pl.Int32())
_REGION_TYPES = pl.Schema({"at": TIME, **_SERIES, "state": pl.UInt8(), **_TIMES, "last_at": TIME, "checks": pl.Int64()})
_SITE_TYPES = pl.Schema({**_DAYS, "state": pl.UInt8(), **_TIMES, **_COUNTS, **_EDGES})
_REVISION_TYPES = pl.Schema({"id": pl.Int64(), **_SERIES, "effective_at": TIME, "active": pl.Boolean()})
_PIECE_TYPES = pl.Schema({"at": TIME, **_SERIES, "pieces": HOUR_ROWS["pieces"].dtype})
_PERIOD_TYPES = pl.Schema({**_SERIES, **_TIMES})

_FORGET = sql.SQL("delete from {table} r using unnest({arrays}) as k ({names}) where {same}")
# Each series by its key: a day's spans lie among those of all days. `offset 0` keeps the planner from joining at large.
_WINDOWS = sql.SQL("""
    unnest({at}::timestamptz[], {site_id}::int[], {region_id}::int[], {begins}::timestamptz[], {ends}::timestamptz[])
        as w (day, site, region, begins, ends)
""")
_PIECES = sql.SQL("""
    select {columns} from {windows} cross join lateral (
        select at, site_id, region_id, pieces from rollups_hour
        where site_id = w.site and region_id = w.region and at >= w.begins and at < w.ends offset 0
    ) as r
""")
# A row a series, its spans packed as an hour's pieces are: rows cost more than what is in them.
_REACHING = sql.SQL("""
    select (extract(epoch from w.day) * 1000000)::int8, w.site, w.region, '{{' || r.pieces || '}}'
    from {windows} cross join lateral (
        select string_agg(concat_ws(',', (date_part('epoch', since - w.day) * 1000000)::int8,
            (date_part('epoch', until - w.day) * 1000000)::int8, (date_part('epoch', last_at - w.day) * 1000000)::int8,
            state, checks), ',') as pieces
        from spans_region
        where site_id = w.site and region_id = w.region and since >= w.day and since < w.ends and until > w.begins
    ) as r where r.pieces is not null
""")
_STORED = sql.SQL("select {columns} from {table} where {condition}")
_TAKE_DAYS = """
    with chosen as (
        select distinct at, site_id from dirty_days order by at, site_id limit %(limit)s
    ), gone as (
        delete from dirty_days d using chosen c where d.at = c.at and d.site_id = c.site_id returning d.at, d.site_id
    )
    select distinct at, site_id from gone
"""


def take_days(connection: psycopg.Connection, limit: int) -> pl.DataFrame:
    """Delete the marks of the first `limit` site-days; returns them: [at, site_id]."""
    rows = connection.execute(_TAKE_DAYS, {"limit": limit}).fetchall()
    return pl.DataFrame(rows, schema=_DAYS, orient="row")


def pieces_around(connection: psycopg.Connection, windows: pl.DataFrame) -> pl.DataFrame:
    """[at, *SERIES, pieces]: the stored hours of windows [at, *SERIES, begins, ends]."""
    query = _PIECES.format(columns=_selected(_PIECE_TYPES), windows=_listed(windows))
    return copied(connection, query, _PIECE_TYPES)


def renew_regions(
    connection: psycopg.Connection, touched: pl.DataFrame, before: pl.DataFrame, hours: pl.DataFrame
) -> pl.DataFrame:
    """Bring region spans up to hours that have changed: [at, *SERIES] `touched`, of `hours` as they are stored now.

    `before` is what `pieces_around` gave before that. Returns those that reach into the windows of what was touched.
    """
    windows = windows_of(touched)
    fresh = hours.select(before.columns)
    now = pl.concat([before.join(touched, on=("at", *SERIES), how="anti"), fresh])
    stored = _reaching(connection, windows)
    rows, scratch = spliced_regions(stored, day_spans(before), day_spans(now), windows)
    if not scratch.is_empty():
        days = scratch.with_columns(begins="at", ends=pl.col("at") + DAY)
        stored = pl.concat([
            stored.join(scratch, on=("at", *SERIES), how="anti"), _reaching(connection, days)
        ])  # fmt: skip
        rows = pl.concat([rows, day_spans(pieces_around(connection, days)).select(rows.columns)])
    _change(connection, REGION_SPANS, stored, rows, (*SERIES, "since"))
    return rows


def renew_votes(
    connection: psycopg.Connection, touched: pl.DataFrame, spans: pl.DataFrame, revoted: pl.DataFrame
) -> None:
    """Take the votes again around hours that have changed, and those of whole site-days [at, site_id] `revoted`.

    `spans` is what `renew_regions` gave for `touched`.
    """
    series = windows_of(touched).join(revoted, on=SITE_DAY, how="anti")
    for of_day in series.partition_by("at"):
        part = of_day.select(*SITE_DAY, "begins", "ends").unique()
        stored = _voted(connection, part)
        told = pl.concat([spans.join(of_day, on=("at", *SERIES), how="semi"), _of_others(connection, of_day, part)])
        votes = votes_of(connection, part["at"][0], told.sort(*SERIES, "since"), part)
        rows, scratch = spliced_votes(stored, votes.select(stored.columns), part)
        _change(connection, SITE_SPANS_TABLE, stored.join(scratch, on=SITE_DAY, how="anti"), rows, ("site_id", "since"))
        revoted = pl.concat([revoted, scratch])
    for part in revoted.unique().with_columns(begins="at", ends=pl.col("at") + DAY).partition_by("at"):
        stored = _voted(connection, part)
        rows = _votes(connection, part).select(stored.columns)
        _change(connection, SITE_SPANS_TABLE, stored, rows, ("site_id", "since"))


def _of_others(connection: psycopg.Connection, touched: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """Spans of a day from those regions of its sites whose hours have not changed; of those that may have a vote."""
    sites, day = windows["site_id"].to_list(), windows["at"][0]
    series = revisions_of(connection, sites, day + DAY).select(SERIES).unique().join(touched, on=SERIES, how="anti")
    asked = series.join(windows, on="site_id").select("at", *SERIES, "begins", "ends")
    return _reaching(connection, asked)


def _votes(connection: psycopg.Connection, windows: pl.DataFrame) -> pl.DataFrame:
    """The votes of one day within the windows [at, site_id, begins, ends], of stored region spans."""
    condition = sql.SQL("""
        site_id = any({}) and region_id = any(array(select id from regions))
        and since >= {} and since < {} and until > {}
    """).format(windows["site_id"].to_list(), windows["at"][0], windows["ends"].max(), windows["begins"].min())
    spans = stored_regions(connection, condition)
    return votes_of(connection, windows["at"][0], spans, windows)


def votes_of(
    connection: psycopg.Connection, day: datetime, spans: pl.DataFrame, windows: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Site spans of a UTC day, of the region spans of these sites on it: as they are to be stored.

    With windows [site_id, begins, ends] only what lies within them.
    """
    sites = spans["site_id"].unique().sort().to_list()
    if not sites:
        return pl.DataFrame(schema=_SITE_TYPES).with_columns(pl.col("state").cast(schema(SITE_SPANS)["state"]))
    until = day + DAY
    called = called_for(revisions_of(connection, sites, until), day, until)
    if windows is not None:
        inside = called.join(windows.select("site_id", "begins", "ends"), on="site_id").with_columns(
            since=pl.max_horizontal("since", "begins"), until=pl.min_horizontal("until", "ends")
        )
        called = inside.filter(pl.col("since") < pl.col("until")).select(called.columns)
    suspect = spread(periods_of(connection, "suspect", day, until), called, day, until)
    return voted(seen(spans, called, suspect)).with_columns(at=pl.lit(day, TIME)).select(_SITE_TYPES.names())


def recomputed(
    connection: psycopg.Connection, hours: pl.DataFrame, since: datetime, until: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Region spans and site spans of whole UTC days, of frame HOUR_ROWS; to compare with what is stored."""
    regions = day_spans(hours).filter(pl.col("at") >= since, pl.col("at") < until)
    votes = [votes_of(connection, part["at"][0], part) for part in regions.partition_by("at", maintain_order=True)]
    return regions, pl.concat([votes_of(connection, since, regions.clear()), *votes])


def stored_regions(connection: psycopg.Connection, condition: sql.Composable) -> pl.DataFrame:
    """Stored region spans: [at, *SERIES, state, since, until, last_at, checks], sorted."""
    return _stored(connection, REGION_SPANS, _REGION_TYPES, condition).sort(*SERIES, "since")


def stored_sites(connection: psycopg.Connection, condition: sql.Composable) -> pl.DataFrame:
    """Stored site spans: [at, site_id, state, since, until, down, known, regions, edges], sorted."""
    return _stored(connection, SITE_SPANS_TABLE, _SITE_TYPES, condition).sort("site_id", "since")


def revisions_of(connection: psycopg.Connection, sites: list[int] | None, until: datetime) -> pl.DataFrame:
    """[id, site_id, region_id, effective_at, active] of these sites (None: of all), before `until`."""
    query = sql.SQL("select id, site_id, region_id, {}, active from revisions where effective_at < {} and {}").format(
        us("effective_at"), until, _of(sites)
    )
    return copied(connection, query, _REVISION_TYPES)


def periods_of(connection: psycopg.Connection, kind: str, since: datetime, until: datetime) -> pl.DataFrame:
    """[site_id, region_id, since, until] of the periods of this kind that touch [since, until), as they are stored."""
    query = sql.SQL("""
        select site_id, region_id, {}, {} from periods
        where kind = {} and deleted_at is null and since < {} and coalesce(until > {}, true)
    """).format(us("since"), us("until"), kind, until, since)
    return copied(connection, query, _PERIOD_TYPES)


def _selected(types: pl.Schema) -> sql.Composed:
    return sql.SQL(", ").join(us(name) if dtype == TIME else sql.Identifier(name) for name, dtype in types.items())


def _listed(windows: pl.DataFrame) -> sql.Composed:
    return _WINDOWS.format(**{name: sql.Literal(windows[name].to_list()) for name in windows.columns})


def _of(sites: list[int] | None) -> sql.Composable:
    return sql.SQL("true") if sites is None else sql.SQL("site_id = any({})").format(sites)


def _stored(
    connection: psycopg.Connection, table: sql.Identifier, types: pl.Schema, condition: sql.Composable
) -> pl.DataFrame:
    rows = copied(connection, _STORED.format(columns=_selected(types), table=table, condition=condition), types)
    return rows.with_columns(states(rows["state"]))


def _reaching(connection: psycopg.Connection, windows: pl.DataFrame) -> pl.DataFrame:
    """Stored region spans that reach into windows [at, *SERIES, begins, ends]."""
    rows = copied(connection, _REACHING.format(windows=_listed(windows)), _PIECE_TYPES)
    return unpacked(rows).sort(*SERIES, "since")


def _voted(connection: psycopg.Connection, windows: pl.DataFrame) -> pl.DataFrame:
    """Stored site spans that reach into the windows [at, site_id, begins, ends] of one day."""
    day, sites = windows["at"][0], windows["site_id"].to_list()
    condition = sql.SQL("site_id = any({}) and since >= {} and since < {} and until > {}").format(
        sites, day, windows["ends"].max(), windows["begins"].min()
    )
    found = stored_sites(connection, condition).join(windows, on=SITE_DAY)
    reaching = (pl.col("since") < pl.col("ends")) & (pl.col("until") > pl.col("begins"))
    return found.filter(reaching).drop("begins", "ends")


def _change(
    connection: psycopg.Connection, table: sql.Identifier, have: pl.DataFrame, want: pl.DataFrame, key: Sequence[str]
) -> None:
    """Make what is stored what it is to be; rows that stay as they are are not touched."""
    gone = have.join(want, on=have.columns, how="anti", nulls_equal=True).select(key)
    if not gone.is_empty():
        types = {"since": sql.SQL("timestamptz[]")}
        query = _FORGET.format(
            table=table,
            arrays=sql.SQL(", ").join(sql.SQL("%s::") + types.get(name, sql.SQL("int[]")) for name in key),
            names=sql.SQL(", ").join(map(sql.Identifier, key)),
            same=sql.SQL(" and ").join(sql.SQL("r.{0} = k.{0}").format(sql.Identifier(name)) for name in key),
        )
        connection.execute(query, listed(gone))
    copy_in(connection, table, _coded(want.join(have, on=have.columns, how="anti", nulls_equal=True)))


def _coded(spans: pl.DataFrame) -> pl.DataFrame:
    return spans.with_columns(pl.col("state").to_physical())
