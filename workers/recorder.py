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

from pipeline import secret_key
from pipeline.judge.fold import judge, silence
from pipeline.ring import RingSource, no_keys
from pipeline.settings import Settings
from pipeline.store.kept_snapshots import keep_snapshots
from pipeline.store.schedule import regions_known
from pipeline.store.session import session
from pipeline.store.standings import lock_watched, sites_gone_silent, write_judged
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Region, Tick
from workers import streams
from workers.admission import Admission, opened, refuse_foreign, refuse_unlikely
from workers.census import Census
from workers.cluster import NodeAwayError
from workers.killpoints import reached
from workers.lifecycle import Stop, stay_alive
from workers.streams import RECORDERS, Client, Entry
from workers.wire import UnreadableError

log = logging.getLogger("recorder")

READ = 2_000  # entries of one region in a batch: a commit of some 30 ms
READ_FIRST = 100  # … and where there is no telling how many and how large they are; twice as many as came before
READ_BYTES = 8 * 2**20  # of one region in a batch, by the size of those that came before
PACE_S = 0.1  # a batch no oftener than this: fewer, larger transactions, and ticks are on the page in time
SWEEP_S = 1.0  # regions, silence, census
CLAIM_IDLE_MS = 30_000  # a batch that a dead recorder held for this long is ours
SEATS = 8  # recorders side by side; a seat is a consumer name, so that who comes back finds its own entries
SEAT_LOCK = 0x73656174  # "seat"
DELETED_GRACE = timedelta(seconds=10)  # probes that were under way when their region was removed
# What is wrong with the ticks themselves, not with a server: Postgres' word, or that of the code that passes them on.
REFUSALS = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded, ArithmeticError, ValueError)
# Of all else that Postgres says, by the class of its code, what passes by itself: the connection, transactions and
# locks in each other's way, what it lacks, who stops it, its disks.
PASSING = {"08", "25", "40", "53", "55", "57", "58"}


class Received(NamedTuple):
    """A tick, and the entry to acknowledge for it."""

    region: str
    entry: Entry
    tick: Tick


def record(connection: psycopg.Connection, ticks: Sequence[Tick], *, now: datetime) -> list[Tick]:
    """Store a batch and judge it, in the caller's transaction; returns the ticks that were new."""
    ensure_partitions(connection, {tick.scheduled_at.date() for tick in ticks})
    stored = store_ticks(connection, ticks)
    keep_snapshots(connection, stored)
    watched = lock_watched(connection, {tick.site_id for tick in stored})
    write_judged(connection, watched, judge(watched, stored, now=now))
    return stored


def sweep_silence(connection: psycopg.Connection, *, now: datetime, behind: Collection[int] = ()) -> None:
    """Verdicts of sites that went silent, in a transaction of their own; not of those that a region behind sees."""
    with connection.transaction():
        watched = lock_watched(connection, sites_gone_silent(connection, now, behind))
        write_judged(connection, watched, silence(watched, now=now))


