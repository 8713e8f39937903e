"""Which days lie in the lake, and which of them lie nowhere else, as the table `lake_days` has it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

from pipeline.calendar import DAY, midnight
from pipeline.errors import UnavailableError
from pipeline.lake.files import LakeRoot

_PARTITIONS = """
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'ticks'::regclass and c.relname ~ '^ticks_[0-9]{8}$' order by c.relname
"""
CLOSED_AFTER = timedelta(hours=6)  # after its midnight: what an outage held back has come by then, most of the time
DAYS = "select at, rows, checksum, bytes, path, written_at, dropped_at from lake_days"


class LakeDay(Struct, frozen=True):
    """An archived UTC day; `dropped_at` is None while Postgres has its ticks, too. `path` is below the root."""

    at: datetime
    rows: int
    checksum: str
    bytes: int
    path: str
    written_at: datetime
    dropped_at: datetime | None

    @property
    def day(self) -> date:
        return self.at.astimezone(UTC).date()


def archived(connection: psycopg.Connection) -> list[LakeDay]:
    """Every archived day, in order."""
    with connection.cursor(row_factory=class_row(LakeDay)) as cursor:
        return cursor.execute(f"{DAYS} order by at").fetchall()


def find(connection: psycopg.Connection, day: date) -> LakeDay | None:
    """A day, if it is archived."""
    with connection.cursor(row_factory=class_row(LakeDay)) as cursor:
        return cursor.execute(f"{DAYS} where at = %s", [midnight(day)]).fetchone()


def cold(connection: psycopg.Connection, since: datetime, until: datetime) -> list[LakeDay]:
    """The days of [since, until) that lie in the lake alone, in order."""
    asked = f"{DAYS} where dropped_at is not null and at > %s::timestamptz - interval '1 day' and at < %s order by at"
    with connection.cursor(row_factory=class_row(LakeDay)) as cursor:
        return cursor.execute(asked.encode(), [since, until]).fetchall()


def dropped(connection: psycopg.Connection, days: Collection[date]) -> set[date]:
    """Those of the days whose partition is gone for good: what still comes for them is late."""
    asked = "select at from lake_days where dropped_at is not null and at = any(%s::timestamptz[])"
    rows = connection.execute(asked, [[midnight(day) for day in days]]).fetchall()
    return {row[0].astimezone(UTC).date() for row in rows}


def to_archive(connection: psycopg.Connection, now: datetime) -> list[date]:
    """Days that are over and in no file yet, oldest first."""
    known = {each.day for each in archived(connection)}
    return [day for day in partitions(connection) if midnight(day) + DAY + CLOSED_AFTER <= now and day not in known]


def to_drop(connection: psycopg.Connection, now: datetime, keep: timedelta) -> list[date]:
    """Archived days whose ticks have been in Postgres for long enough, oldest first."""
    there = set(partitions(connection))
    days = (each.day for each in archived(connection) if each.dropped_at is None and each.at + DAY + keep <= now)
    return [day for day in days if day in there]


def late_days(connection: psycopg.Connection) -> list[date]:
    """Days for whose file a tick waits."""
    rows = connection.execute("select distinct date_trunc('day', scheduled_at, 'UTC') from late_ticks order by 1")
    return [row[0].astimezone(UTC).date() for row in rows]


def partitions(connection: psycopg.Connection) -> list[date]:
    """The days that have one."""
    return [datetime.strptime(row[0], "ticks_%Y%m%d").date() for row in connection.execute(_PARTITIONS)]  # noqa: DTZ007 - a day


def lake_root() -> LakeRoot:
    """Where the lake lies, by the settings. Errors: UnavailableError where they name none."""
    from pipeline.settings import Settings

    root = Settings().lake_root
    if root is None:
        raise UnavailableError(
            "Days of ticks lie in a lake, and BETTERSTACK_LAKE does not say where: set it as the roller has it."
        )
    return root
