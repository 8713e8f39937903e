"""Which failures send what was seen of them. Pure; the prober hands in the time.

A site that is down all night fails a thousand times in the same way: what the first failure saw is enough, and from
time to time another look, since the page behind the same sentence may change.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from typing import NamedTuple

from msgspec import structs

from pipeline.vocabulary import Kind, Outcome, Tick

SITES = 20_000  # failing sites remembered, some 400 bytes each: all of one prober, twice
AGAIN_S = 600.0  # a look every ten minutes: 144 a day of one failing series, some 300 KB
MOST = 12  # in those ten minutes of one site, whatever it says: one that fails in a new way each second is no news
KINDS = 4  # ways to fail remembered of one site: more take turns faster than anybody reads them

_NUMBER = re.compile(r"\d+")  # bytes and milliseconds differ each time, and it is the same failure


class _Sent(NamedTuple):
    """Of one site: when each way to fail was sent since it was ok last, and the newest times at which any was."""

    ways: dict[tuple[Outcome, int | None, str], float]
    times: deque[float]


class Sparing:
    """Takes the snapshot off ticks that only repeat what was sent. One prober's memory, bounded."""

    def __init__(self) -> None:
        self._failing: OrderedDict[int, _Sent] = OrderedDict()

    def spared(self, tick: Tick, now_s: float) -> Tick:
        """The tick as it is sent, at a monotonic time. A run of failures ends with the first that is ok."""
        if tick.outcome is Outcome.OK:
            if self._failing and tick.kind is Kind.SCHEDULED:
                self._end_run(tick.site_id, now_s)
            return tick
        if tick.snapshot is None or tick.kind is Kind.MANUAL or self._is_news(tick, now_s):
            return tick
        return structs.replace(tick, snapshot=None)

    def _end_run(self, site_id: int, now_s: float) -> None:
        sent = self._failing.get(site_id)
        if sent is not None:
            sent.ways.clear()
            if not sent.times or now_s - sent.times[-1] >= AGAIN_S:
                del self._failing[site_id]

    def _is_news(self, tick: Tick, now_s: float) -> bool:
        sent = self._failing.setdefault(tick.site_id, _Sent({}, deque(maxlen=MOST)))
        self._failing.move_to_end(tick.site_id)
        if len(self._failing) > SITES:
            self._failing.popitem(last=False)
        if len(sent.times) == MOST and now_s - sent.times[0] < AGAIN_S:
            return False
        way = (tick.outcome, tick.status, _NUMBER.sub("#", tick.detail or ""))
        sent_at = sent.ways.pop(way, None)
        if sent_at is not None and now_s - sent_at < AGAIN_S:
            sent.ways[way] = sent_at
            return False
        sent.ways[way] = now_s
        sent.times.append(now_s)
        if len(sent.ways) > KINDS:
            del sent.ways[next(iter(sent.ways))]
        return True
