"""Days that are over into the lake, out of Postgres, and what comes late for them into their files.

Each step is one transaction under a lock, and ends as if it had been done at once or not at all: a file takes its name
whole, and says the same when it is written again. A partition goes only after its rows and those of the file, both
read again, agree. From then on the file is all there is: it is added to, never made anew from what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime

import polars as pl
import psycopg
from psycopg import sql

from pipeline.calendar import DAY, midnight
from pipeline.errors import UnavailableError
from pipeline.frames import TIME
from pipeline.lake import day as lake_day
from pipeline.lake import ticks as lake_ticks
from pipeline.lake.day import Checksum, TickFile
from pipeline.lake.files import PART, LakeRoot, of_day
from pipeline.store import bulk
from pipeline.store.lake_days import LakeDay, archived, find, partitions
from pipeline.store.rollups import ROLL_LOCK
from pipeline.store.scans import batches
from pipeline.store.ticks import COLUMNS, PARTITIONS_LOCK
from pipeline.vocabulary import Source
from pipeline.wanted import Names

LAKE_LOCK = 0x6C616B65  # "lake"
LATE_AT_ONCE = 100_000  # late ticks of a day merged at a time: they are in memory, the file is not
PATIENCE = "5s"  # for locks that others wait behind

Reached = Callable[[str], None]


_COLUMNS = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
_SORTED = sql.SQL("select {columns} from {partition} order by site_id, region_id, scheduled_at, attempt")
_ANY = sql.SQL("select {columns} from {partition}")
_WRITTEN = """
    insert into lake_days (at, rows, checksum, bytes, path, written_at) values (%s, %s, %s, %s, %s, %s)
    on conflict (at) do update set rows = excluded.rows, checksum = excluded.checksum, bytes = excluded.bytes,
        path = excluded.path, written_at = excluded.written_at
"""
_UNSETTLED = """
    select exists (select from dirty_hours where at >= %(since)s and at < %(until)s)
        or exists (select from dirty_days where at >= %(since)s and at < %(until)s)
"""
_TAKE_LATE = sql.SQL("""
    with chosen as (
        select site_id, region_id, scheduled_at, attempt from late_ticks
        where scheduled_at >= {since} and scheduled_at < {until} limit {limit}
    )
    delete from late_ticks l using chosen c
    where l.site_id = c.site_id and l.region_id = c.region_id and l.scheduled_at = c.scheduled_at
        and l.attempt = c.attempt
    returning {columns}
