"""The census: what Redis knows of the fleet, as rows, since the app sees only Postgres."""

from __future__ import annotations

import logging
import os
import socket
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psycopg
from msgspec import structs

from pipeline.errors import WorkbenchError
from pipeline.ring import RingSource, no_keys
from pipeline.store import beats
from pipeline.store.beats import Backlog, Sample, WorkerSeen
from pipeline.vocabulary import Outcome, Region
from workers import access, streams
from workers.cluster import NodeAwayError
from workers.streams import About, Client

log = logging.getLogger("recorder")

FORGOTTEN_AFTER = timedelta(hours=1)
SAMPLE_S = 10
OLDEST_START, NEWEST_START = timedelta(days=365), timedelta(minutes=1)  # when a living prober may have begun


class Census:
    """Taken by the recorder, who reads every region's streams anyway."""

    def __init__(self, name: str, *, started_at: datetime, ring: RingSource = no_keys) -> None:
        self._name = name
        self._ring = ring
        self._secret: bytes | None = None
        self._started_at = started_at
        self._recorded = 0
        self._outcomes: dict[str, Counter[Outcome]] = {}
        self._sampled: datetime | None = None

    def recorded(self, ticks: Iterable[tuple[str, Outcome]]) -> None:
        """Count new ticks, each by its region's key and its outcome."""
        for region, outcome in ticks:
            self._recorded += 1
            self._outcomes.setdefault(region, Counter())[outcome] += 1

    def take(
        self, connection: psycopg.Connection, client: Client, regions: Sequence[Region], now: datetime
    ) -> dict[int, int]:
        """Write backlogs, probers and ourselves down; returns how many ticks of each region wait."""
        with suppress(WorkbenchError):  # the pusher says so
            self._secret = self._ring().first
        known = {region.key for region in regions}
        self._outcomes = {key: counts for key, counts in self._outcomes.items() if key in known}
        living, backlogs, probers = _figures(client, regions, now, self._secret)
        at = now - timedelta(seconds=now.timestamp() % SAMPLE_S)
        with connection.transaction():
            beats.beat(connection, self._self(now))
            beats.forget_workers(connection, before=now - FORGOTTEN_AFTER)
            for region, backlog, abouts in zip(living, backlogs, probers, strict=True):
                seen = [_prober(region, name, about, now, self._secret) for name, about in abouts.items()]
                samples = [sample(at, backlog, list(abouts.values()))] if at != self._sampled else []
                try:
                    with connection.transaction():  # what one region's probers say of themselves is their own trouble
                        beats.note_backlogs(connection, [backlog])
                        beats.beat(connection, *seen)
                        beats.note_samples(connection, samples)
                except (psycopg.DataError, psycopg.IntegrityError, ArithmeticError, ValueError):
                    log.exception("no census", extra={"action": "census_failed", "region": region.key})
        self._sampled = at
        return {backlog.region_id: backlog.ticks_waiting for backlog in backlogs}

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
    client: Client, regions: Sequence[Region], now: datetime, secret: bytes | None
) -> tuple[list[Region], list[Backlog], list[Mapping[str, About]]]:
    """The living regions, what waits in each and who serves it; without those whose shard is away just now.

    Where we can tell, a prober elsewhere counts only if it has its region's key: of the last generation, so that
    nobody lives on in what somebody wrote before he was cut off.
    """
    living: list[Region] = []
    backlogs: list[Backlog] = []
    probers: list[Mapping[str, About]] = []
    for region in regions:
        if region.deleted_at is None:
            with suppress(NodeAwayError):  # its rows grow old, which says it
                backlog, leases = _backlog(client, region, now), streams.leases(client, region.key)
                if secret is not None and not region.managed:
                    leases = {
                        name: about
                        for name, about in leases.items()
                        if access.proven(about.proof, secret, region, name) == "right"
                    }
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
        oldest_tick_s=streams.oldest_s(client, streams.ticks(region.key)),
        dead_letters=streams.length(client, streams.dead(region.key)),
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
        name=f"prober {region.id}/{name}",  # whatever a region's probers call themselves, the row is its own
        role="prober",
        host=about.host,
        pid=about.pid,
        started_at=_believed(about.started_at, now),
        seen_at=now,
        region_id=region.id,
        detail=detail,
    )


def _believed(started_at: datetime, now: datetime) -> datetime:
    """When a prober began, in UTC, or now where that cannot be."""
    if started_at.tzinfo is None:
        return now
    with suppress(OverflowError):
        started_at = started_at.astimezone(UTC)
        if now - OLDEST_START <= started_at <= now + NEWEST_START:
            return started_at
    return now
