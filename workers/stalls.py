"""How long our own event loop stood still: a metronome that notes when it was late.

A loop that stands still makes every probe under way look slow. What it says bounds how far a latency may be off
by scheduling; what it cannot see (the kernel's queues, a busy neighbour between two beats) is not in it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

PERIOD_S = 0.02
KEPT = 16_384  # beats that stood out, newest last: minutes even on a bad day
NOTABLE_MS = 0.5


class Stalls:
    """Notes (when, how late in ms) of each beat that was late by more than a timer's usual slack."""

    def __init__(self) -> None:
        self._notes: deque[tuple[float, float]] = deque(maxlen=KEPT)
        self._due = time.monotonic() + PERIOD_S

    async def watch(self) -> None:
        """Beat for ever."""
        while True:
            self._due = time.monotonic() + PERIOD_S
            await asyncio.sleep(PERIOD_S)
            late_ms = (time.monotonic() - self._due) * 1000
            if late_ms > NOTABLE_MS:
                self._notes.append((time.monotonic(), late_ms))

    def longest_ms(self, since: float, until: float | None = None) -> float:
        """The longest stall that reaches into a time, in monotonic seconds, the one going on included.

        At least NOTABLE_MS, since less is not noted.
        """
        now = time.monotonic()
        longest = max(0.0, (now - self._due) * 1000) if until is None or until > self._due else 0.0
        for when, late_ms in reversed(self._notes):
            if when < since:
                break
            if until is None or when - late_ms / 1000 <= until:
                longest = max(longest, late_ms)
        return max(longest, NOTABLE_MS)

    def recent_ms(self, window_s: float = 10.0) -> float:
        return self.longest_ms(time.monotonic() - window_s)