""")


def archive(
    connection: psycopg.Connection, dsn: str, root: LakeRoot, day: date, *, now: datetime, reached: Reached
) -> LakeDay | None:
    """Write a day's partition to its file, read it back, and note it; None where there is no partition (any more).

    Errors: UnavailableError, psycopg's.
    """
    with connection.transaction():
        _begin(connection)
        known = find(connection, day)
        if day not in partitions(connection) or (known is not None and known.dropped_at is not None):
            return None
        names, relative = _names(connection), of_day(day)
        with root.writing(relative) as sink, TickFile(sink) as file:
            for stored in batches(dsn, _of(_SORTED, day)):
                file.write(lake_ticks.packed(stored, names))
        return _published(connection, root, day, file.seen, now=now, reached=reached)


def drop(
    connection: psycopg.Connection, dsn: str, root: LakeRoot, day: date, *, now: datetime, reached: Reached
) -> bool | None:
    """Drop a day's partition, if its file holds the very same: True then. None: not now. False: they differ.

    Nobody writes to the partition meanwhile: a tick that comes for it waits, and is late then. Where the file is less
    precise (ticks from before numbers were kept to the microsecond), its hours are rolled up again from the file.
    Errors: UnavailableError, psycopg's.
    """
    partition = _partition(day)
    with connection.transaction():
        _begin(connection)
        connection.execute(f"set local lock_timeout = '{PATIENCE}'")
        known = find(connection, day)
        if known is None or known.dropped_at is not None or day not in partitions(connection):
            return None
        connection.execute(sql.SQL("lock table {} in share row exclusive mode").format(partition))
        if _unsettled(connection, day):
            return None
        there, coarser = Checksum(), 0
        names = _names(connection)
        for stored in batches(dsn, _of(_ANY, day)):
            there.add(lake_ticks.packed(stored, names))
            coarser += lake_ticks.changed(stored)
        if (there.rows, str(there)) != (known.rows, known.checksum) or lake_day.checksum(root, known.path) != there:
            return False
        reached("lake: before drop")
        connection.execute("select pg_advisory_xact_lock(%s)", [ROLL_LOCK])
        connection.execute(PARTITIONS_LOCK)
        if coarser:
            _mark_all(connection, day)
        connection.execute(sql.SQL("drop table {}").format(partition))
        connection.execute("update lake_days set dropped_at = %s where at = %s", [now, midnight(day)])
        reached("lake: before drop commit")
    reached("lake: after drop")
    return True


def merge_late(
    connection: psycopg.Connection, root: LakeRoot, day: date, *, now: datetime, reached: Reached
) -> LakeDay | None:
    """Put ticks that wait for a dropped day into its file, and mark the hours that they change for the roller.

    Of equal keys a prober's counts, else what was there first. None where nothing waits. Errors: UnavailableError,
    psycopg's.
    """
    since, until = midnight(day), midnight(day) + DAY
    with connection.transaction():
        _begin(connection)
        known = find(connection, day)
        if known is None or known.dropped_at is None:
            return None
        query = _TAKE_LATE.format(
            since=sql.Literal(since),
            until=sql.Literal(until),
            limit=sql.Literal(LATE_AT_ONCE),
            columns=sql.SQL(", ").join(sql.Identifier("l", name) for name in COLUMNS),
        )
        late = pl.DataFrame(connection.execute(query).fetchall(), schema=_STORED, orient="row")
        if late.is_empty():
            return None
        with root.writing(known.path) as sink, TickFile(sink) as file:
            for rows in merged(lake_day.batches(root, known.path), lake_ticks.packed(late, _names(connection))):
                file.write(rows)
        if file.seen.rows < known.rows:
            raise UnavailableError(f"The file of {day} holds fewer ticks than before: it is left as it is.")
        written = _published(connection, root, day, file.seen, now=now, reached=reached)
        hours = bulk.touched(late)
        if not _has_hours(connection, day):  # they are not kept for ever: the day needs all of its hours to be made of
            hours = pl.concat([hours, _series_hours(root, known.path, late)]).unique()
        bulk.mark(connection, hours)
        reached("lake: before merge commit")
    reached("lake: after merge")
    return written


def merged(there: Iterator[pl.DataFrame], late: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Sorted batches of a file with the late rows in their places."""
    left = late.sort(lake_ticks.KEY)
    for batch in there:
        if batch.is_empty():
            continue
        last = batch.row(-1, named=True)
        upto = _not_after([last[name] for name in lake_ticks.KEY])
        yield _one_of_each(batch, left.filter(upto))
        left = left.filter(~upto)
    if left.height:
        yield left


def verify(connection: psycopg.Connection, root: LakeRoot) -> Iterator[tuple[LakeDay, str | None]]:
    """Each archived day, with what is wrong with its file: None where it is as it was written."""
    for known in archived(connection):
        try:
            found = lake_day.checksum(root, known.path)
        except UnavailableError as error:
            yield known, str(error)
            continue
        same = (found.rows, str(found)) == (known.rows, known.checksum)
        yield known, None if same else f"holds {found.rows} ticks ({found}), not {known.rows} ({known.checksum})"


