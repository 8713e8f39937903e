"""How wrong our times are, as a server of known delay shows it: it is probed all the time, as a site would be.

It runs in a process of its own and says with each answer how long the request was truly with it. What we observed
beyond that is ours: the kernel's lateness, that of our loop, a neighbour that took the processor.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import httpx

from pipeline.vocabulary import Clock
from workers.probes.network import Dialer
from workers.probes.trace import ProbeError, Trace
from workers.probes.transport import Answer, OneShotTransport

log = logging.getLogger("reference")

SERVER = Path(__file__).with_name("reference_server.py")
EVERY_S = 0.2  # some 0.1 % of a core, in both processes together
ANSWER_LIMIT_S = 10.0  # an answer that takes this long will not come: the server hangs
START_LIMIT_S = 10.0
RESTART_S, LONGEST_RESTART_S = 1.0, 60.0  # doubled each time that it ended at once
KEPT = 1_000  # residuals, newest last: 200 s, more than the longest time-out
NEWEST = 3  # what an attempt between two of them is judged by
STALE_S = 5.0  # older ones say nothing of now


class Residual(NamedTuple):
    """One reference: when it was (monotonic seconds), and how far each of our two clocks was off."""

    began: float
    ended: float
    kernel_ms: float
    loop_ms: float


class Residuals:
    """What the references showed. `now` and all times are monotonic seconds."""

    def __init__(self) -> None:
        self._kept: deque[Residual] = deque(maxlen=KEPT)

    def add(self, residual: Residual) -> None:
        self._kept.append(residual)

    def worst(self, since: float, until: float) -> Residual | None:
        """The worst, clock by clock, of those that overlapped a time and the newest before its end; None without."""
        met: list[Residual] = []
        for each in reversed(self._kept):
            if each.began > until:
                continue
            newest = len(met) < NEWEST and until - each.ended <= STALE_S
            if not newest and each.ended < since:
                break
            met.append(each)
        if not met:
            return None
        return Residual(
            met[-1].began, met[0].ended, max(each.kernel_ms for each in met), max(each.loop_ms for each in met)
        )


class Reference:
    """The server, kept running, and what it showed."""

    def __init__(self) -> None:
        self._residuals = Residuals()
        # Through the very code that probes sites. The one address that it may reach is the server's.
        self._transport = OneShotTransport(Dialer(allowed=_loopback))
        self.pid: int | None = None

    def worst(self, since: float, until: float) -> Residual | None:
        """The worst residuals of a time, in monotonic seconds; None while there is no reference."""
        return self._residuals.worst(since, until)

    async def watch(self) -> None:
        """Ask for ever; the server is started, and started again where it ends. It is gone when this is cancelled."""
        pause_s = RESTART_S
        while True:
            began = time.monotonic()
            try:
                async with _server() as (process, port):
                    self.pid = process.pid
                    await self._ask_forever(f"http://127.0.0.1:{port}/")
            except (OSError, ProbeError, TimeoutError, ValueError, KeyError) as error:
                log.warning("no reference", extra={"action": "reference_lost", "error": str(error) or repr(error)})
            except Exception:  # checks go on without it, so a fault of ours in here must not end the prober
                log.exception("no reference", extra={"action": "reference_lost"})
            finally:
                self.pid = None
            if time.monotonic() - began > LONGEST_RESTART_S:
                pause_s = RESTART_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_RESTART_S)

    async def _ask_forever(self, url: str) -> None:
        request = httpx.Request("GET", url)
        while True:
            self._residuals.add(await self._ask(request))
            await asyncio.sleep(EVERY_S)

    async def _ask(self, request: httpx.Request) -> Residual:
        trace = Trace()
        request.extensions = {"trace": trace}
        began = time.monotonic()
        async with asyncio.timeout(ANSWER_LIMIT_S):
            response = await self._transport.handle_async_request(request)
            try:
                answer: Answer = response.extensions["answer"]
                await answer.drain(0)
            finally:
                await response.aclose()
        trace.settle()
        true_ms = int(response.headers["x-residence-us"]) / 1000
        loop_ms = abs((trace.looped_ms() or 0.0) - true_ms)
        kernel_ms = abs((trace.latency_ms() or 0.0) - true_ms) if trace.clock is Clock.KERNEL else loop_ms
        return Residual(began, time.monotonic(), kernel_ms, loop_ms)


def _loopback(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_loopback


@contextlib.asynccontextmanager
async def _server() -> AsyncIterator[tuple[Process, int]]:
    """The server, running, and its port; killed at the end. `ValueError` where it does not come up."""
    # Bare (-I -S), so that it costs 11 MB and 15 ms; of our environment it gets what Python itself may need to start.
    environment = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", str(SERVER), str(os.getpid()), stdin=PIPE, stdout=PIPE, env=environment
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_LIMIT_S):
            line = await process.stdout.readline()
        yield process, int(line)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
