"""Rollups kept true: hours that a tick touched are taken, rebuilt from the ticks, and their days from the hours.

Everything of one `roll` is one transaction under a lock: marks, rows and days change together or not at all, so a
roller that dies loses nothing and two of them follow each other. What is stored equals `recompute` row for row once
no marks are left.

The transaction must be READ COMMITTED (Postgres' default): the marks are taken in a snapshot after the lock, and the
ticks are read in a later one, so every tick whose mark is gone is seen. A tick that comes in between has its mark yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import psycopg
from msgspec import Struct
from psycopg import sql

from pipeline.analysis.rollups import KEY, daily, hourly
from pipeline.analysis.spans import SERIES
from pipeline.analysis.splices import windows_of
from pipeline.calendar import day_of
from pipeline.frames import HOUR_ROWS, HOURS, TIME, Frame, schema
from pipeline.judge.verdict import INTERVALS_HELD
from pipeline.store import spans
from pipeline.store.copies import copied, copy_in, listed, us
from pipeline.store.lake_days import cold
from pipeline.store.slots import DAY, HOUR, LONGEST_HOLD, chunks, ticks_around, ticks_between

ROLL_LOCK = 0x726F6C6C  # "roll"
BATCH = 20_000  # series-hours in one transaction: some 14 s at the 5 s interval, minutes of work never lost
LARGE = 3_000_000  # ticks that a recomputation reads at a time, not hour by hour

_HOURS, _DAYS = sql.Identifier("rollups_hour"), sql.Identifier("rollups_day")

_TAKE = """
    with chosen as (
        select distinct at, site_id, region_id from dirty_hours
        where at < %(before)s and (at, site_id, region_id) > (%(at)s, %(site_id)s, %(region_id)s)
        order by at, site_id, region_id limit %(limit)s
    ), gone as (
        delete from dirty_hours d using chosen c
        where d.at = c.at and d.site_id = c.site_id and d.region_id = c.region_id
        returning d.at, d.site_id, d.region_id
    )
    select distinct at, site_id, region_id from gone
"""
_STORED = sql.SQL("""
    select {columns} from {table}
    where at >= {since} and at < {until} and (site_id = any({sites}) or {everybody})
""")
_FORGET = sql.SQL("""
    delete from {table} r using unnest(%s::timestamptz[], %s::int[], %s::int[]) as k (at, site_id, region_id)
    where r.site_id = k.site_id and r.region_id = k.region_id and r.at = k.at
