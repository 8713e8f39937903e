"""Scheduled exports: add, remove, list, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection, insert, select, update

from pipeline.calendar import Every, first_day, midnight, zone
from pipeline.declared_exports import ScheduledExportIn
from pipeline.errors import InvalidInputError, NotFoundError, Problem
from pipeline.exports import What
from pipeline.store import tables as t
from pipeline.store.edits import lock_edits, record
from pipeline.store.regions import region_ids
from pipeline.store.sites import get_site
from pipeline.writers import Format


class ScheduledExport(Struct, frozen=True):
    """One of them, how far it is (`last_until`), when it was last tried, and what went wrong then."""

    id: int
    key: str
    what: What
    format: Format
    sites: list[str] | None
    regions: list[str] | None
    every: Every
    tz: str
    target: str
    created_at: datetime
    last_until: datetime | None
    last_at: datetime | None
    last_error: str | None

    @property
    def done_until(self) -> datetime:
        """What begins before then was written, or is older than the schedule itself."""
        where = zone(self.tz)
        return self.last_until or midnight(first_day(self.every, self.created_at, where), where)


def list_exports(connection: Connection) -> list[ScheduledExport]:
    """All by key."""
    columns = t.scheduled_exports.c
    query = select(*(columns[name] for name in ScheduledExport.__struct_fields__)).where(columns.deleted_at.is_(None))
    return [ScheduledExport(**row) for row in connection.execute(query.order_by(columns.key)).mappings()]


def add_export(connection: Connection, wanted: ScheduledExportIn, *, now: datetime, actor: str) -> ScheduledExport:
    """Add one: its first file is of the period that goes on now. Errors: InvalidInputError, NotFoundError."""
    lock_edits(connection)
    if any(export.key == wanted.key for export in list_exports(connection)):
        raise InvalidInputError([Problem("key", f"there is a scheduled export {wanted.key!r} already")])
    for site in wanted.sites or ():
        get_site(connection, site)
    region_ids(connection, wanted.regions or ())
    values = wanted.model_dump()
    values["target"] = values.pop("folder")
    connection.execute(insert(t.scheduled_exports).values(**values, created_at=now))
    record(connection, actor=actor, action="export_scheduled", subject=wanted.key, now=now)
    return next(export for export in list_exports(connection) if export.key == wanted.key)


def remove_export(connection: Connection, key: str, *, now: datetime, actor: str) -> None:
    """Make no further files; those that there are stay. Errors: NotFoundError."""
    lock_edits(connection)
    columns = t.scheduled_exports.c
    gone = connection.execute(
        update(t.scheduled_exports).where(columns.key == key, columns.deleted_at.is_(None)).values(deleted_at=now)
    )
    if not gone.rowcount:
        there_are = ", ".join(_keys(connection)) or "none yet"
        raise NotFoundError(f"there is no scheduled export {key!r}; there are: {there_are}")
    record(connection, actor=actor, action="export_unscheduled", subject=key, now=now)


def note(connection: Connection, number: int, *, now: datetime, until: datetime | None, error: str | None) -> None:
    """Write down what became of a try."""
    values: dict[str, object] = {"last_at": now, "last_error": error}
    if until is not None:
        values["last_until"] = until
    connection.execute(update(t.scheduled_exports).where(t.scheduled_exports.c.id == number).values(**values))


def _keys(connection: Connection) -> Sequence[str]:
    return [export.key for export in list_exports(connection)]
