"""What the recorder lets in. A region's stream is written by whoever holds its join command, on a machine of his own.

What its sites are, is believed; nothing else is: a tick counts for its own region, for a slot that a revision calls
for, with the interval of that revision, within bounds that the store and every reader bear. What is not let in is
buried with a reason. All of it runs for each tick: some microseconds, and Postgres is asked for new revisions only.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import psycopg
from msgspec import structs

from pipeline.cleaning import cleaned
from pipeline.schedule import EPOCH, MICROSECOND, phase_us, to_us
from pipeline.store.schedule import calls
from pipeline.vocabulary import Kind, Tick
from workers.streams import Entry
from workers.wire import UnreadableError, unpack_tick

log = logging.getLogger("recorder")

ENTRY_LIMIT = 64 * 1024  # bytes; the largest of our own, with a snapshot, has some 20 KB
# A tick outside these bounds comes from a broken clock; no partition is made for it.
OLDEST, NEWEST = timedelta(days=400), timedelta(days=1)
EARLY, LATE = timedelta(minutes=-1), timedelta(days=1)  # when a check is begun, seen from its time
FIRST, LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)  # leaves room to reckon in
CALLS_KEPT = 200_000  # revisions, some 60 MB


class Call(NamedTuple):
    """A revision, as far as a tick has to agree with it."""

    site_id: int
    region_id: int
    interval_s: int
    effective_us: int
    phase_us: int

    def has_slot(self, at: datetime) -> bool:
        """Whether `pipeline.schedule.slots` has that time while the revision is in force; its end is not looked for."""
        at_us = (at - EPOCH) // MICROSECOND
        if at_us <= self.effective_us:
            return at_us == self.effective_us
        return (at_us - self.phase_us) % (self.interval_s * 1_000_000) == 0


class Admission:
    """Its memory: the revisions that ticks named lately. They are never changed; a restored backup may have others."""

    def __init__(self) -> None:
        self._calls: dict[int, Call] = {}
        self._left_out = 0

    def forget(self) -> None:
        """After Postgres was away: it may be another."""
        self._calls.clear()

    def learn(self, connection: psycopg.Connection, revisions: Iterable[int]) -> None:
        """Look up what is not known yet. One that does not exist is looked for each time: it may come to be."""
        unknown = set(revisions) - self._calls.keys()
        if unknown:
            if len(self._calls) > CALLS_KEPT:
                self._calls.clear()
            for number, site_id, region_id, interval_s, effective_at in calls(connection, unknown):
                phase = phase_us(site_id, region_id, interval_s)
                self._calls[number] = Call(site_id, region_id, interval_s, to_us(effective_at), phase)

    def admit(self, tick: Tick) -> Tick:
        """The tick as it is stored; its revision was to be learnt. Errors: UnreadableError."""
        call = self._calls.get(tick.revision)
        if call is None or call.site_id != tick.site_id or call.region_id != tick.region_id:
            raise UnreadableError(
                f"revision {tick.revision} calls for no check of site {tick.site_id} in region {tick.region_id}"
            )
        if tick.kind is Kind.SCHEDULED and not call.has_slot(tick.scheduled_at):
            raise UnreadableError(f"revision {tick.revision} calls for no check at {tick.scheduled_at.isoformat()}")
        if tick.interval_s != call.interval_s:
            tick = structs.replace(tick, interval_s=call.interval_s)
        if tick.started_at is not None and not EARLY <= tick.started_at - tick.scheduled_at <= LATE:
            self._left_out += 1
            tick = structs.replace(tick, started_at=None)
        return tick

    def say(self) -> None:
        """One line a batch: whoever sends one start that cannot be sends more."""
        if self._left_out:
            log.warning("starts that cannot be", extra={"action": "start_left_out", "ticks": self._left_out})
        self._left_out = 0


def opened(entry: Entry, size: int) -> Tick:
    """The tick in an entry of that size, as far as it can be judged by itself. Errors: UnreadableError."""
    if size > ENTRY_LIMIT:
        raise UnreadableError(f"an entry of {size} bytes is larger than any tick")
    tick = unpack_tick(entry.fields)
    if tick.expires_at is not None and not FIRST <= tick.expires_at <= LAST:
        tick = structs.replace(tick, expires_at=min(max(tick.expires_at, FIRST), LAST))
    return cleaned(tick)


def refuse_unlikely(tick: Tick, now: datetime) -> None:
    """Errors: UnreadableError."""
    if not -NEWEST < now - tick.scheduled_at < OLDEST:
        raise UnreadableError(f"a tick for {tick.scheduled_at:%Y-%m-%d %H:%M} comes from a broken clock")


def refuse_foreign(region: str, own: Collection[int], tick: Tick) -> None:
    """Whoever may write to one region's stream may not speak for another region. Errors: UnreadableError."""
    if tick.region_id not in own:
        raise UnreadableError(f"a tick of region {tick.region_id} came in the stream of {region!r}")
