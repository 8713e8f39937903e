"""What an attempt has lived through so far: its phases, address, status and bytes, whatever ends it."""

from __future__ import annotations

import math
from time import perf_counter
from typing import Literal

from pipeline.vocabulary import Outcome, Phases

Phase = Literal["dns", "connect", "tls", "ttfb", "transfer"]


class ProbeError(Exception):
    """A failure with its one outcome and one sentence for a person."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail


class Trace:
    """A stopwatch over the phases of one attempt; redirects add up.

    It reads `perf_counter`, since uvloop's `time()` is a whole millisecond read once a turn of the loop.
    Callers that stamped an event themselves hand that time in.
    """

    __slots__ = (
        "_expires_at",
        "bytes",
        "ended_at",
        "ip",
        "phase",
        "since",
        "spent_s",
        "started_at",
        "status",
        "to_proxy",
    )

    def __init__(self, timeout_s: float = math.inf) -> None:
        self._expires_at = perf_counter() + timeout_s
        self.phase: Phase | None = None
        self.since = 0.0
        self.started_at: float | None = None
        self.ended_at = 0.0
        self.spent_s: dict[Phase, float] = {}
        self.ip: str | None = None
        self.status: int | None = None
        self.bytes: int | None = None
        self.to_proxy = False  # while we connect to the region's proxy, which is no part of the site

    def enter(self, phase: Phase, at: float | None = None) -> None:
        """Close the phase that runs and open another."""
        now = self.leave(at)
        if self.started_at is None:
            self.started_at = now
        self.phase, self.since = phase, now

    def leave(self, at: float | None = None) -> float:
        """Close the phase that runs; returns the time that it ended at."""
        now = perf_counter() if at is None else at
        if self.phase is not None:
            self.spent_s[self.phase] = self.spent_s.get(self.phase, 0.0) + now - self.since
            self.phase, self.ended_at = None, now
        return now

    def remaining_s(self) -> float:
        """What is left of the attempt's deadline."""
        return max(0.0, self._expires_at - perf_counter())

    def phases(self) -> Phases:
        return Phases(**{f"{phase}_ms": seconds * 1000 for phase, seconds in self.spent_s.items()})

    def latency_ms(self) -> float | None:
        """From the start of the first look-up to the last byte, or to whatever ended the attempt."""
        return None if self.started_at is None else (self.ended_at - self.started_at) * 1000
