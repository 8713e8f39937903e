"""Reads what the regions need and decides how many probers each has; every decision is a row before it is acted on."""

from __future__ import annotations

import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import psycopg

from pipeline.schedule import LOOKAHEAD
from pipeline.store import beats, loads
from pipeline.store.loads import RegionLoad
from pipeline.store.schedule import regions_known
from pipeline.store.session import session
from pipeline.vocabulary import Region
from workers.autoscaler import CALM, LONG, Bounds, Load, Need, decide, need

log = logging.getLogger("scaling")

STEPPED = timedelta(seconds=5)
REMEMBERED = LONG + timedelta(seconds=2)  # of loads


class Served(NamedTuple):
    """A region that is ours to serve, and by how many probers."""

    key: str
    probers: int


class Memory:
    """What the scaler remembers of one region."""

    def __init__(self, count: int, decided_at: datetime | None) -> None:
        self.count = count
        self.decided_at = decided_at
        self.loads: deque[Load] = deque()
        self.needs: deque[Need] = deque()

    def take_in(self, load: Load) -> None:
        if self.loads and load.at < self.loads[-1].at - STEPPED:  # the clock was set back: what we know is the future's
            self.loads.clear()
            self.needs.clear()
            self.decided_at = None
        if self.loads and load.at <= self.loads[-1].at:
            return
        self.loads.append(load)
        while load.at - self.loads[0].at > REMEMBERED:
            self.loads.popleft()
        if (needed := need(self.loads, self.count)) is not None:
            self.needs.append(needed)
        while self.needs and load.at - self.needs[0].at > CALM:
            self.needs.popleft()


class Scaler:
    """One leads; others stand by with nothing to serve. Call `look` once a second, from one thread."""

    def __init__(self, dsn: str, *, clock: Callable[[], datetime]) -> None:
        self._dsn = dsn
        self._clock = clock
        self._connection: psycopg.Connection | None = None
        self._name = f"supervisor-{socket.gethostname()}-{os.getpid()}"
        self._started_at = clock()
        self._leads = False
        self._regions: dict[int, Memory] = {}

    def look(self) -> Sequence[Served]:
        """The regions to serve now. Errors: psycopg.Error; what was served then goes on as it was."""
        try:
            connection = self._connected()
            now = self._clock()
            if not self._leading(connection):
                return []
            return self._look(connection, now)
        except psycopg.Error:
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = session(
                self._dsn, "supervisor", lock_timeout_ms=3_000, statement_timeout_ms=5_000, connect_timeout="3"
            )
            self._leads = False
        return self._connection

    def _leading(self, connection: psycopg.Connection) -> bool:
        if not self._leads:
            self._leads = loads.try_to_supervise(connection)
            if self._leads:
                log.info("supervising", extra={"action": "supervising", "supervisor": self._name})
            else:
                self._regions.clear()  # what the other decides meanwhile is what we go on from
        return self._leads

    def _look(self, connection: psycopg.Connection, now: datetime) -> Sequence[Served]:
        managed = [
            region for region in regions_known(connection, since=now) if region.managed and not region.deleted_at
        ]
        self._remember(connection, managed)
        for load in loads.loads(connection):
            if load.region_id in self._regions:
                self._regions[load.region_id].take_in(summed(load))
        decisions = [found for region in managed if (found := self._decide(region, now)) is not None]
        with connection.transaction():
            beats.note_decisions(connection, decisions)
            beats.beat(connection, self._seen(managed, now))
        for decision in decisions:
            self._carry_out(decision, next(region.key for region in managed if region.id == decision.region_id))
        return [Served(region.key, self._regions[region.id].count) for region in managed]

    def _remember(self, connection: psycopg.Connection, managed: Sequence[Region]) -> None:
        """A region that we see for the first time has what was last decided for it, or its least."""
        if not all(region.id in self._regions for region in managed):
            last = loads.last_decisions(connection)
            for region in managed:
                if region.id not in self._regions:
                    decided_at, count = last.get(region.id, (None, region.min_probers))
                    self._regions[region.id] = Memory(count, decided_at)
        for gone in self._regions.keys() - {region.id for region in managed}:
            del self._regions[gone]

    def _decide(self, region: Region, now: datetime) -> beats.Decision | None:
        memory = self._regions[region.id]
        bounds = Bounds(region.min_probers, region.max_probers)
        return decide(now, region.id, memory.count, bounds, list(memory.needs), memory.decided_at)

    def _carry_out(self, decision: beats.Decision, key: str) -> None:
        memory = self._regions[decision.region_id]
        memory.count, memory.decided_at = decision.after, decision.at
        facts = {"region": key, "before": decision.before, "after": decision.after, "reason": decision.reason}
        log.info("scaling", extra={"action": "scaled", **facts})

    def _seen(self, managed: Sequence[Region], now: datetime) -> beats.WorkerSeen:
        return beats.WorkerSeen(
            name=self._name,
            role="supervisor",
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started_at,
            seen_at=now,
            detail={"probers": {region.key: self._regions[region.id].count for region in managed}},
        )


def summed(load: RegionLoad) -> Load:
    """A region's figures in one: of its probers the mean duration, and the worst lateness."""
    durations = [prober["probe_s"] for prober in load.probers if prober.get("probe_s")]
    late = [prober["lateness_p95_ms"] for prober in load.probers if prober.get("lateness_p95_ms") is not None]
    limits = [prober["in_flight_limit"] for prober in load.probers if prober.get("in_flight_limit")]
    return Load(
        at=load.seen_at,
        added=load.checks_added,
        probe_s=round(sum(durations) / len(durations), 4) if durations else None,
        in_flight_limit=min(limits, default=0),
        lateness_p95_ms=max(late, default=None),
        overdue_s=max(0.0, load.oldest_waiting_s - LOOKAHEAD.total_seconds()),
    )
