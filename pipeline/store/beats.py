"""Signs of life, written down: who is alive, and how much waits in each region's streams. Read in `fleet`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
from msgspec import Struct, field, structs
from psycopg import sql
from psycopg.types.json import Jsonb

NOTHING = sql.SQL("")


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
    """What waits in a region's streams: entries not yet taken, taken but not done, and their ages in seconds.

    `oldest_tick_s` is the age of the oldest tick that is not recorded; `dead_letters` nobody could read or believe.
    """

    region_id: int
    seen_at: datetime
    checks_waiting: int
    checks_pending: int
    oldest_waiting_s: float
    oldest_pending_s: float
    ticks_waiting: int
    checks_added: int = 0  # ever, so that the difference of two is what arrived in between
    oldest_tick_s: float = 0.0
    dead_letters: int = 0


class Sample(Struct, frozen=True):
    """How a region fared at a time: figures of its probers (the worst of them) and what waited."""

    region_id: int
    at: datetime
    probers: int
    in_flight: int
    probed: int
    lateness_p50_ms: float | None
    lateness_p95_ms: float | None
    lateness_p99_ms: float | None
    stall_ms: float | None
    checks_waiting: int
    checks_pending: int
    oldest_waiting_s: float
    ticks_waiting: int


class Decision(Struct, frozen=True):
    """A change of how many probers a region has, why, and the figures that it was based on."""

    region_id: int
    at: datetime
    before: int
    after: int
    reason: str
    figures: dict[str, float | None] = field(default_factory=dict)


def beat(connection: psycopg.Connection, *seen: WorkerSeen) -> None:
    """Write signs of life down; an older one never replaces a newer one."""
    rows = [{**structs.asdict(worker), "detail": Jsonb(worker.detail)} for worker in seen]
    _upsert(connection, "workers", "name", rows)


def note_backlogs(connection: psycopg.Connection, backlogs: Iterable[Backlog]) -> None:
    _upsert(connection, "backlogs", "region_id", [structs.asdict(backlog) for backlog in backlogs])


def note_samples(connection: psycopg.Connection, samples: Iterable[Sample]) -> None:
    """Keep samples; a second one of the same time (two recorders) changes nothing."""
    rows = [structs.asdict(sample) for sample in samples]
    _insert(connection, "region_samples", rows, sql.SQL(" on conflict do nothing"))


def note_decisions(connection: psycopg.Connection, decisions: Iterable[Decision]) -> None:
    rows = [{**structs.asdict(decision), "figures": Jsonb(decision.figures)} for decision in decisions]
    _insert(connection, "decisions", rows)


def forget_samples(connection: psycopg.Connection, *, before: datetime) -> None:
    """Drop samples that nobody looks at any more."""
    connection.execute("delete from region_samples where at < %s", [before])


def forget_workers(connection: psycopg.Connection, *, before: datetime) -> None:
    """Drop the rows of those that are long gone."""
    connection.execute("delete from workers where seen_at < %s", [before])


def _upsert(connection: psycopg.Connection, table: str, key: str, rows: Sequence[Mapping[str, Any]]) -> None:
    names = rows[0] if rows else ()
    conflict = sql.SQL(" on conflict ({key}) do update set {changes} where excluded.seen_at >= {table}.seen_at").format(
        table=sql.Identifier(table),
        key=sql.Identifier(key),
        changes=sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in names),
    )
    _insert(connection, table, rows, conflict)


def _insert(
    connection: psycopg.Connection, table: str, rows: Sequence[Mapping[str, Any]], conflict: sql.Composable = NOTHING
) -> None:
    if not rows:
        return
    statement = sql.SQL("insert into {table} ({names}) values ({values}){conflict}").format(
        table=sql.Identifier(table),
        names=sql.SQL(", ").join(map(sql.Identifier, rows[0])),
        values=sql.SQL(", ").join(map(sql.Placeholder, rows[0])),
        conflict=conflict,
    )
    with connection.cursor() as cursor:
        cursor.executemany(statement, rows)
