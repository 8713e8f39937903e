"""Whether anybody is there: a connection that says nothing, a name that is looked up anew. Not for the site's sake."""

from __future__ import annotations

import asyncio

import httpx

from pipeline.vocabulary import Network, Outcome
from workers.probes.network import Dialer
from workers.probes.resolver import Resolver
from workers.probes.trace import ProbeError, Trace

ANSWERED_IN_S = 1.0  # a SYN that is lost once is sent again after a second; of several one gets through
FOUND_IN_S = 5.0  # who needs longer for every name is as good as gone; a look-up itself would try for a minute
ANSWERS = (Outcome.REFUSED, Outcome.RESET)  # somebody said no, so there is a way to him

_DIALER = Dialer()  # allows all: these are the operator's references, and sites that the rule let through before


async def reaches(host: str, port: int, network: Network) -> bool:
    """Whether a host answers a connection within a second, be it with a refusal."""
    try:
        async with asyncio.timeout(ANSWERED_IN_S):
            shown = f"[{host}]" if ":" in host else host
            stream = await _DIALER.dial(httpx.URL(f"tcp://{shown}:{port}"), network, Trace(ANSWERED_IN_S))
    except ProbeError as failure:
        return failure.outcome in ANSWERS
    except (TimeoutError, OSError):
        return False
    stream.close()
    return True


async def finds(host: str, network: Network) -> bool:
    """Whether the region's resolver finds a name within five seconds; nothing that we know from before counts."""
    resolver = Resolver(network.resolvers)
    try:
        async with asyncio.timeout(FOUND_IN_S):
            return bool(await resolver.addresses(host))
    except (ProbeError, TimeoutError):
        return False
    finally:
        await resolver.aclose()
