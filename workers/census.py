"""The census: what Redis knows of the fleet, as rows, since the app sees only Postgres."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta

import psycopg
from msgspec import structs
from redis import Redis

from pipeline.store import beats
from pipeline.store.beats import Backlog, WorkerSeen
from pipeline.vocabulary import Region
from workers import streams
from workers.streams import About

FORGOTTEN_AFTER = timedelta(hours=1)


class Census:
    """Taken by the recorder, who reads every region's streams anyway."""

    def __init__(self, name: str, *, started_at: datetime) -> None:
        self._name = name
        self._started_at = started_at
        self._recorded = 0

    def recorded(self, ticks: int) -> None:
        self._recorded += ticks

    def take(self, connection: psycopg.Connection, client: Redis, regions: Sequence[Region], now: datetime) -> int:
        """Write backlogs, probers and ourselves down; returns how many ticks wait."""
        living = [region for region in regions if region.deleted_at is None]
        backlogs = [_backlog(client, region, now) for region in living]
        seen = [self._self(now)]
        for region in living:
            seen += [_prober(region, name, about, now) for name, about in streams.leases(client, region.key).items()]
        with connection.transaction():
            beats.beat(connection, *seen)
            beats.note_backlogs(connection, backlogs)
            beats.forget_workers(connection, before=now - FORGOTTEN_AFTER)
        return sum(backlog.ticks_waiting for backlog in backlogs)

    def _self(self, now: datetime) -> WorkerSeen:
        return WorkerSeen(
            name=self._name,
            role="recorder",
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started_at,
            seen_at=now,
            detail={"recorded": self._recorded},
        )


def _backlog(client: Redis, region: Region, now: datetime) -> Backlog:
    depth = streams.depth(client, streams.checks(region.key), streams.PROBERS)
    return Backlog(
        region_id=region.id,
        seen_at=now,
        checks_waiting=depth.waiting,
        checks_pending=depth.pending,
        oldest_waiting_s=depth.oldest_waiting_s,
        oldest_pending_s=depth.oldest_pending_s,
        ticks_waiting=streams.length(client, streams.ticks(region.key)),
    )


def _prober(region: Region, name: str, about: About, now: datetime) -> WorkerSeen:
    detail = {key: value for key, value in structs.asdict(about).items() if key not in {"pid", "host", "started_at"}}
    return WorkerSeen(
        name=f"prober {name}",
        role="prober",
        host=about.host,
        pid=about.pid,
        started_at=about.started_at if about.started_at.tzinfo else now,
        seen_at=now,
        region_id=region.id,
        detail=detail,
    )
