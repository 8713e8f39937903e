"""Signs of life, written down: who is alive, and how much waits in each region's streams. Read in `fleet`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from msgspec import Struct, field, structs
from psycopg import sql
from psycopg.types.json import Jsonb


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


class Backlog(Struct, frozen=True):
    """What waits in a region's streams: entries not yet taken, taken but not done, and their ages in seconds."""

    region_id: int
    seen_at: datetime
    checks_waiting: int
    checks_pending: int
    oldest_waiting_s: float
    oldest_pending_s: float
    ticks_waiting: int


def beat(connection: psycopg.Connection, *seen: WorkerSeen) -> None:
    """Write signs of life down; an older one never replaces a newer one."""
    rows = [{**structs.asdict(worker), "detail": Jsonb(worker.detail)} for worker in seen]
    _upsert(connection, "workers", "name", rows)


def note_backlogs(connection: psycopg.Connection, backlogs: Iterable[Backlog]) -> None:
    _upsert(connection, "backlogs", "region_id", [structs.asdict(backlog) for backlog in backlogs])


def forget_workers(connection: psycopg.Connection, *, before: datetime) -> None:
    """Drop the rows of those that are long gone."""
    connection.execute("delete from workers where seen_at < %s", [before])


def _upsert(connection: psycopg.Connection, table: str, key: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    names = list(rows[0])
    statement = sql.SQL(
        "insert into {table} ({names}) values ({values}) on conflict ({key}) do update set {changes}"
        " where excluded.seen_at >= {table}.seen_at"
    ).format(
        table=sql.Identifier(table),
        key=sql.Identifier(key),
        names=sql.SQL(", ").join(map(sql.Identifier, names)),
        values=sql.SQL(", ").join(map(sql.Placeholder, names)),
        changes=sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names),
    )
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)
