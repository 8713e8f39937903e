"""The census: what Redis knows of the fleet, as rows, since the app sees only Postgres."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import psycopg
from msgspec import structs

from pipeline.store import beats
from pipeline.store.beats import Backlog, Sample, WorkerSeen
from pipeline.vocabulary import Outcome, Region
from workers import access, streams
from workers.cluster import NodeAwayError
from workers.streams import About, Client

FORGOTTEN_AFTER = timedelta(hours=1)
SAMPLE_S = 10


class Census:
    """Taken by the recorder, who reads every region's streams anyway."""

    def __init__(self, name: str, *, started_at: datetime, secret: bytes | None = None) -> None:
        self._name = name
        self._secret = secret
        self._started_at = started_at
        self._recorded = 0
        self._outcomes: dict[str, Counter[Outcome]] = {}
        self._sampled: datetime | None = None

    def recorded(self, ticks: Iterable[tuple[str, Outcome]]) -> None:
        """Count new ticks, each by its region's key and its outcome."""
        for region, outcome in ticks:
            self._recorded += 1
            self._outcomes.setdefault(region, Counter())[outcome] += 1

    def take(self, connection: psycopg.Connection, client: Client, regions: Sequence[Region], now: datetime) -> int:
        """Write backlogs, probers and ourselves down; returns how many ticks wait."""
        known = {region.key for region in regions}
        self._outcomes = {key: counts for key, counts in self._outcomes.items() if key in known}
        living, backlogs, probers = _figures(client, regions, now)
        seen = [self._self(now)]
        for region, leases in zip(living, probers, strict=True):
            seen += [_prober(region, name, about, now, self._secret) for name, about in leases.items()]
        with connection.transaction():
            beats.beat(connection, *seen)
            beats.note_backlogs(connection, backlogs)
            beats.note_samples(connection, self._samples(backlogs, probers, now))
            beats.forget_workers(connection, before=now - FORGOTTEN_AFTER)
        return sum(backlog.ticks_waiting for backlog in backlogs)

    def _samples(
        self, backlogs: Sequence[Backlog], probers: Sequence[Mapping[str, About]], now: datetime
    ) -> list[Sample]:
        """One a region each ten seconds, at a round time, so that two recorders keep one."""
        at = now - timedelta(seconds=now.timestamp() % SAMPLE_S)
        if at == self._sampled:
            return []
        self._sampled = at
        return [sample(at, backlog, list(abouts.values())) for backlog, abouts in zip(backlogs, probers, strict=True)]

    def _self(self, now: datetime) -> WorkerSeen:
        return WorkerSeen(
            name=self._name,
            role="recorder",
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started_at,
            seen_at=now,
            detail={"recorded": self._recorded, "outcomes": self._outcomes},
        )


def _figures(
    client: Client, regions: Sequence[Region], now: datetime
) -> tuple[list[Region], list[Backlog], list[Mapping[str, About]]]:
    """The living regions, what waits in each and who serves it; without those whose shard is away just now."""
    living: list[Region] = []
    backlogs: list[Backlog] = []
    probers: list[Mapping[str, About]] = []
    for region in regions:
        if region.deleted_at is None:
            with suppress(NodeAwayError):  # its rows grow old, which says it
                backlog, leases = _backlog(client, region, now), streams.leases(client, region.key)
                living.append(region)
                backlogs.append(backlog)
                probers.append(leases)
    return living, backlogs, probers


def _backlog(client: Client, region: Region, now: datetime) -> Backlog:
    depth = streams.depth(client, streams.checks(region.key), streams.PROBERS)
    return Backlog(
        region_id=region.id,
        seen_at=now,
        checks_waiting=depth.waiting,
        checks_pending=depth.pending,
        oldest_waiting_s=depth.oldest_waiting_s,
        oldest_pending_s=depth.oldest_pending_s,
        ticks_waiting=streams.length(client, streams.ticks(region.key)),
        checks_added=depth.added,
    )


def sample(at: datetime, backlog: Backlog, probers: Sequence[About]) -> Sample:
    """A region's figures; of the probers' lateness and stall the worst, since an average hides who is late."""
    return Sample(
        region_id=backlog.region_id,
        at=at,
        probers=len(probers),
        in_flight=sum(about.in_flight for about in probers),
        probed=sum(about.probed for about in probers),
        lateness_p50_ms=_worst(about.lateness_p50_ms for about in probers),
        lateness_p95_ms=_worst(about.lateness_p95_ms for about in probers),
        lateness_p99_ms=_worst(about.lateness_p99_ms for about in probers),
        stall_ms=_worst(about.stall_ms for about in probers),
        checks_waiting=backlog.checks_waiting,
        checks_pending=backlog.checks_pending,
        oldest_waiting_s=backlog.oldest_waiting_s,
        ticks_waiting=backlog.ticks_waiting,
    )


def _worst(figures: Iterable[float | None]) -> float | None:
    return max((figure for figure in figures if figure is not None), default=None)


def _prober(region: Region, name: str, about: About, now: datetime, secret: bytes | None) -> WorkerSeen:
    own = {"pid", "host", "started_at", "proof"}
    detail = {key: value for key, value in structs.asdict(about).items() if key not in own}
    if secret is not None and not region.managed:
        detail["region_key"] = access.proven(about.proof, secret, region, name)
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
