"""The prober: takes a region's checks, starts each at its time, hands the ticks over.

One event loop. Entries are taken ahead of their time and wait here; a probe is a task; what came of it goes
out in batches, each one MULTI. An entry is held until Redis said that it is gone, so that whatever breaks,
it is repeated rather than lost.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import socket
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import uvloop
from msgspec import structs
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from pipeline import guard
from pipeline.cleaning import cleaned
from pipeline.settings import Settings
from pipeline.vocabulary import Check, Outcome, Probe, Tick
from workers import nowhere, streams
from workers.attempts import confirmation_of, is_late, tick_of, unprobed
from workers.courier import Claimed, Courier, Done
from workers.killpoints import reached
from workers.lifecycle import stay_alive, stop_event
from workers.pace import Pace
from workers.places import Places
from workers.probes import PROBES, ProbeFunction
from workers.probes.network import DIALER
from workers.probes.reaching import finds, reaches
from workers.probes.secure import tls_context
from workers.sealing import Opener, SealedError
from workers.sparing import Sparing
from workers.streams import Entry
from workers.vantage import Vantage, origin
from workers.wire import UnreadableError, unpack_check
from workers.witness import Witness

log = logging.getLogger("prober")

HELD_LIMIT = 4_000  # taken and not handed over: 2 s ahead at 1 000 checks/s, twice; some 8 MB
SOON_S = 5.0  # what waits longer than this does not count against that
SLEEPING_LIMIT = 50_000  # held in all, some 100 MB: 150 failures/s with the longest spacing
READ_AGAIN_S = 0.02  # how soon a busy prober asks itself again whether it may take more
BATCH = 200  # ticks in one hand-over
LINGER_S = 0.02  # how long the first tick of a batch waits for company
BEAT_S = 1.5  # renew, claim: a lease survives two lost beats
DRAIN_S = 8.0  # for what is under way when we are told to stop
HOMELESS_S = 10.0  # how long a tick waits for a stream that is gone (it may be on its way back)
TURN_S = 0.0005  # after which a thread that judges a large body lets the loop go on; Python's own 5 ms are felt
MOST_DELIVERIES = 3  # an entry delivered more often than this killed those who took it


class Prober:
    """One consumer of one region. `clock` is wall time; probes time themselves."""

    def __init__(
        self,
        courier: Courier,
        *,
        in_flight: int,
        clock: Callable[[], datetime],
        opener: Opener,
        probes: dict[str, ProbeFunction] = PROBES,
    ) -> None:
        self._courier = courier
        self._clock = clock
        self._probes = probes
        self._opener = opener
        self._in_flight = in_flight
        self._places = Places(in_flight)
        self._pace = Pace(in_flight)
        self.homeless = False  # whether the region had no stream when it was last asked for checks
        self._held: dict[bytes, asyncio.Task[None]] = {}
        self._unstarted: dict[bytes, Check] = {}
        self._room = asyncio.Event()
        self._finished: deque[Done] = deque()
        self._news = asyncio.Event()
        self._witness = Witness()
        self._sparing = Sparing()
        self._vantage = Vantage(reaches, finds)
        self._refused = False
        self._cut_off = False
        self._sleeping = 0
        self._queued = 0
        self._probing = 0
        self._started_at = clock()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then finish what is under way and leave."""
        background = [
            asyncio.create_task(each) for each in (self._witness.watch(), self._deliver_forever(), self._beat_forever())
        ]
        reading = asyncio.create_task(self._take_forever())
        stopping = asyncio.create_task(stop.wait())
        ended, _ = await asyncio.wait([stopping, reading, *background], return_when=asyncio.FIRST_COMPLETED)
        reading.cancel()
        await self._drain()
        await _end(stopping, reading, *background)
        try:
            await self._courier.leave()
        except RedisError:
            log.warning("left without a word", extra={"action": "left_unheard"})
        for task in ended - {stopping}:
            task.result()  # a loop of ours broke: end with it, and be started anew, rather than hold what we never do

    async def _drain(self) -> None:
        """Give back what only waits for its time, so that others take it at once; let the rest end and hand it over."""
        waiting = dict(self._unstarted)
        for entry_id in waiting:
            self._held[entry_id].cancel()
        try:
            await self._courier.give_back(waiting)
        except RedisError:
            log.warning("could not give back", extra={"action": "left_unheard"})  # pending, for others to claim
        deadline = time.monotonic() + DRAIN_S
        while (self._probing or self._finished) and time.monotonic() < deadline:  # noqa: ASYNC110 - two conditions
            await asyncio.sleep(0.02)

    async def _take_forever(self) -> None:
        pause = 0.0
        while True:
            room = min(self._pace.room(HELD_LIMIT) + self._sleeping, SLEEPING_LIMIT) - len(self._held)
            if room <= 0:
                self._room.clear()
                await self._room.wait()
                continue
            allowance = self._pace.allowance(time.monotonic(), self._probing, self._queued)
            if not allowance:
                await asyncio.sleep(READ_AGAIN_S)
                continue
            try:
                entries = await self._courier.take(min(room, allowance))
                self._pace.took(len(entries))
                pause, self.homeless = 0.0, False
            except RedisError as error:
                pause = await self._recover(error, pause)
                continue
            for entry in entries:
                await self._accept(entry)

    async def _recover(self, error: RedisError, pause: float) -> float:
        """A region's group comes back with the pusher's next beat; a server when it likes."""
        lost = isinstance(error, ResponseError) and streams.is_lost(error)
        refused = isinstance(error, AuthenticationError | NoPermissionError)
        if refused and not self._refused:
            todo = f"Redis refuses our credentials: run `betterstack region join-command {self._courier.region}` anew"
            log.error(todo, extra={"action": "access_refused", "error": str(error)})
        elif not pause and not lost and not refused:
            log.warning("cannot take checks", extra={"action": "redis_away", "error": str(error)})
        elif lost and pause == 0.4:
            log.info("the region has no stream yet", extra={"action": "group_lost"})
        self._refused = refused
        self.homeless = lost
        pause = min(1.0, pause * 2 or 0.1)
        await asyncio.sleep(pause)
        return pause

    async def _accept(self, entry: Entry, deliveries: int = 1) -> None:
        """Put an entry on its way. One that cannot be read, or that kills who takes it, is buried."""
        if entry.id in self._held:
            return
        try:
            check = unpack_check(entry.fields)
        except UnreadableError as error:
            await self._bury(entry, str(error), None)
            return
        if deliveries > MOST_DELIVERIES:
            detail = f"this check was taken {deliveries - 1} times and never came back"
            await self._bury(
                entry, detail, unprobed(check, Outcome.POISON, detail=detail, prober=self._courier.consumer)
            )
            return
        self._unstarted[entry.id] = check
        self._held[entry.id] = asyncio.create_task(self._see_through(entry.id, check))

    async def _bury(self, entry: Entry, reason: str, tick: Tick | None) -> None:
        log.error("entry buried", extra={"action": "entry_buried", "entry": entry.id.decode(), "reason": reason})
        try:
            await self._courier.bury(entry, reason, tick)
        except RedisError:
            return  # still pending: it comes again

    async def _see_through(self, entry_id: bytes, check: Check) -> None:
        """From taking an entry to its tick."""
        try:
            tick = await self._attempt(entry_id, check)
            confirmation = confirmation_of(check, tick, now=self._clock())
            done = Done(entry_id, cleaned(self._sparing.spared(tick, time.monotonic())), confirmation)
        except asyncio.CancelledError:
            self._release(entry_id)
            raise
        except Exception as error:
            # Whatever it was, the entry ends with a tick: one that is held and never handed over is lost.
            log.exception("attempt failed", extra={"action": "attempt_failed", "site_id": check.site_id})
            detail = f"our prober failed: {type(error).__name__}"
            done = Done(entry_id, unprobed(check, Outcome.POISON, detail=detail, prober=self._courier.consumer), None)
        self._finished.append(done)
        self._news.set()

    async def _attempt(self, entry_id: bytes, check: Check) -> Tick:
        wait_s = (check.starts_at - self._clock()).total_seconds()
        if wait_s > SOON_S:  # a confirmation with a long spacing: held, but in nobody's way
            self._sleeping += 1
            try:
                await asyncio.sleep(wait_s - SOON_S)
            finally:
                self._sleeping -= 1
            wait_s = (check.starts_at - self._clock()).total_seconds()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        self._queued += 1
        try:
            await self._places.take()
        finally:
            self._queued -= 1
        try:
            return await self._start(entry_id, check)
        finally:
            self._places.give()

    async def _start(self, entry_id: bytes, check: Check) -> Tick:
        """Probe now, unless it is too late for that."""
        began, started_at = time.monotonic(), self._clock()
        self._unstarted.pop(entry_id, None)
        late_ms = (started_at - check.starts_at).total_seconds() * 1000
        # A new site's first check is sent after its time: that is not our being slow.
        slow_ms = min(late_ms, started_at.timestamp() * 1000 - streams.added_ms(entry_id))
        if is_late(check, started_at):
            self._pace.gave_up(began, slow_ms)
            detail = f"taken {late_ms / 1000:.1f} s after its time"
            return unprobed(check, Outcome.LATE, detail=detail, prober=self._courier.consumer)
        self._pace.started(began, slow_ms)
        self._probing += 1
        reached("prober: before probe")
        try:
            probe = await self._probe(check)
            ended = time.monotonic()
            probe = await self._questioned(check, probe)
        finally:
            self._probing -= 1
            self._pace.ended(time.monotonic() - began)
        return tick_of(
            check,
            probe,
            started_at=started_at,
            doubt=self._witness.doubt(began, ended, probe.looped),
            prober=self._courier.consumer,
        )

    async def _probe(self, check: Check) -> Probe:
        """Whatever goes wrong in our own code says nothing about the site."""
        scheme = check.spec.url.partition(":")[0].lower()
        try:
            return await self._probes[scheme](*self._opener.open(check))
        except SealedError as error:
            log.error("sealed", extra={"action": "check_sealed", "site_id": check.site_id, "reason": str(error)})  # noqa: TRY400
            return Probe(Outcome.BLOCKED, detail=str(error))
        except Exception as error:
            log.exception("probe failed", extra={"action": "probe_failed", "site_id": check.site_id})
            return Probe(Outcome.POISON, detail=f"our probe failed: {type(error).__name__}")

    async def _questioned(self, check: Check, probe: Probe) -> Probe:
        """A failure that our own network may have caused is believed only while others can be reached."""
        host, port = origin(check.spec.url)
        reason = await self._vantage.lost(host, probe, check.network)
        if reason is None:
            if self._cut_off and probe.outcome is Outcome.OK:
                self._cut_off = False
                log.info("there is a way out again", extra={"action": "network_back"})
            self._vantage.saw(host, port, probe)
            return probe
        if not self._cut_off:
            self._cut_off = True
            log.error("no way out", extra={"action": "network_lost", "reason": reason})
        return structs.replace(probe, outcome=Outcome.PROBE_NETWORK, detail=reason, snapshot=None)

    async def _deliver_forever(self) -> None:
        """Hand finished entries over; a batch that Redis did not confirm is kept and tried again."""
        homeless_since: float | None = None
        failing = False
        while True:
            await self._news.wait()
            self._news.clear()
            await asyncio.sleep(LINGER_S)
            while self._finished:
                batch = [self._finished.popleft() for _ in range(min(BATCH, len(self._finished)))]
                try:
                    reached("prober: before hand-over")
                    homeless = await self._courier.hand_over(batch)
                except RedisError as error:
                    self._finished.extendleft(reversed(batch))
                    if not failing:  # once: whoever was cut off tries for as long as it runs
                        log.warning("cannot hand over", extra={"action": "redis_away", "error": str(error)})
                    failing = True
                    await asyncio.sleep(0.5)
                    continue
                failing = False
                homeless_since = (homeless_since or time.monotonic()) if homeless else None
                self._settle(batch, homeless, homeless_since)
                if homeless:
                    await asyncio.sleep(0.2)

    def _settle(self, batch: list[Done], homeless: list[Done], since: float | None) -> None:
        """Let go of what arrived. Where the region's stream is gone, wait for it a while: it may be a restart."""
        keep = {item.entry_id for item in homeless} if since and time.monotonic() - since < HOMELESS_S else set()
        for item in batch:
            if item.entry_id in keep:
                self._finished.append(item)
            else:
                self._release(item.entry_id)

    def _release(self, entry_id: bytes) -> None:
        self._held.pop(entry_id, None)
        self._unstarted.pop(entry_id, None)
        self._room.set()

    async def _beat_forever(self) -> None:
        while True:
            try:
                stay_alive()
                self._places.adapt(self._witness.stalls.recent_ms(BEAT_S))
                await self._courier.renew(self.about())
                await self._take_over(await self._courier.claim(self._held.keys()))
            except RedisError as error:
                log.debug("no beat", extra={"action": "redis_away", "error": str(error)})
            await asyncio.sleep(BEAT_S)

    async def _take_over(self, claimed: Sequence[Claimed]) -> None:
        for each in claimed:
            await self._accept(each.entry, each.deliveries)
        if claimed:
            log.info("claimed what was left behind", extra={"action": "claimed", "entries": len(claimed)})

    def about(self) -> dict[str, Any]:
        """How we are: counts, milliseconds and megabytes, each named with its unit."""
        late = self._pace.lateness(time.monotonic())
        return {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": self._started_at.isoformat(),
            "held": len(self._held),
            "in_flight": self._probing,
            "in_flight_limit": self._in_flight,
            "probed": self._pace.probed,
            "busy_s": round(self._pace.busy_s, 3),
            "probe_s": self._pace.probe_s,
            "late": self._pace.late,
            "lateness_p50_ms": late.p50_ms,
            "lateness_p95_ms": late.p95_ms,
            "lateness_p99_ms": late.p99_ms,
            "stall_ms": round(self._witness.stalls.recent_ms(), 2),
            "rss_mb": rss_mb(),
            "proof": self._opener.proof(self._courier.consumer),
        }


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel until it holds: `wait_for` of Python 3.11, which redis-py awaits, may lose a cancellation to a result."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.5)
    await asyncio.gather(*tasks, return_exceptions=True)  # whatever they ended with has been looked at


def rss_mb() -> float:
    """Resident memory of this process now, or its peak where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123 - a file of the kernel
            return round(int(statm.read().split()[1]) * resource.getpagesize() / 2**20, 1)
    except OSError:
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


async def _main(settings: Settings, region: str) -> None:
    consumer = f"{region}-{uuid.uuid4().hex[:6]}"
    opener = Opener(region, settings)
    courier = Courier(settings.redis, region, consumer)
    prober = Prober(courier, in_flight=settings.prober_in_flight, clock=lambda: datetime.now(UTC), opener=opener)
    log.info("probing", extra={"action": "prober_started", "region": region, "consumer": consumer})
    telling = asyncio.create_task(nowhere.tell(settings, region, lambda: prober.homeless))
    try:
        await prober.run(stop_event())
    finally:
        telling.cancel()
        await courier.close()
        await DIALER.aclose()


def run(settings: Settings, region: str) -> None:
    """Probe for a region until a signal."""
    DIALER.obey(guard.allowed(settings.targets))
    tls_context()  # 40 ms that no check should wait for
    sys.setswitchinterval(TURN_S)
    gc.freeze()  # what start-up made stays; collections then look at the living only
    uvloop.run(_main(settings, region))