class Recorder:
    """The loop's memory: a connection, a seat, the regions to read."""

    def __init__(self, dsn: str, client: Client, *, clock: Callable[[], datetime], ring: RingSource = no_keys) -> None:
        self._dsn = dsn
        self._client = client
        self._clock = clock
        self._census = Census(f"recorder-{socket.gethostname()}-{os.getpid()}", started_at=clock(), ring=ring)
        self._connection: psycopg.Connection | None = None
        self._seat = ""
        self._regions: list[Region] = []
        self._swept = 0.0
        self._recover = True
        self._left = False  # whether the last beat left ticks that it could not record: first comes what is new
        self._admission = Admission()
        self._room: dict[str, int] = {}
        self._refused_before = False
        self.eager = False  # whether more was waiting than the last beat read

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def beat(self) -> int:
        """Read, record, acknowledge once; returns how many entries were done. Errors: psycopg's and redis's."""
        connection = self._connected()
        if time.monotonic() - self._swept >= SWEEP_S:
            self._look_around(connection)
        batch = self._read(connection)
        if batch:
            try:
                self._record(connection, batch)
            except (psycopg.Error, ArithmeticError, ValueError) as error:
                self._record_each(connection, batch, error)
        self._refused_before = False
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

    def _record_each(self, connection: psycopg.Connection, batch: Sequence[Received], error: Exception) -> None:
        """One by one, so that a tick that is refused takes nobody with it. Errors: what is no tick's fault."""
        if not isinstance(error, REFUSALS):
            if _passes(error) or not self._refused_before:
                self._refused_before = True
                raise error
            log.error("a batch is refused", extra={"action": "batch_refused", "error": str(error).strip()})
        left: Exception | None = None
        for each in batch:
            try:
                self._record(connection, [each])
            except REFUSALS as refusal:
                self._bury(each.region, [(each.entry, str(refusal).strip())])
            except psycopg.Error as other:
                if _passes(other):
                    raise
                left = other
        if left is not None:  # still pending; what is new is read before they are tried again
            self._left = True
            raise left

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
            self._admission.forget()
        return self._connection

    def _look_around(self, connection: psycopg.Connection) -> None:
        """Once a second: regions that came and went, sites that nobody reports on, how the fleet is."""
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
            waiting = self._census.take(connection, self._client, self._regions, now)
        except (ResponseError, *REFUSALS):  # what somebody wrote about himself must not stop the recording
            log.exception("no census", extra={"action": "census_failed"})
            return
        # Where much waits, the silence may be our own. The other regions' is not: one of them must not hide it.
        sweep_silence(connection, now=now, behind=[region for region, ticks in waiting.items() if ticks >= READ])

    def _drained(self, region: Region) -> bool:
        return streams.length(self._client, streams.ticks(region.key)) == 0

    def _read(self, connection: psycopg.Connection) -> list[Received]:
        """What every region's stream has for us, without what may not count: that is buried."""
        found: list[Received] = []
        now = self._clock()
        self.eager = False
        for region in self._regions:
            own = {known.id for known in self._regions if known.key == region.key}
            wrong: list[tuple[Entry, str]] = []
            entries, read = self._entries(region.key), 0
            for entry in entries:
                read += (size := streams.size_of(entry))
                try:
                    tick = opened(entry, size)
                    refuse_unlikely(tick, now)
                    refuse_foreign(region.key, own, tick)
                except UnreadableError as error:
                    wrong.append((entry, str(error)))
                else:
                    found.append(Received(region.key, entry, tick))
            self._room[region.key] = _room(len(entries), read)
            self._bury(region.key, wrong)
        batch = self._admitted(connection, found)
        self._recover = self._recover and bool(batch)  # there may be more than one batch of them
        self._left = False
        return batch

    def _admitted(self, connection: psycopg.Connection, found: Sequence[Received]) -> list[Received]:
        """Those that the schedule called for."""
        self._admission.learn(connection, {each.tick.revision for each in found})
        batch: list[Received] = []
        wrong: dict[str, list[tuple[Entry, str]]] = {}
        for region, entry, tick in found:
            try:
                batch.append(Received(region, entry, self._admission.admit(tick)))
            except UnreadableError as error:
                wrong.setdefault(region, []).append((entry, str(error)))
        self._admission.say()
        for region, entries in wrong.items():
            self._bury(region, entries)
        return batch

    def _entries(self, region: str) -> list[Entry]:
        """What there is to do for a region: a bounded number of entries, fewer where the last ones were large."""
        key, count = streams.ticks(region), self._room.get(region, READ_FIRST)
        found: list[Entry] = []
        try:
            if self._recover and not self._left:
                lost = streams.own_pending(self._client, key, RECORDERS, self._seat, count)
                lost += streams.claim(self._client, key, RECORDERS, self._seat, idle_ms=CLAIM_IDLE_MS, count=count)
                found = list({entry.id: entry for entry in lost}.values())
            found = found or streams.read(self._client, key, RECORDERS, self._seat, count)
        except NodeAwayError:
            return []  # the other shards' ticks need not wait for it
        except ResponseError as error:
            if streams.is_lost(error):
                return []  # removed, or on its way back with the pusher's next beat
            raise
        self.eager = self.eager or len(found) >= count
        return found

    def _bury(self, region: str, wrong: Sequence[tuple[Entry, str]]) -> None:
        """Together, and told in one line: who sends one such entry may send a million."""
        if not wrong:
            return
        entry, reason = wrong[0]
        told = {"region": region, "entries": len(wrong), "entry": entry.id.decode(), "reason": reason}
        log.error("entries buried", extra={"action": "entry_buried", **told})
        with suppress(NodeAwayError):  # still pending: they come again
            streams.bury(self._client, region, streams.ticks(region), RECORDERS, wrong)


def _room(entries: int, size: int) -> int:
    """How many entries of a region to read next, after so many with so many bytes: enough, and bounded in both."""
    most = READ if not entries else max(1, READ_BYTES * entries // max(size, 1))
    return min(READ, max(READ_FIRST, 2 * entries), most)


def _passes(error: Exception) -> bool:
    """Whether an error is of a server's state, so that the same batch may well be recorded in a moment."""
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return error.sqlstate[:2] in PASSING
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


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
    secret_key.ring_where_ours(settings)  # makes the first key where there is none yet
    ring = secret_key.Keyring(settings)
    recorder = Recorder(settings.database, client, clock=lambda: datetime.now(UTC), ring=ring)
    pause = 0.0
    while not stop:
        began = time.monotonic()
        stay_alive()
        try:
            recorder.beat()
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
        if not recorder.eager:
            stop.wait(began + PACE_S - time.monotonic())
    recorder.close()
    client.close()
