"""Ticks as the roller needs them: ten narrow columns, by COPY, in the transaction that took the marks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice

import polars as pl
import psycopg
from psycopg import sql

from pipeline.analysis.spans import SERIES
from pipeline.frames import KIND, TICKS, TIME, schema, state_of
from pipeline.judge.verdict import INTERVALS_HELD
from pipeline.store.cold import cold_around, cold_between, cold_sites
from pipeline.store.ticks import KINDS
from pipeline.vocabulary import Kind

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LONGEST_HOLD = INTERVALS_HELD * DAY  # no interval is longer than a day
# From this many series of one hour on, the hour is read as a whole. Below, each is looked up by its key, and hours
# share a query: a site that is checked once a day is held through 48 hours, and each of them is read again.
DENSE = 200
CHUNK = 2_000  # series-hours read at a time: 1.4 million ticks at the 5 s interval, some 100 MB of frame
BLOCK = 100_000  # rows turned into a frame at a time

_READ = (*SERIES, "scheduled_at", "interval_s", "latency_ms", "attempt", "state", "final", "trusted", "kind")
# In fields of fixed width without nulls: field k of every row is at the same place.
_FIELDS = {
    "scheduled_at": ("scheduled_at", pl.Int64, 8),
    "site_id": ("site_id", pl.Int32, 4),
    "region_id": ("region_id", pl.Int32, 4),
    "interval_s": ("interval_s", pl.Int32, 4),
    "latency_ms": ("coalesce(latency_ms, 'NaN')", pl.Float32, 4),
    "attempt": ("attempt", pl.Int16, 2),
    "outcome": ("outcome", pl.Int16, 2),
    "flags": ("(final::int + 2 * trusted::int)::int2", pl.Int16, 2),
}
_COLUMNS = sql.SQL(", ".join(f"{expression} as {name}" for name, (expression, _, _) in _FIELDS.items()))
_EPOCH = datetime.fromisoformat("2000-01-01T00:00:00+00:00")  # Postgres counts microseconds from here
_HEADER = 19  # bytes before the first row: signature, flags, no extension
_TRAILER = b"\xff\xff"  # "minus one field"

# Sites instead of series, since a site's regions are dirty together. With a list the planner walks the key's index,
# which costs five times as much as reading the hour when that is most of it: hence the range.
_OF_SITES = sql.SQL("""
    select {columns} from ticks
    where site_id = any({sites}) and scheduled_at >= {since} and scheduled_at < {until} and kind = {scheduled}
""")
_OF_RANGE = sql.SQL("""
    select {columns} from ticks
    where site_id between {first} and {last} and kind = {scheduled}
        and scheduled_at >= {since} and scheduled_at < {until}
""")
_OF_SERIES = sql.SQL("""
    select {columns} from unnest({hours}::timestamptz[], {sites}, {regions}) as s (hour, site, region)
    cross join lateral (
        select * from ticks
        where site_id = s.site and region_id = s.region and kind = {scheduled}
            and scheduled_at >= s.hour and scheduled_at < s.hour + interval '1 hour'
    ) as within
""")
# The last slot before the hour is all that can be held into it: an earlier one ends where that begins.
_CARRIED_IN = sql.SQL("""
    select {columns} from unnest({hours}::timestamptz[], {sites}, {regions}) as s (hour, site, region)
    cross join lateral (
        select * from ticks
        where site_id = s.site and region_id = s.region and final and kind = {scheduled}
            and scheduled_at >= s.hour - {hold} and scheduled_at < s.hour
        order by scheduled_at desc, attempt limit 1
    ) as last
""")
_BETWEEN = sql.SQL("""
    select {columns} from ticks where scheduled_at >= {since} and scheduled_at < {until} and kind = {scheduled}
""")


def chunks(dirty: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Series-hours [at, site_id, region_id] in portions that are read at once: of one hour, or of many sparse ones."""
    counted = dirty.with_columns(series=pl.len().over("at")).sort("at", *SERIES)
    dense = counted.filter(pl.col("series") >= DENSE).drop("series")
    for of_hour in dense.partition_by("at", maintain_order=True):
        yield from of_hour.iter_slices(CHUNK)
    yield from counted.filter(pl.col("series") < DENSE).drop("series").iter_slices(CHUNK)


