"""The fleet as rows, read: who is alive, how far the pusher came, how much waits in each region's streams."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, structs
from sqlalchemy import Connection, select

from pipeline.store import tables as t
from pipeline.store.beats import Backlog, WorkerSeen

__all__ = ["Backlog", "PusherRow", "WorkerSeen", "backlogs", "pusher_row", "workers"]


class PusherRow(Struct, frozen=True):
    """How far the schedule was pushed, and by whom."""

    epoch: int
    leader: str | None
    pushed_until: datetime | None
    beat_at: datetime | None


def workers(connection: Connection, *, since: datetime) -> list[WorkerSeen]:
    """Who gave a sign of life since then."""
    query = select(t.workers).where(t.workers.c.seen_at >= since).order_by(t.workers.c.role, t.workers.c.name)
    names = structs.fields(WorkerSeen)
    rows = connection.execute(query).mappings()
    return [WorkerSeen(**{field.name: row[field.name] for field in names}) for row in rows]


def pusher_row(connection: Connection) -> PusherRow:
    row = connection.execute(select(t.pusher)).mappings().one()
    return PusherRow(row["epoch"], row["leader"], row["pushed_until"], row["beat_at"])


def backlogs(connection: Connection) -> list[Backlog]:
    rows = connection.execute(select(t.backlogs).order_by(t.backlogs.c.region_id)).mappings()
    return [Backlog(**{field.name: row[field.name] for field in structs.fields(Backlog)}) for row in rows]
