"""The fleet as rows: who is alive, how far the pusher came, how much waits in each region's streams."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from msgspec import Struct, field, structs
from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert as upsert

from pipeline.store import tables as t


class WorkerSeen(Struct, frozen=True):
    """A sign of life. `detail` holds figures of the role's own, each named with its unit."""

    name: str
    role: str
    host: str
    pid: int
    started_at: datetime
    seen_at: datetime
    region_id: int | None = None
    detail: dict[str, Any] = field(default_factory=dict)


class PusherRow(Struct, frozen=True):
    """How far the schedule was pushed, and by whom."""

    epoch: int
    leader: str | None
    pushed_until: datetime | None
    beat_at: datetime | None


class Backlog(Struct, frozen=True):
    """What waits in a region's streams: entries not yet taken, taken but not done, and their ages in seconds."""

    region_id: int
    seen_at: datetime
    checks_waiting: int
    checks_pending: int
    oldest_waiting_s: float
    oldest_pending_s: float
    ticks_waiting: int


def beat(connection: Connection, *seen: WorkerSeen) -> None:
    """Write signs of life down; an older one never replaces a newer one."""
    _upsert(connection, t.workers, "name", [structs.asdict(worker) for worker in seen])


def note_backlogs(connection: Connection, backlogs: Iterable[Backlog]) -> None:
    _upsert(connection, t.backlogs, "region_id", [structs.asdict(backlog) for backlog in backlogs])


def workers(connection: Connection, *, since: datetime) -> list[WorkerSeen]:
    """Who gave a sign of life since then."""
    query = select(t.workers).where(t.workers.c.seen_at >= since).order_by(t.workers.c.role, t.workers.c.name)
    names = structs.fields(WorkerSeen)
    rows = connection.execute(query).mappings()
    return [WorkerSeen(**{field.name: row[field.name] for field in names}) for row in rows]


def forget_workers(connection: Connection, *, before: datetime) -> None:
    """Drop the rows of those that are long gone."""
    connection.execute(delete(t.workers).where(t.workers.c.seen_at < before))


def pusher_row(connection: Connection) -> PusherRow:
    row = connection.execute(select(t.pusher)).mappings().one()
    return PusherRow(row["epoch"], row["leader"], row["pushed_until"], row["beat_at"])


def backlogs(connection: Connection) -> list[Backlog]:
    rows = connection.execute(select(t.backlogs).order_by(t.backlogs.c.region_id)).mappings()
    return [Backlog(**{field.name: row[field.name] for field in structs.fields(Backlog)}) for row in rows]


def _upsert(connection: Connection, table: Any, key: str, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    statement = upsert(table).values(rows)
    values = {name: statement.excluded[name] for name in rows[0] if name != key}
    newer = statement.excluded.seen_at >= table.c.seen_at
    connection.execute(statement.on_conflict_do_update(index_elements=[key], set_=values, where=newer))