def _published(
    connection: psycopg.Connection, root: LakeRoot, day: date, seen: Checksum, *, now: datetime, reached: Reached
) -> LakeDay:
    """Read back what was written, give it its name, note it."""
    relative = of_day(day)
    found = lake_day.checksum(root, relative + PART)
    if found != seen:
        raise UnavailableError(
            f"The file of {day} reads back as {found.rows} ticks ({found}), not {seen.rows} ({seen}); no change."
        )
    reached("lake: before rename")
    root.publish(relative)
    reached("lake: after rename")
    written = LakeDay(midnight(day), seen.rows, str(seen), root.size(relative) or 0, relative, now, None)
    connection.execute(_WRITTEN, [written.at, written.rows, written.checksum, written.bytes, written.path, now])
    return written


def _begin(connection: psycopg.Connection) -> None:
    """One at a time; and a server that ends who idles in a transaction waits for us to write."""
    connection.execute("set local idle_in_transaction_session_timeout = 0")
    connection.execute("select pg_advisory_xact_lock(%s)", [LAKE_LOCK])


def _partition(day: date) -> sql.Identifier:
    return sql.Identifier(f"ticks_{day:%Y%m%d}")


def _of(query: sql.SQL, day: date) -> sql.Composed:
    return query.format(columns=_COLUMNS, partition=_partition(day))


def _unsettled(connection: psycopg.Connection, day: date) -> bool:
    """Whether something of the day is still to be rolled up."""
    row = connection.execute(_UNSETTLED, {"since": midnight(day), "until": midnight(day) + DAY}).fetchone()
    return row is None or bool(row[0])


def _mark_all(connection: psycopg.Connection, day: date) -> None:
    query = sql.SQL("""
        insert into dirty_hours (at, site_id, region_id)
        select distinct date_trunc('hour', scheduled_at, 'UTC'), site_id, region_id from {} where kind = 0
    """)
    connection.execute(query.format(_partition(day)))


def _names(connection: psycopg.Connection) -> Names:
    sites = connection.execute("select id, key from sites").fetchall()
    regions = connection.execute("select id, key from regions").fetchall()
    return Names(dict(sites), dict(regions))


def _has_hours(connection: psycopg.Connection, day: date) -> bool:
    asked = "select exists (select from rollups_hour where at >= %s and at < %s)"
    row = connection.execute(asked, [midnight(day), midnight(day) + DAY]).fetchone()
    return bool(row and row[0])


def _series_hours(root: LakeRoot, relative: str, late: pl.DataFrame) -> pl.DataFrame:
    """Every hour that the file has of the series that something came late for."""
    rows = root.read(relative).filter(pl.col("site_id").is_in(late["site_id"].unique().to_list()))
    hours = rows.select("site_id", "region_id", at=pl.col("scheduled_at").dt.truncate("1h")).unique().collect()
    return hours.join(late, on=["site_id", "region_id"], how="semi").select("at", "site_id", "region_id")


def _not_after(key: list[object]) -> pl.Expr:
    """Rows whose KEY is not after that one."""
    found = pl.lit(value=True)
    for name, value in reversed(list(zip(lake_ticks.KEY, key, strict=True))):
        column, limit = pl.col(name), pl.lit(value, lake_ticks.COLUMNS[name])
        found = (column < limit) | ((column == limit) & found)
    return found


def _one_of_each(there: pl.DataFrame, late: pl.DataFrame) -> pl.DataFrame:
    if late.is_empty():
        return there
    both = pl.concat([there.with_columns(late=pl.lit(value=False)), late.with_columns(late=pl.lit(value=True))])
    other = pl.col("source") != Source.PROBER.value
    kept = both.sort(*lake_ticks.KEY, other, "late").unique(lake_ticks.KEY, keep="first", maintain_order=True)
    return kept.drop("late")


_TYPES = {"timestamptz": TIME, "int4": pl.Int32(), "int2": pl.Int16(), "float4": pl.Float32()}
_STORED = pl.Schema(
    {name: {**_TYPES, "bool": pl.Boolean(), "text": pl.String()}[kind] for name, kind in COLUMNS.items()}
)
