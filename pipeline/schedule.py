"""When checks are due: a pure function over revisions.

A revision's slots are its effective time itself (so a new or edited site is checked at once), then
`k * interval + phase` until the next revision of the same site and region. Nothing else is consulted,
so any pusher computes the same slots, load is even, nothing drifts, and what should have happened
can be recomputed for any past hour. Inside, time is integer microseconds since the epoch.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import groupby
from typing import NamedTuple

from pipeline.vocabulary import Revision

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FOREVER_US = 2**62
LOOKAHEAD = timedelta(seconds=2)  # checks are with their probers this long before they are due


class Slot(NamedTuple):
    """One expected check: a revision and the time it is due."""

    scheduled_at: datetime
    revision: Revision


def to_us(at: datetime) -> int:
    """Microseconds since the epoch, exactly (no float on the way)."""
    return (at - EPOCH) // MICROSECOND


def from_us(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def phase_us(site_id: int, region_id: int, interval_s: int) -> int:
    """A stable offset into the interval, spread evenly by a hash of the ids, in whole milliseconds."""
    digest = blake2b(f"{site_id}:{region_id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (interval_s * 1000) * 1000


def next_slot_us(revision: Revision, after_us: int) -> int:
    """The revision's first slot at or after `after_us`, were it in force for ever."""
    effective_us = to_us(revision.effective_at)
    if after_us <= effective_us:
        return effective_us
    interval_us = revision.interval_s * 1_000_000
    phase = phase_us(revision.site_id, revision.region_id, revision.interval_s)
    return after_us + (phase - after_us) % interval_us


def slots(revisions: Iterable[Revision], since: datetime, until: datetime) -> Iterator[Slot]:
    """Every slot in [since, until) that `revisions` call for, by series, then by time."""
    ordered = sorted(revisions, key=lambda r: (r.site_id, r.region_id, r.effective_at, r.id))
    for _, series in groupby(ordered, key=lambda r: (r.site_id, r.region_id)):
        yield from _series_slots(list(series), to_us(since), to_us(until))


def _series_slots(series: Sequence[Revision], since_us: int, until_us: int) -> Iterator[Slot]:
    ends = [to_us(r.effective_at) for r in series[1:]] + [FOREVER_US]
    for revision, end_us in zip(series, ends, strict=True):
        if not revision.active:
            continue
        due_us = next_slot_us(revision, since_us)
        while due_us < min(end_us, until_us):
            yield Slot(from_us(due_us), revision)
            due_us = next_slot_us(revision, due_us + 1)


class Plan:
    """The pusher's memory: what is due next in each series, so that a beat costs only what is due.

    Fed with revisions in the order of their ids and asked for windows that follow each other, it yields
    exactly what `slots` yields over the whole; the tests hold the two together.
    """

    def __init__(self) -> None:
        self._coming: dict[tuple[int, int], list[Revision]] = {}  # in force and later, by series
        self._due: dict[tuple[int, int], tuple[int, int]] = {}  # series -> (due_us, revision id)
        self._heap: list[tuple[int, int, int, int]] = []  # may hold outdated entries; _due decides

    def __len__(self) -> int:
        return len(self._coming)

    def learn(self, revisions: Iterable[Revision], since: datetime) -> None:
        """Take new revisions in. A series not known yet starts at `since`; a known one goes on where it is.

        A revision that takes effect before what was taken already (it was hidden from us) still gets its slots.
        """
        touched: dict[tuple[int, int], list[Revision]] = {}
        for revision in revisions:
            touched.setdefault((revision.site_id, revision.region_id), []).append(revision)
        for key, news in touched.items():
            series = self._coming.get(key, []) + news
            self._coming[key] = sorted(series, key=lambda r: (r.effective_at, r.id))
            known = key in self._due
            after_us = min(self._due[key][0], *(to_us(r.effective_at) for r in news)) if known else to_us(since)
            self._schedule(key, after_us)

    def take(self, until: datetime) -> list[Slot]:
        """Remove and return, in time order, every slot before `until` that was not yet taken."""
        until_us, taken = to_us(until), []
        while self._heap and self._heap[0][0] < until_us:
            due_us, site_id, region_id, revision_id = heapq.heappop(self._heap)
            key = (site_id, region_id)
            if self._due.get(key) == (due_us, revision_id):
                taken.append(Slot(from_us(due_us), self._coming[key][0]))
                self._schedule(key, due_us + 1)
        return taken

    def _schedule(self, key: tuple[int, int], after_us: int) -> None:
        """Find the series' first slot at or after `after_us`, forgetting revisions that it outlived."""
        series = self._coming[key]
        while series:
            end_us = to_us(series[1].effective_at) if len(series) > 1 else FOREVER_US
            due_us = next_slot_us(series[0], after_us) if series[0].active else FOREVER_US
            if due_us < end_us:
                self._set_due(key, due_us, series[0].id)
                return
            del series[0]
        del self._coming[key]
        self._due.pop(key, None)

    def _set_due(self, key: tuple[int, int], due_us: int, revision_id: int) -> None:
        if self._due.get(key) != (due_us, revision_id):
            self._due[key] = (due_us, revision_id)
            heapq.heappush(self._heap, (due_us, *key, revision_id))
