"""What a prober knows of its own pace: how late it starts, how long a probe takes, how much it may hold. Pure.

Late is a start after the check's time and after it was sent: what was sent late is not the prober's being slow.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from pipeline.schedule import LOOKAHEAD

AHEAD_S = LOOKAHEAD.total_seconds() + 0.5  # how long what is taken waits at most, and some of a beat
WINDOW_S = 10.0  # lateness is that of the last ten seconds: what was is no reason to scale
FIRST_GUESS_S = 0.5  # how long a probe takes, before we have seen one
SMOOTHING = 0.02  # weight of the newest probe
AT_ONCE_S = 0.25  # what is read in one go is what can be started in this time, …
LEAST_READ, MOST_READ = 8, 500  # … within these bounds
QUEUED = 0.25  # share of the probes in flight that may wait for a place among them
HEADROOM = 1.25  # over what we can start: probes end when they like, and a place must not stay empty
# Whoever had this share of its places in use in the last seconds takes little faster than it can start. It has to be
# several seconds: a region's probers would else take turns, each a whole second's checks.
BUSY, BUSY_FOR_S = 0.6, 10.0
LEAST_HELD = 50  # a reply of Redis is worth some work


class Lateness(NamedTuple):
    """Percentiles over the window, in milliseconds; None where nothing started in it."""

    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class Pace:
    """Told of each start and each end; times are monotonic seconds. `in_flight` is how many probes run at once."""

    def __init__(self, in_flight: int) -> None:
        self._in_flight = in_flight
        self._probe_s = FIRST_GUESS_S
        self._started: deque[tuple[float, float]] = deque(maxlen=20_000)  # 1 000 starts a second, twice
        self.probed = 0
        self.late = 0
        self.busy_s = 0.0
        self._tokens = 0.0
        self._refilled = 0.0
        self._busy_until = 0.0

    def started(self, now: float, late_ms: float) -> None:
        self._started.append((now, late_ms))

    def gave_up(self, now: float, late_ms: float) -> None:
        """A check that came too late to be probed is as late as any."""
        self.late += 1
        self.started(now, late_ms)

    def ended(self, took_s: float) -> None:
        self.probed += 1
        self.busy_s += took_s
        self._probe_s += (SMOOTHING if self.probed > 1 else 1.0) * (took_s - self._probe_s)

    def lateness(self, now: float) -> Lateness:
        while self._started and now - self._started[0][0] > WINDOW_S:
            self._started.popleft()
        late = sorted(late_ms for _, late_ms in self._started)
        if not late:
            return Lateness()
        return Lateness(*(round(late[len(late) * percent // 100], 2) for percent in (50, 95, 99)))

    @property
    def probe_s(self) -> float | None:
        """How long a probe takes, smoothed over some twenty of them; None before the first."""
        return round(self._probe_s, 4) if self.probed else None

    def room(self, most: int) -> int:
        """How many checks to hold: what we can start while they wait for their time, and what is under way.

        Whatever exceeds that stays in the stream, where a prober that was started to help can take it.
        """
        return min(most, max(LEAST_HELD, self._in_flight + int(self._per_s * AHEAD_S)))

    def allowance(self, now: float, probing: int, queued: int) -> int:
        """How many checks to read in one go; zero for none just now.

        All checks of a second are sent at once. Whoever was busy lately takes them little faster than it can start
        them, so that they spread over the region's probers; else the first to read has them all, and starts them late.
        Where checks are `queued`, since their time has come and all places are taken, they are kept to a few: enough
        to leave no place empty when probes end together, and the rest is for whoever has a place.
        """
        if probing >= self._in_flight * BUSY:
            self._busy_until = now + BUSY_FOR_S
        at_once = max(LEAST_READ, min(MOST_READ, int(self._per_s * AT_ONCE_S)))
        if now >= self._busy_until:
            self._tokens = at_once
        else:
            self._tokens = min(at_once, self._tokens + (now - self._refilled) * self._per_s * HEADROOM)
        self._refilled = now
        most = int(self._in_flight * QUEUED) - queued if queued else at_once
        return int(max(0.0, min(self._tokens, most)))

    def took(self, checks: int) -> None:
        self._tokens -= checks

    @property
    def _per_s(self) -> float:
        """Probes that we can start in a second, with all slots in use."""
        return self._in_flight / max(self._probe_s, 0.001)
