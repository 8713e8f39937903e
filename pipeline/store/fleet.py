"""The fleet as rows, read: who is alive, how far the pusher came, how much waits in each region's streams."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from msgspec import Struct, structs
from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from pipeline.health import FRESH, LOOK_BACK
from pipeline.store import tables as t
from pipeline.store.beats import Backlog, WorkerSeen
from pipeline.store.regions import list_regions
from pipeline.vocabulary import Region

__all__ = ["Backlog", "PusherRow", "RegionFacts", "Scaling", "WorkerSeen"]


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


class RegionFacts(Struct, frozen=True):
    """A region and what its part of the fleet is doing. `seen_at` is its probers' last sign of life.

    `wanted` is how many probers the supervisor keeps there, None where it has not said; the lateness is that of the
    worst prober.
    """

    region: Region
    series: int
    probers: int
    seen_at: datetime | None
    backlog: Backlog | None
    wanted: int | None = None
    lateness_p50_ms: float | None = None
    lateness_p95_ms: float | None = None


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


def region_facts(connection: Connection, now: datetime) -> list[RegionFacts]:
    """Every region with its series, its living probers, how late they are, and what waits for them."""
    counted = select(t.series.c.region_id, func.count()).group_by(t.series.c.region_id)
    series = {row[0]: row[1] for row in connection.execute(counted)}
    seen = workers(connection, since=now - LOOK_BACK)
    waiting = {backlog.region_id: backlog for backlog in backlogs(connection)}
    told = [worker for worker in seen if worker.role == "supervisor" and now - worker.seen_at <= FRESH]
    wanted = max(told, key=lambda worker: worker.seen_at).detail.get("probers", {}) if told else {}
    facts = []
    for region in list_regions(connection):
        here = [worker for worker in seen if worker.role == "prober" and worker.region_id == region.id]
        alive = [worker for worker in here if now - worker.seen_at <= FRESH]
        facts.append(
            RegionFacts(
                region,
                series.get(region.id, 0),
                len(alive),
                max((worker.seen_at for worker in here), default=None),
                waiting.get(region.id),
                wanted.get(region.key),
                _worst(alive, "lateness_p50_ms"),
                _worst(alive, "lateness_p95_ms"),
            )
        )
    return facts


def _worst(workers: Iterable[WorkerSeen], figure: str) -> float | None:
    figures = (worker.detail.get(figure) for worker in workers)
    return max((float(ms) for ms in figures if isinstance(ms, int | float)), default=None)
