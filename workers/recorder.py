"""The recorder: ticks from every region's stream into Postgres, and what they say about the sites.

A batch is one transaction: ticks in, touched hours marked, standings and verdicts folded, transitions out.
Commit first, acknowledge after: a crash between the two repeats a batch, and its keys make that harmless.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import psycopg
from redis.exceptions import RedisError, ResponseError

from pipeline.judge.fold import judge, silence
from pipeline.settings import Settings
from pipeline.store.schedule import regions_known
from pipeline.store.session import session
from pipeline.store.standings import lock_watched, sites_gone_silent, write_judged
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Region, Tick, cleaned
from workers import secret_key, streams
from workers.census import Census
from workers.cluster import NodeAwayError
from workers.killpoints import reached
from workers.lifecycle import Stop, stay_alive
from workers.streams import RECORDERS, Client, Entry
from workers.wire import UnreadableError, unpack_tick

log = logging.getLogger("recorder")

READ = 2_000  # entries of one region in a batch: a commit of some 30 ms
PACE_S = 0.1  # a batch no oftener than this: fewer, larger transactions, and ticks are on the page in time
SWEEP_S = 1.0  # regions, silence, census
CLAIM_IDLE_MS = 30_000  # a batch that a dead recorder held for this long is ours
SEATS = 8  # recorders side by side; a seat is a consumer name, so that who comes back finds its own entries
SEAT_LOCK = 0x73656174  # "seat"
DELETED_GRACE = timedelta(seconds=10)  # probes that were under way when their region was removed
# A tick outside these bounds comes from a broken clock; no partition is made for it.
OLDEST, NEWEST = timedelta(days=400), timedelta(days=1)


class Received(NamedTuple):
    """A tick, and the entry to acknowledge for it."""

    region: str
    entry: Entry
    tick: Tick


def record(connection: psycopg.Connection, ticks: Sequence[Tick], *, now: datetime) -> list[Tick]:
    """Store a batch and judge it, in the caller's transaction; returns the ticks that were new."""
    ensure_partitions(connection, {tick.scheduled_at.date() for tick in ticks})
    stored = store_ticks(connection, ticks)
    watched = lock_watched(connection, {tick.site_id for tick in stored})
    write_judged(connection, watched, judge(watched, stored, now=now))
    return stored


def sweep_silence(connection: psycopg.Connection, *, now: datetime) -> None:
    """Verdicts of sites that went silent, in a transaction of their own."""
    with connection.transaction():
        watched = lock_watched(connection, sites_gone_silent(connection, now))
        write_judged(connection, watched, silence(watched, now=now))