""")


Mark = tuple[datetime, int, int]  # an hour of a series: at, site_id, region_id
FIRST: Mark = (datetime.min.replace(tzinfo=UTC), 0, 0)


class Rolled(Struct, frozen=True):
    """What one transaction did: series-hours and series-days rebuilt, the last mark taken; None where none are left."""

    hours: int
    days: int
    last: Mark | None


def roll(connection: psycopg.Connection, *, before: datetime, after: Mark | None = None, limit: int = BATCH) -> Rolled:
    """Take marked hours that begin before `before`, oldest first and `limit` at most, and rebuild them and their days.

    Days' spans with them; and the votes of marked site-days, as many at most.

    Runs in the caller's transaction. Call it again with `last` as `after` until that is None: a pass over all marks
    ends, though the recorder makes new ones meanwhile.
    """
    connection.execute("select pg_advisory_xact_lock(%s)", [ROLL_LOCK])
    dirty = take_dirty(connection, before=before, after=after, limit=limit)
    revoted = spans.take_days(connection, limit)
    if dirty.is_empty() and revoted.is_empty():
        return Rolled(0, 0, None)
    ahead, hours = _rebuild(connection, dirty)
    touched = dirty
    if not ahead.is_empty():
        _, further = _rebuild(connection, ahead)
        touched, hours = pl.concat([dirty, ahead]), pl.concat([hours, further])
    were = spans.pieces_around(connection, windows_of(touched))
    _replace(connection, _HOURS, touched, hours)
    days = touched.with_columns(pl.col("at").dt.truncate("1d")).unique()
    for part in days.sort(KEY).partition_by("at", maintain_order=True):
        _replace_day(connection, part)
    renewed = spans.renew_regions(connection, touched, were, hours)
    spans.renew_votes(connection, touched, renewed, revoted)
    more = limit in (dirty.height, revoted.height)
    return Rolled(touched.height, days.height, (dirty.row(-1) if dirty.height else after or FIRST) if more else None)


def without_lake(connection: psycopg.Connection) -> Mark:
    """The mark after which no hour needs a tick that lies in the lake alone."""
    row = connection.execute("select max(at) from lake_days where dropped_at is not null").fetchone()
    return (row[0] + DAY + LONGEST_HOLD, 0, 0) if row and row[0] else FIRST


def take_dirty(
    connection: psycopg.Connection, *, before: datetime, after: Mark | None = None, limit: int = BATCH
) -> pl.DataFrame:
    """Delete the marks of the first `limit` series-hours after `after`; returns them, sorted: [at, site_id, region_id].

    Only hours that begin before `before`. Marks are many for each hour, so Postgres tells them apart.
    """
    at, site_id, region_id = after or FIRST
    given = {"before": before, "limit": limit, "at": at, "site_id": site_id, "region_id": region_id}
    rows = connection.execute(_TAKE, given).fetchall()
    return pl.DataFrame(rows, schema=schema(HOURS, KEY), orient="row").sort(KEY)


def recompute(connection: psycopg.Connection, since: datetime, until: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Hours and days of the UTC days that [since, until) touches, from the ticks alone. Slow; to compare."""
    since, until = day_of(since), day_of(until - timedelta(microseconds=1)) + DAY
    row = connection.execute(
        "select count(*), coalesce(max(interval_s), 0) from ticks where scheduled_at >= %s and scheduled_at < %s",
        [since - LONGEST_HOLD, until],
    ).fetchone()
    count, longest_s = row or (0, 0)
    if archived := cold(connection, since - LONGEST_HOLD, until):
        count, longest_s = count + sum(each.rows for each in archived), DAY.total_seconds()
    lookback = INTERVALS_HELD * timedelta(seconds=longest_s)
    found = [pl.DataFrame(schema=schema(HOUR_ROWS))]
    for start, end in _windows(since, until, HOUR if count > LARGE else until - since):
        ticks = ticks_between(connection, start - lookback, end)
        found.append(hourly(ticks).filter(pl.col("at") >= start, pl.col("at") < end))
    hours = pl.concat(found)
    return hours, daily(hours)


def verify(connection: psycopg.Connection, since: datetime, until: datetime) -> list[str]:
    """How the stored rollups of those UTC days differ from a recomputation, one sentence each."""
    since, until = day_of(since), day_of(until - timedelta(microseconds=1)) + DAY
    hours, days = recompute(connection, since, until)
    regions, sites = spans.recomputed(connection, hours, since, until)
    within = sql.SQL("at >= {} and at < {}").format(since, until)
    return [
        *_differences("hour", stored(connection, _HOURS, since, until, frame=HOUR_ROWS), hours, KEY),
        *_differences("day", stored(connection, _DAYS, since, until), days, KEY),
        *_differences("span from", spans.stored_regions(connection, within), regions, ("since", *SERIES)),
        *_differences("span from", spans.stored_sites(connection, within), sites, ("since", "site_id")),
    ]


def stored(
    connection: psycopg.Connection,
    table: sql.Identifier,
    since: datetime,
    until: datetime,
    sites: Sequence[int] | None = None,
    frame: Frame = HOURS,
) -> pl.DataFrame:
    """Stored rollups (frame HOURS or HOUR_ROWS, sorted) that begin in [since, until), of all sites or of these."""
    types = schema(frame)
    query = _STORED.format(
        columns=sql.SQL(", ").join(us(name) if types[name] == TIME else sql.Identifier(name) for name in types),
        table=table,
        since=sql.Literal(since),
        until=sql.Literal(until),
        sites=sql.Literal(list(sites or [])),
        everybody=sql.Literal(sites is None),
    )
    return copied(connection, query, types).sort(KEY)


