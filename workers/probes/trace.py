"""What an attempt has lived through so far: its phases, address, status and bytes, whatever ends it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from time import monotonic
from typing import Any, Literal, NamedTuple, Protocol

import httpx

from pipeline.vocabulary import Clock, Outcome, Phases, Probe
from workers.probes.certificates import expires_at
from workers.probes.connection import Connection, TlsConnection
from workers.probes.kernel import KERNEL_CLOCK, STEP_NS, Meter, clocks_apart_ns, occupied_ns

Phase = Literal["dns", "connect", "tls", "ttfb", "transfer"]

AT_ONCE_S = 0.005  # a connect that begins sooner was not kept waiting by other addresses, which have 10 ms at least


class ProbeError(Exception):
    """A failure with its one outcome and one sentence for a person."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail


class Response(Protocol):
    """What an answer is so far: `reason` of its status line, and the `start` of its body, both bounded."""

    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    start: bytes
    version: str


class Request(NamedTuple):
    """A request that a redirect answered."""

    url: httpx.URL
    ip: str | None
    status: int | None
    tls: TlsConnection | None


class Trace:
    """A stopwatch over the phases of one attempt; redirects add up.

    It runs on two clocks. The loop's says when we came to do something, and is always there. The kernel's says when
    something left and arrived; it holds once an answer is whole (`settle`), and what it cannot see (a SYN that was
    lost, a resolver that refused, the end of a stream) is read off the loop's: `looped`. Monotonic seconds; callers
    that stamped an event themselves hand that time in.
    """

    __slots__ = (
        "_apart_ns",
        "_blind",
        "_expires_at",
        "_kernel_s",
        "_looped",
        "_meter",
        "_occupied_ns",
        "_unsure_ns",
        "answer",
        "bytes",
        "clock",
        "ended_at",
        "failures",
        "hops",
        "ip",
        "phase",
        "reached",
        "since",
        "spent_s",
        "started_at",
        "status",
        "tls",
        "to_proxy",
        "tried",
        "url",
    )

    def __init__(self, timeout_s: float = math.inf) -> None:
        self._expires_at = monotonic() + timeout_s
        self._apart_ns = clocks_apart_ns()
        self._meter: Meter | None = None
        self._kernel_s: dict[Phase, float] = {}
        self._unsure_ns = self._occupied_ns = 0
        self._blind = False
        self._looped: tuple[float, float] | None = None
        self.clock = Clock.LOOP
        self.phase: Phase | None = None
        self.since = 0.0
        self.started_at: float | None = None
        self.ended_at = 0.0
        self.spent_s: dict[Phase, float] = {}
        self.ip: str | None = None
        self.status: int | None = None
        self.bytes: int | None = None
        self.tried = 0  # addresses of the name that we connect to, so far
        self.failures: Sequence[ProbeError] = ()  # of those among them that failed already
        # What there was to see of the last request: references only, since most checks need no snapshot.
        self.url: httpx.URL | None = None
        self.reached: Phase | None = None  # the last phase that it entered
        self.tls: TlsConnection | None = None
        self.answer: Response | None = None
        self.hops: list[Request] = []  # those before it
        self.to_proxy = False  # while we connect to the region's proxy, which is no part of the site

    def dialing(self) -> None:
        """A connection begins, the first or that of a redirect."""
        self._meter = None
        self.status = self.bytes = self.tls = self.answer = None

    def redirected(self) -> None:
        """The request was answered by a redirect; what its answer was stays to be seen until the next one is made."""
        if self.url is not None:
            self.hops.append(Request(self.url, self.ip, self.status, self.tls))
        self.url = self.reached = None

    def enter(self, phase: Phase, at: float | None = None) -> None:
        """Close the phase that runs and open another."""
        now = self.leave(at)
        if self.started_at is None:
            self.started_at = now
        self.phase = self.reached = phase
        self.since = now
        if self._meter is None:
            self._occupied_ns = occupied_ns()

    def leave(self, at: float | None = None) -> float:
        """Close the phase that runs; returns the time that it ended at."""
        now = monotonic() if at is None else at
        phase = self.phase
        if phase is not None:
            self.spent_s[phase] = self.spent_s.get(phase, 0.0) + max(0.0, now - self.since)
            if self._meter is None:
                self._unnoticed(self.since, now)
                self._read_off_loop(phase, self.since, now)
            else:
                self._read_off_kernel(phase, self._meter)
            self.phase, self.ended_at = None, now
        return now

    def looked_up(self, meter: Meter | None, at: float | None = None) -> None:
        """Close `dns` with how long the answers took by the kernel; None where it does not know."""
        self._meter = meter
        self.leave(at)
        self._meter = None

    def connected(self, connection: Connection) -> None:
        """Close `connect` with a connection that stands; from now on the kernel tells how long we wait."""
        since, (began, at) = self.since, connection.opened
        round_trip_s = connection.round_trip_s()
        self._meter = connection.meter
        self.leave(at)
        if round_trip_s is None:
            self._unnoticed(since, at)
            self._read_off_loop("connect", since, at)
            return
        if self.tried > 1 and began - since > AT_ONCE_S:
            self._unnoticed(since, began)
            self._read_off_loop("connect", since, began)  # other addresses had their chance before
        self._kernel_s["connect"] = self._kernel_s.get("connect", 0.0) + round_trip_s

    def lingered(self, since: float, until: float) -> None:
        """The end of the stream was the end of the answer, and came without a stamp."""
        self._read_off_loop("transfer", since, until)

    def settle(self) -> None:
        """The answer is whole: it is timed by the kernel, unless that missed a part or its clock was set meanwhile."""
        self.leave()
        if self._meter is None or self._blind or not KERNEL_CLOCK:
            return
        step_ns = abs(clocks_apart_ns() - self._apart_ns)
        if step_ns <= STEP_NS:
            self.clock = Clock.KERNEL
            self._unsure_ns += step_ns

    def remaining_s(self) -> float:
        """What is left of the attempt's deadline."""
        return max(0.0, self._expires_at - monotonic())

    def phases(self) -> Phases:
        spent_s = self.spent_s if self.clock is Clock.LOOP else self._kernel_s
        return Phases(**{f"{phase}_ms": seconds * 1000 for phase, seconds in spent_s.items()})

    def latency_ms(self) -> float | None:
        """The sum of the phases by the kernel; by the loop's clock, from the first look-up to whatever ended it all."""
        return self.looped_ms() if self.clock is Clock.LOOP else sum(self._kernel_s.values()) * 1000

    def looped_ms(self) -> float | None:
        """The latency by the loop's clock."""
        return None if self.started_at is None else (self.ended_at - self.started_at) * 1000

    def expires_at(self) -> datetime | None:
        """The earliest end of the certificates that were shown on the way, accepted or not."""
        if self.tls is None and not self.hops:
            return None
        connections = (*(hop.tls for hop in self.hops), self.tls)
        leaves = (tls.leaf() for tls in connections if tls is not None)
        ends = (expires_at(leaf) for leaf in leaves if leaf is not None)
        return min((end for end in ends if end is not None), default=None)

    def probe(self, outcome: Outcome, detail: str | None = None, **more: Any) -> Probe:
        """What a probe hands back; `more` are further fields of `Probe`."""
        by_kernel = self.clock is Clock.KERNEL
        return Probe(
            outcome,
            self.phases(),
            self.latency_ms(),
            self.status,
            self.ip,
            self.bytes,
            detail,
            self.clock,
            self._unsure_ns / 1e6 if by_kernel else 0.0,
            self._looped if by_kernel else None,
            **more,
        )

    def _read_off_kernel(self, phase: Phase, meter: Meter) -> None:
        waited_ns, unsure_ns = meter.take()
        self._kernel_s[phase] = self._kernel_s.get(phase, 0.0) + waited_ns / 1e9
        self._unsure_ns += unsure_ns
        self._blind = self._blind or meter.blind

    def _unnoticed(self, since: float, until: float) -> None:
        """What we waited for may have come while we were at work, or in want of a processor."""
        self._unsure_ns += min(occupied_ns() - self._occupied_ns, round(max(0.0, until - since) * 1e9))

    def _read_off_loop(self, phase: Phase, since: float, until: float) -> None:
        self._kernel_s[phase] = self._kernel_s.get(phase, 0.0) + max(0.0, until - since)
        before = self._looped
        self._looped = (since, until) if before is None else (min(before[0], since), max(before[1], until))
