"""How many probes run at once: as many as were allowed, fewer while they keep the loop from its work.

Every probe under way wants its turn of the loop. Where turns come late, time-outs strike before an answer that is there
has been read: then fewer at once, until they come in time again. What cannot start waits, and is seen to be late.
"""

from __future__ import annotations

import asyncio
from collections import deque

LEAST = 64  # so few keep no loop from its work: what stalls it then is somebody else, and fewer would only be late
LATE_MS, IN_TIME_MS = 100.0, 30.0  # the longest that the loop stood still since the last look
LESS, MORE = 0.75, 0.1  # down fast, up slowly, as for any queue that must not swing


class Places:
    """A semaphore whose size follows the loop, between `LEAST` and `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.limit = most

    async def take(self) -> None:
        """Wait for a place; who came first is first."""
        if self._taken < self.limit and not self._waiting:
            self._taken += 1
            return
        place = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.give()  # it was ours already
            raise

    def give(self) -> None:
        """Give a place back."""
        self._taken -= 1
        self._let_in()

    def adapt(self, stall_ms: float) -> None:
        """Look at the longest that the loop stood still since the last look."""
        if stall_ms > LATE_MS:
            self.limit = max(min(LEAST, self._most), int(self.limit * LESS))
        elif stall_ms < IN_TIME_MS:
            self.limit = min(self._most, self.limit + max(1, int(self.limit * MORE)))
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._taken < self.limit:
            place = self._waiting.popleft()
            if not place.done():
                self._taken += 1
                place.set_result(None)
