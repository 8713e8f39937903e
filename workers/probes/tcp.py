"""The TCP probe: a site is up where a connection to it stands."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable

import httpx

from pipeline.vocabulary import Network, Outcome, Probe, Spec
from workers.probes.connection import Stream
from workers.probes.deadline import late
from workers.probes.expect import worn
from workers.probes.network import DIALER, Dialer
from workers.probes.requests import PREPARED_LIMIT, usable
from workers.probes.snapshot import seen
from workers.probes.trace import ProbeError, Trace

Finish = Callable[[Stream], Awaitable[None]]  # what is left to do on a connection that stands


async def probe(spec: Spec, network: Network, *, dialer: Dialer = DIALER) -> Probe:
    """Connect to a site once, within `spec.timeout_s`, and hang up.

    Whatever the other side can cause is an outcome. An exception is a fault of ours, and no statement about the site.
    """
    return await reach(spec, network, dialer, _nothing)


async def reach(spec: Spec, network: Network, dialer: Dialer, finish: Finish) -> Probe:
    """Dial, see to what is left, hang up, and judge what can be judged of that."""
    trace = Trace(spec.timeout_s)
    deadline = asyncio.timeout(spec.timeout_s)
    try:
        async with deadline:
            stream = await dialer.dial(_parsed(spec.url), network, trace, spec)
            try:
                await finish(stream)
            finally:
                stream.close()
        trace.settle()
        failures = list(worn(spec.expect, trace.latency_ms(), trace.expires_at(), None))
        outcome = failures[0][0] if failures else Outcome.OK  # the worst comes first
        problems = [sentence for _, sentence in failures]
    except ProbeError as failure:
        outcome, problems = failure.outcome, [failure.detail]
    except TimeoutError:
        if not deadline.expired():
            raise
        outcome, sentence = late(trace, spec.timeout_s)
        problems = [sentence]
    trace.leave()
    return seen(trace, spec, network, outcome, problems)


@functools.lru_cache(maxsize=PREPARED_LIMIT)
def _parsed(url: str) -> httpx.URL:
    return usable(url)


async def _nothing(_stream: Stream) -> None:
    pass