class Recorder:
    """The loop's memory: a connection, a seat, the regions to read."""

    def __init__(self, dsn: str, client: Client, *, clock: Callable[[], datetime], secret: bytes | None = None) -> None:
        self._dsn = dsn
        self._client = client
        self._clock = clock
        self._census = Census(f"recorder-{socket.gethostname()}-{os.getpid()}", started_at=clock(), secret=secret)
        self._connection: psycopg.Connection | None = None
        self._seat = ""
        self._regions: list[Region] = []
        self._swept = 0.0
        self._recover = True

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def beat(self) -> int:
        """Read, record, acknowledge once; returns how many entries were done. Errors: psycopg's and redis's."""
        connection = self._connected()
        if time.monotonic() - self._swept >= SWEEP_S:
            self._look_around(connection)
        batch = self._read()
        if batch:
            try:
                self._record(connection, batch)
            except psycopg.DataError:
                for each in batch:
                    self._record_alone(connection, each)
        return len(batch)

    def _record(self, connection: psycopg.Connection, batch: Sequence[Received]) -> None:
        """Commit, then acknowledge."""
        with connection.transaction():
            new = record(connection, [each.tick for each in batch], now=self._clock())
            reached("recorder: before commit")
        reached("recorder: after commit")
        regions = {each.tick.region_id: each.region for each in batch}
        self._census.recorded((regions[tick.region_id], tick.outcome) for tick in new)
        for region in {each.region for each in batch}:
            ids = [each.entry.id for each in batch if each.region == region]
            with suppress(NodeAwayError):  # still pending: they come again
                streams.done(self._client, streams.ticks(region), RECORDERS, ids)

    def _record_alone(self, connection: psycopg.Connection, received: Received) -> None:
        """One by one, so that what Postgres refuses takes nobody with it."""
        try:
            self._record(connection, [received])
        except psycopg.DataError as error:
            self._bury(received.region, received.entry, str(error).strip())

    def fail(self, error: Exception) -> None:
        """After an error: a fresh connection, and a second look at what we were given before."""
        if not isinstance(error, RedisError):
            self.close()
        self._recover = True

    def _connected(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = session(self._dsn, "recorder", lock_timeout_ms=30_000)
            self._seat = _take_seat(self._connection)
            self._swept = 0.0
        return self._connection

    def _look_around(self, connection: psycopg.Connection) -> None:
        """Every few seconds: regions that came and went, sites that nobody reports on, how the fleet is."""
        self._swept = time.monotonic()
        self._recover = True
        now = self._clock()
        self._regions = regions_known(connection, since=now - timedelta(hours=1))
        living = {region.key for region in self._regions if region.deleted_at is None}
        for region in self._regions:
            over = region.deleted_at is not None and now - region.deleted_at > DELETED_GRACE
            with suppress(NodeAwayError):  # later
                if over and region.key not in living and self._drained(region):
                    streams.drop(self._client, streams.ticks(region.key))
        try:
            ticks_waiting = self._census.take(connection, self._client, self._regions, now)
        except (ResponseError, psycopg.DataError):  # what somebody wrote about himself must not stop the recording
            log.exception("no census", extra={"action": "census_failed"})
            return
        if ticks_waiting < READ:  # else the silence may be our own
            sweep_silence(connection, now=now)

    def _drained(self, region: Region) -> bool:
        return streams.length(self._client, streams.ticks(region.key)) == 0

    def _read(self) -> list[Received]:
        batch: list[Received] = []
        for region in self._regions:
            own = {known.id for known in self._regions if known.key == region.key}
            for entry in self._entries(region.key):
                tick = self._unpack(region.key, own, entry)
                if tick is not None:
                    batch.append(Received(region.key, entry, tick))
        self._recover = self._recover and bool(batch)  # there may be more than one batch of them
        return batch

    def _entries(self, region: str) -> list[Entry]:
        key = streams.ticks(region)
        try:
            if self._recover:
                lost = streams.own_pending(self._client, key, RECORDERS, self._seat, READ)
                lost += streams.claim(self._client, key, RECORDERS, self._seat, idle_ms=CLAIM_IDLE_MS, count=READ)
                if lost:
                    return list({entry.id: entry for entry in lost}.values())
            return streams.read(self._client, key, RECORDERS, self._seat, READ)
        except NodeAwayError:
            return []  # the other shards' ticks need not wait for it
        except ResponseError as error:
            if streams.is_lost(error):
                return []  # removed, or on its way back with the pusher's next beat
            raise

    def _unpack(self, region: str, own: Collection[int], entry: Entry) -> Tick | None:
        try:
            tick = unpack_tick(entry.fields)
            _refuse_unlikely(tick, self._clock())
            _refuse_foreign(region, own, tick)
        except UnreadableError as error:
            self._bury(region, entry, str(error))
            return None
        return cleaned(tick)

    def _bury(self, region: str, entry: Entry, reason: str) -> None:
        log.error("entry buried", extra={"action": "entry_buried", "entry": entry.id.decode(), "reason": reason})
        streams.bury(self._client, region, streams.ticks(region), RECORDERS, entry, reason)


def _refuse_unlikely(tick: Tick, now: datetime) -> None:
    if not now - OLDEST < tick.scheduled_at < now + NEWEST:
        raise UnreadableError(f"a tick for {tick.scheduled_at:%Y-%m-%d %H:%M} comes from a broken clock")


def _refuse_foreign(region: str, own: Collection[int], tick: Tick) -> None:
    """Whoever may write to one region's stream may not speak for another region."""
    if tick.region_id not in own:
        raise UnreadableError(f"a tick of region {tick.region_id} came in the stream of {region!r}")


def _take_seat(connection: psycopg.Connection) -> str:
    """The first seat that nobody holds; the session holds it until it ends."""
    for seat in range(1, SEATS + 1):
        row = connection.execute("select pg_try_advisory_lock(%s, %s)", [SEAT_LOCK, seat]).fetchone()
        if row and row[0]:
            return f"recorder-{seat}"
    raise RuntimeError(f"{SEATS} recorders are at work already; more only wait for each other")


def run(settings: Settings, stop: Stop) -> None:
    """Record until told to stop."""
    client = streams.connect(settings.redis)
    secret = secret_key.ensure_where_ours(settings)
    recorder = Recorder(settings.database, client, clock=lambda: datetime.now(UTC), secret=secret)
    pause = 0.0
    while not stop:
        began = time.monotonic()
        stay_alive()
        try:
            done = recorder.beat()
        except (psycopg.Error, RedisError) as error:
            if not pause:
                log.warning("cannot record", extra={"action": "server_away", "error": str(error).strip()})
            recorder.fail(error)
            pause = min(2.0, pause * 2 or 0.1)
            stop.wait(pause)
            continue
        if pause:
            log.info("recording again", extra={"action": "server_back"})
        pause = 0.0
        if done < READ:  # else there is more waiting
            stop.wait(began + PACE_S - time.monotonic())
    recorder.close()
    client.close()