def ticks_around(connection: psycopg.Connection, chunk: pl.DataFrame) -> pl.DataFrame:
    """The scheduled ticks of a chunk's series-hours, and for each the last slot before it; some of them twice.

    Those of days that were dropped come from the lake. Errors: psycopg's, UnavailableError.
    """
    return pl.concat([_hot_around(connection, chunk), cold_around(connection, chunk, _READ, LONGEST_HOLD)])


def _hot_around(connection: psycopg.Connection, chunk: pl.DataFrame) -> pl.DataFrame:
    keys = {
        "hours": chunk["at"].to_list(),
        "sites": chunk["site_id"].to_list(),
        "regions": chunk["region_id"].to_list(),
    }
    carried = _ticks(connection, _CARRIED_IN, hold=LONGEST_HOLD, **keys)
    if chunk.height < DENSE or chunk["at"].n_unique() > 1:
        return pl.concat([carried, _ticks(connection, _OF_SERIES, **keys)])
    hour, sites = keys["hours"][0], sorted(set(keys["sites"]))
    window = {"since": hour, "until": hour + HOUR}
    if len(sites) > (sites[-1] - sites[0]) / 2:
        within = _ticks(connection, _OF_RANGE, first=sites[0], last=sites[-1], **window)
    else:
        within = _ticks(connection, _OF_SITES, sites=sites, **window)
    return pl.concat([carried, within.join(chunk, on=SERIES, how="semi")])


def ticks_between(connection: psycopg.Connection, since: datetime, until: datetime) -> pl.DataFrame:
    """Every series' scheduled ticks of [since, until), those that lie in the lake with them."""
    hot = _ticks(connection, _BETWEEN, since=since, until=until)
    return pl.concat([hot, cold_between(connection, since, until, _READ)])


def ticks_of(connection: psycopg.Connection, sites: Sequence[int], since: datetime, until: datetime) -> pl.DataFrame:
    """The scheduled ticks of these sites in [since, until), those that lie in the lake with them."""
    hot = _ticks(connection, _OF_SITES, sites=list(sites), since=since, until=until)
    return pl.concat([hot, cold_sites(connection, sites, since, until, _READ)])


def _ticks(connection: psycopg.Connection, query: sql.SQL, **values: object) -> pl.DataFrame:
    """The query's ticks: COPY in rows of equal width, taken apart column by column."""
    given = {name: sql.Literal(value) for name, value in values.items()}
    composed = query.format(columns=_COLUMNS, scheduled=sql.Literal(KINDS[Kind.SCHEDULED]), **given)
    copying = sql.SQL("copy ({}) to stdout (format binary)").format(composed)
    with connection.cursor() as cursor, cursor.copy(copying) as copy:
        blocks = [_frame(block) for block in _blocks(copy)]
    return pl.concat([pl.DataFrame(schema=schema(TICKS, _READ)), *blocks])


def _blocks(copy: Iterable[bytes | bytearray | memoryview]) -> Iterator[list[bytes]]:
    """The rows of a binary COPY, without its header (before the first row) and its trailer (a message of its own)."""
    parts = iter(copy)
    rows = [bytes(part)[_HEADER:] for part in islice(parts, 1)]
    while rows:
        rows += map(bytes, islice(parts, BLOCK))
        if rows[-1] == _TRAILER:
            rows.pop()
            yield rows
            return
        yield rows
        rows = [bytes(part) for part in islice(parts, 1)]


def _frame(rows: list[bytes]) -> pl.DataFrame:
    columns, place = [], 2  # a row begins with its number of fields, a field with its length
    for name, (_, dtype, width) in _FIELDS.items():
        field = pl.col("row").bin.slice(place + 4, width)
        columns.append(field.bin.reinterpret(dtype=dtype, endianness="big").alias(name))
        place += 4 + width
    raw = pl.DataFrame({"row": pl.Series(rows, dtype=pl.Binary)}).select(columns)
    return raw.select(
        scheduled_at=pl.lit(_EPOCH, TIME) + pl.duration(microseconds="scheduled_at"),
        **{name: pl.col(name) for name in ("site_id", "region_id", "interval_s", "attempt")},
        latency_ms=pl.col("latency_ms").fill_nan(None),
        state=state_of("outcome"),
        final=pl.col("flags") & 1 != 0,
        trusted=pl.col("flags") & 2 != 0,
        kind=pl.lit(Kind.SCHEDULED.value, KIND),
    ).select(_READ)