def _rebuild(connection: psycopg.Connection, dirty: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Hours as their ticks have them now, and the further series-hours [at, site_id, region_id] that have to follow.

    A tick marks the hours that it is held into. It also ends what the tick before it held, and that one's interval
    may have been longer: the hours up to its lapse were never marked.
    """
    further, found = [dirty.clear()], [pl.DataFrame(schema=schema(HOUR_ROWS))]
    for chunk in chunks(dirty):
        ticks = ticks_around(connection, chunk)
        found.append(hourly(ticks).join(chunk, on=KEY, how="semi"))
        further.append(_held_beyond(ticks, chunk))
    return pl.concat(further).unique().join(dirty, on=KEY, how="anti"), pl.concat(found)


def _held_beyond(ticks: pl.DataFrame, chunk: pl.DataFrame) -> pl.DataFrame:
    """The hours after a series' first of the chunk into which these ticks may be, or may have been, held."""
    lapse = pl.col("scheduled_at") + pl.duration(seconds=INTERVALS_HELD * pl.col("interval_s").cast(pl.Int64))
    own, last = pl.col("scheduled_at").dt.truncate("1h"), (lapse - pl.duration(microseconds=1)).dt.truncate("1h")
    crossing = ticks.select(*SERIES, own=own, last=last).filter(pl.col("own") < pl.col("last")).unique()
    reached = pl.datetime_ranges(pl.col("own") + pl.duration(hours=1), "last", "1h").cast(pl.List(TIME))
    hours = crossing.select(reached.alias("at"), *SERIES).explode("at", empty_as_null=False, keep_nulls=False).unique()
    first = chunk.group_by(SERIES).agg(first=pl.col("at").min())
    return hours.join(first, on=SERIES).filter(pl.col("at") > pl.col("first")).select(KEY)


def _replace_day(connection: psycopg.Connection, series: pl.DataFrame) -> None:
    """Rebuild the rollups of a day, of these series, from their hours."""
    day, sites = series["at"][0], series["site_id"].unique().to_list()
    hours = stored(connection, _HOURS, day, day + DAY, sites).join(series, on=SERIES, how="semi")
    _replace(connection, _DAYS, series, daily(hours))


def _replace(connection: psycopg.Connection, table: sql.Identifier, keys: pl.DataFrame, rows: pl.DataFrame) -> None:
    """Delete what is stored under `keys` and store `rows`: a key without a row is gone after."""
    connection.execute(_FORGET.format(table=table), listed(keys.select(KEY)))
    copy_in(connection, table, rows)


def _differences(name: str, have: pl.DataFrame, want: pl.DataFrame, key: Sequence[str]) -> Iterator[str]:
    for row in have.join(want, on=key, how="anti").select(key).iter_rows():
        yield f"{name} {_words(row)} is stored, but no tick tells of it"
    for row in want.join(have, on=key, how="anti").select(key).iter_rows():
        yield f"{name} {_words(row)} is not stored"
    both = have.join(want, on=key, how="inner", suffix=" recomputed").sort(key)
    for column in (column for column in have.columns if column not in key):
        differs = both.filter(pl.col(column).ne_missing(pl.col(f"{column} recomputed")))
        for *found, stored_value, fresh_value in differs.select(*key, column, f"{column} recomputed").iter_rows():
            yield f"{name} {_words(found)}: {column} is {stored_value}, recomputed {fresh_value}"


def _words(key: Sequence[object]) -> str:
    at, site, *region = key
    return f"{at:%Y-%m-%d %H:%M} of site {site}" + "".join(f" from region {number}" for number in region)


def _windows(since: datetime, until: datetime, step: timedelta) -> Iterator[tuple[datetime, datetime]]:
    while since < until:
        yield since, since + step
        since += step
