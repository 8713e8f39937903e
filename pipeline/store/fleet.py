"""The fleet as rows, read: who is alive, how far the pusher came, how much waits in each region's streams."""

from __future__ import annotations

from datetime import datetime

import polars as pl
from msgspec import Struct, structs
from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from pipeline.frames import TIME
from pipeline.store import tables as t
from pipeline.store.beats import Backlog, Decision, WorkerSeen

__all__ = [
    "Backlog",
    "Decision",
    "PusherRow",
    "Scaling",
    "WorkerSeen",
    "backlogs",
    "decisions",
    "pusher_row",
    "samples",
    "scaling",
    "workers",
]

_REAL, _COUNT = pl.Float32(), pl.Int32()
SAMPLES = {
    "region_id": pl.Int32(), "region": pl.String(), "at": TIME, "probers": _COUNT, "in_flight": _COUNT,
    "probed": pl.Int64(), "lateness_p50_ms": _REAL, "lateness_p95_ms": _REAL, "lateness_p99_ms": _REAL,
    "stall_ms": _REAL, "checks_waiting": _COUNT, "checks_pending": _COUNT, "oldest_waiting_s": _REAL,
    "ticks_waiting": _COUNT,
}  # fmt: skip


class PusherRow(Struct, frozen=True):
    """How far the schedule was pushed, and by whom."""

    epoch: int
    leader: str | None
    pushed_until: datetime | None
    beat_at: datetime | None


class Scaling(Struct, frozen=True):
    """How often a region's probers were raised and lowered, and to how many at last."""

    raised: int = 0
    lowered: int = 0
    wanted: int | None = None


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


def decisions(
    connection: Connection, *, since: datetime, region_id: int | None = None, limit: int = 200
) -> list[Decision]:
    """The autoscaler's decisions since then, newest first."""
    table = t.decisions
    query = select(table).where(table.c.at >= since).order_by(table.c.at.desc(), table.c.id.desc()).limit(limit)
    if region_id is not None:
        query = query.where(table.c.region_id == region_id)
    rows = connection.execute(query).mappings()
    return [Decision(**{field.name: row[field.name] for field in structs.fields(Decision)}) for row in rows]


def scaling(connection: Connection) -> dict[int, Scaling]:
    """What the autoscaler did to each region, by its id."""
    table = t.decisions
    counts = select(
        table.c.region_id,
        func.count().filter(table.c.after > table.c.before),
        func.count().filter(table.c.after < table.c.before),
    ).group_by(table.c.region_id)
    last = (
        select(table.c.region_id, table.c.after)
        .ext(distinct_on(table.c.region_id))
        .order_by(table.c.region_id, table.c.at.desc(), table.c.id.desc())
    )
    wanted = {row[0]: row[1] for row in connection.execute(last)}
    return {row[0]: Scaling(row[1], row[2], wanted.get(row[0])) for row in connection.execute(counts)}


def samples(connection: Connection, *, since: datetime, until: datetime) -> pl.DataFrame:
    """How the living regions fared in [since, until), by region and time; columns as in `SAMPLES`, a row each ten s."""
    table = t.region_samples
    columns = [t.regions.c.key.label("region") if name == "region" else table.c[name] for name in SAMPLES]
    query = (
        select(*columns)
        .join(t.regions, t.regions.c.id == table.c.region_id)
        .where(table.c.at >= since, table.c.at < until, t.regions.c.deleted_at.is_(None))
        .order_by(t.regions.c.key, table.c.at)
    )
    return pl.DataFrame(connection.execute(query).all(), schema=SAMPLES, orient="row")
