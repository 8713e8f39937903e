"""The pusher: once a second, the checks that come due go out to their regions' streams.

Whoever holds the advisory lock leads. A beat is one transaction on the connection that holds it: look at the
edits, compute the slots up to a little ahead of now, XADD them, note how far; then commit. A crash before the
commit repeats entries, which their key makes harmless; it never loses one. With Postgres away the leader goes
on from its plan in memory for a while, since checks must not stop because our own books are closed. In a cluster
a shard may be away alone: the other regions go on, and what its regions are owed (workers.arrears) is sent later.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import psycopg
from redis.exceptions import ConnectionError, RedisError, ResponseError  # noqa: A004 - redis's own

from pipeline import secret_key
from pipeline.errors import WorkbenchError
from pipeline.ring import RingSource, no_keys
from pipeline.schedule import LOOKAHEAD, Plan, Slot, slots
from pipeline.settings import Settings
from pipeline.store import schedule as store
from pipeline.store.session import session
from pipeline.vocabulary import Kind, Outcome, Region, Source
from workers import streams
from workers.arrears import Arrears, Span
from workers.attempts import unprobed
from workers.beating import beat_until
from workers.cluster import NodeAwayError
from workers.doorkeeper import Doorkeeper
from workers.due import NO_PUSHER, Push, step
from workers.killpoints import reached
from workers.lifecycle import Stop
from workers.sealing import Sealer
from workers.streams import Client
from workers.wire import UnreadableError, pack, unpack_check

log = logging.getLogger("pusher")

BEAT_S = 1.0
CATCH_UP = timedelta(minutes=10)  # how far back a new leader accounts for what nobody pushed
STRIDE = timedelta(seconds=30)  # the past is caught up with in pieces of this, …
BEAT_LIMIT = 20_000  # … and a beat ends after so many slots, half a second of work, since edits wait for it
CLOCK_SLACK = timedelta(seconds=30)  # nobody pushes further ahead than this, unless a clock was wrong
ALONE = timedelta(minutes=10)  # how long to go on from memory without Postgres
DELETED_GRACE = timedelta(seconds=5)  # a removed region's last checks may still be taken
REMOVED = "its region was removed before this check was done"
NO_SHARD = "the region's shard of Redis was away when this check was due"


class Pusher:
    """The loop's memory between beats."""

    def __init__(self, dsn: str, client: Client, *, clock: Callable[[], datetime], ring: RingSource = no_keys) -> None:
        self._dsn = dsn
        self._keyring = ring
        self._sealer = Sealer(ring(), ring)
        self._doorkeeper = Doorkeeper(client, self._sealer.ring.first)
        self._client = client
        self._clock = clock
        self._name = f"pusher-{socket.gethostname()}-{os.getpid()}"
        self._connection: psycopg.Connection | None = None
        self._epoch: int | None = None
        self._forget()

    def _forget(self) -> None:
        self._plan = Plan()
        self._regions: dict[int, Region] = {}
        self._dropped: set[int] = set()
        self._seen_revision: int | None = None
        self._pushed_until: datetime | None = None
        self._unpushed: list[Slot] = []
        self._arrears = Arrears()
        self._noted: dict[int, Span] = {}
        self._away: set[int] = set()
        self._alone_since: datetime | None = None
        self._stale = False  # what of the last beat arrived is not known
        self._redis_lost = False

    def beat(self) -> None:
        """One beat; nothing that a server does makes it raise."""
        now = self._clock()
        try:
            if self._connection is None:
                self._connect(now)
            if self._epoch is not None:
                self._lead(now)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled) as error:
            # Somebody edits for long. Postgres is there, so its books hold: wait, rather than pass the edit.
            log.warning("a beat had to wait", extra={"action": "beat_waits", "error": str(error).strip()})
            self._stale = True
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            self._lose_postgres(now, error)
        except RedisError as error:
            self._lose_redis(error)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self, now: datetime) -> None:
        connection = session(
            self._dsn, self._name, lock_timeout_ms=3_000, statement_timeout_ms=5_000, connect_timeout="2"
        )
        epoch = store.try_to_lead(connection, self._name)
        if epoch is None:
            connection.close()
            self._step_down()
            return
        log.info("leading", extra={"action": "leading", "epoch": epoch, "leader": self._name})
        self._connection, self._epoch, self._alone_since = connection, epoch, None
        with connection.transaction():
            _, stored = store.hold_schedule(connection, epoch)
            self._resume(connection, now, stored)

    def _step_down(self) -> None:
        if self._epoch is not None:
            log.warning("another pusher leads", extra={"action": "stepped_down", "epoch": self._epoch})
        self._epoch = None
        self._forget()
        self.close()

    def _resume(self, connection: psycopg.Connection, now: datetime, stored: datetime | None) -> None:
        """Go on where the schedule was left: by us, before Postgres went away, or by the leader before us."""
        newest = store.newest_revision(connection)
        if self._seen_revision is not None and newest < self._seen_revision:
            self._forget()  # a backup was restored: what we remember never happened
        self._noted = store.arrears(connection)
        self._arrears.learn(self._noted)
        if self._seen_revision is None:
            since = max(stored or now - CATCH_UP, now - CATCH_UP)
            plan = Plan()
            plan.learn(store.revisions_in_force(connection, since), since)
            self._plan, self._pushed_until, self._seen_revision = plan, since, newest  # all of it, or nothing
        elif stored is not None and self._pushed_until is not None and stored > self._pushed_until:
            self._plan.take(stored)  # somebody else led meanwhile and pushed these
            self._pushed_until = stored

    def _lead(self, now: datetime) -> None:
        assert self._connection is not None
        assert self._epoch is not None
        if self._redis_lost:
            self._client.ping()  # raises while Redis is away
        with self._connection.transaction():
            ours, stored = store.hold_schedule(self._connection, self._epoch)
            if ours and stored is not None and stored > now + LOOKAHEAD + CLOCK_SLACK:
                log.warning("the clock was set back", extra={"action": "clock_set_back", "pushed_until": str(stored)})
                stored, self._stale = now, True
            if ours:
                self._take_keys()
            if ours and self._stale:
                # Begin again where the books say. Repeating is harmless.
                self._forget()
                self._resume(self._connection, now, stored)
            if ours:
                self._send_due(self._connection, now)
        if not ours:
            self._step_down()

    def _take_keys(self) -> None:
        """Where the secret keys are others, what we remember is sealed with those of before: it is read anew."""
        try:
            ring = self._keyring()
        except WorkbenchError as error:
            log.error("no keys", extra={"action": "keys_unfit", "reason": str(error)})  # noqa: TRY400
            return
        if ring == self._sealer.ring:
            return
        log.info("the secret keys changed", extra={"action": "keys_changed", "keys": ring.ids})
        self._sealer, self._stale = Sealer(ring, self._keyring), True
        self._doorkeeper.trust(ring.first)

    def _send_due(self, connection: psycopg.Connection, now: datetime) -> None:
        self._learn(connection, now)
        self._push(now)
        self._pay(connection, now)
        self._push_manual(connection, now)
        assert self._pushed_until is not None
        reached("pusher: before commit")
        store.note_pushed(connection, self._pushed_until, now)
        if self._arrears.spans != self._noted:
            self._noted = dict(self._arrears.spans)
            store.note_arrears(connection, self._noted)

    def _learn(self, connection: psycopg.Connection, now: datetime) -> None:
        """Take in the edits since the last beat, and the regions that came and went."""
        assert self._seen_revision is not None
        assert self._pushed_until is not None
        news = store.revisions_after(connection, self._seen_revision)
        if news:
            self._plan.learn(news, min(self._pushed_until, *(revision.effective_at for revision in news)))
            self._seen_revision = news[-1].id
        regions = store.regions_known(connection, since=now - timedelta(hours=1))
        self._regions = {region.id: region for region in regions}
        living = [region.key for region in regions if region.deleted_at is None]
        for region in regions:
            over = region.deleted_at is not None and now - region.deleted_at > DELETED_GRACE
            if over and region.id not in self._dropped and region.key not in living:
                try:
                    self._write_off(region)
                    streams.drop(self._client, streams.checks(region.key))
                except NodeAwayError:
                    continue  # with a later beat
                self._dropped.add(region.id)
                log.info("region's checks are gone", extra={"action": "region_dropped", "region": region.key})

    def _write_off(self, region: Region) -> None:
        """Account for what nobody has handed over by the time its region's checks go: it was called for."""
        lost = []
        for entry in streams.left(self._client, streams.checks(region.key)):
            with suppress(UnreadableError):
                check = unpack_check(entry.fields)
                lost.append(
                    pack(unprobed(check, Outcome.WORKER_LOST, detail=REMOVED, prober="pusher", source=Source.PUSHER))
                )
        if lost:
            streams.push(self._client, streams.ticks(region.key), lost)
            log.info("a removed region's last checks are unknown", extra={"action": "slots_missed", "slots": len(lost)})

    def _push(self, now: datetime) -> None:
        """Send everything due before now + lookahead; what could not be sent stays for the next beat."""
        self._tend_streams()
        self._doorkeeper.tend(self._elsewhere(now), now)
        full, target, sent = self._full(), now + LOOKAHEAD, 0
        assert self._pushed_until is not None
        while sent < BEAT_LIMIT:
            if not self._unpushed:
                until = max(self._pushed_until, min(target, self._pushed_until + STRIDE))
                self._unpushed = self._plan.take(until)
                self._pushed_until = until
            lost = self._send(self._entries(self._unpushed, now, full))
            self._arrears.owe(self._unpushed, lost)
            sent += len(self._unpushed)
            self._unpushed = []
            if self._pushed_until >= target:
                return

    def _push_manual(self, connection: psycopg.Connection, now: datetime) -> None:
        asked = store.take_manual(connection, now)
        due = [Slot(manual.requested_at, manual.revision) for manual in asked]
        if due:
            lost = self._send(self._entries(due, now, kind=Kind.MANUAL))
            store.leave_manual(connection, [manual.id for manual in asked if manual.revision.region_id in lost])

    def _pay(self, connection: psycopg.Connection, now: datetime) -> None:
        """Send what regions are owed whose shard is back: still in time as checks, else as unknown."""
        sent = 0
        for region_id, (since, until) in self._arrears.pieces(self._away):
            if sent >= BEAT_LIMIT:
                return
            due = list(slots(store.revisions_there(connection, region_id, since), since, until))
            lost = self._send(self._entries(due, now, overdue=NO_SHARD))
            if region_id not in lost:
                self._arrears.paid(region_id, until)
                log.info("a region got what it was owed", extra={"action": "arrears_paid", "slots": len(due)})
            sent += len(due)

    def _entries(
        self,
        due: Iterable[Slot],
        now: datetime,
        full: frozenset[str] = frozenset(),
        kind: Kind = Kind.SCHEDULED,
        overdue: str = NO_PUSHER,
    ) -> Push:
        known, epoch = self._regions, self._epoch or 0
        return step(due, known, now=now, epoch=epoch, full=full, kind=kind, sealer=self._sealer, overdue=overdue)

    def _send(self, push: Push) -> set[int]:
        """Send; returns the ids of the regions that did not get theirs: their shard is away, or refuses."""
        # A removed region's streams may be gone for good; whatever was still due there has nowhere to go.
        expected = {key for region in self._living() for key in (streams.checks(region.key), streams.ticks(region.key))}
        away: set[str] = set()
        for key, entries in push.entries.items():
            try:
                sent = streams.push(self._client, key, entries)
            except NodeAwayError:
                away.add(key)
                continue
            except ResponseError as error:  # Redis is full, or this is no stream: that region's trouble, and owed to it
                log.error("a stream refuses", extra={"action": "push_refused", "key": key, "error": str(error)})  # noqa: TRY400
                away.add(key)
                continue
            if sent < len(entries) and key in expected:
                raise ConnectionError(f"{key} vanished")  # made again by the next beat, which then repeats this one
        if push.missed:
            log.warning("slots were missed", extra={"action": "slots_missed", "slots": push.missed})
        return {
            region.id
            for region in self._regions.values()
            if away and not away.isdisjoint((streams.checks(region.key), streams.ticks(region.key)))
        }

    def _tend_streams(self) -> None:
        """Every living region has its streams and groups, also after a FLUSHALL."""
        self._away.clear()
        for region in self._living():
            try:
                if streams.exist(self._client, region.key):
                    continue
                streams.ensure_groups(self._client, region.key)
            except NodeAwayError:
                self._away.add(region.id)
            else:
                log.info("region's streams are ready", extra={"action": "region_ready", "region": region.key})

    def _full(self) -> frozenset[str]:
        return frozenset(region.key for region in self._living() if streams.is_full(self._client, region.key))

    def _living(self) -> list[Region]:
        return [region for region in self._regions.values() if region.deleted_at is None]

    def _elsewhere(self, now: datetime) -> list[Region]:
        """Regions whose probers sign in from elsewhere; of a removed one they may still hand over what they hold."""
        living = {region.key for region in self._living()}
        return [
            region
            for region in self._regions.values()
            if not region.managed
            and (region.deleted_at is None or (region.key not in living and now - region.deleted_at <= DELETED_GRACE))
        ]

    def _lose_redis(self, error: RedisError) -> None:
        self._doorkeeper.hurry()
        if not self._redis_lost:
            log.warning("Redis is away", extra={"action": "redis_away", "error": str(error)})
        self._stale = self._redis_lost = True

    def _lose_postgres(self, now: datetime, error: psycopg.Error) -> None:
        """Go on alone for a while; without a plan there is nothing to go on with."""
        self.close()
        why = str(error).strip()
        if self._epoch is None or self._seen_revision is None:
            log.warning("Postgres is away", extra={"action": "postgres_away", "error": why})
            self._epoch = None
            self._forget()
            return
        if self._alone_since is None:
            self._alone_since = now
            log.warning("Postgres is away: going on from memory", extra={"action": "alone", "error": why})
        if now - self._alone_since > ALONE:
            log.error("Postgres is away for too long: no more checks", extra={"action": "alone_too_long"})
            self._step_down()
            return
        try:
            self._push(now)
        except RedisError as redis_error:
            self._lose_redis(redis_error)


def run(settings: Settings, stop: Stop) -> None:
    """Beat until told to stop."""
    client = streams.connect(settings.redis)
    secret_key.ring_where_ours(settings)  # makes the first key where there is none yet
    ring = secret_key.Keyring(settings)
    pusher = Pusher(settings.database, client, clock=lambda: datetime.now(UTC), ring=ring)
    beat_until(stop, {pusher.beat: BEAT_S})
    pusher.close()
    client.close()
