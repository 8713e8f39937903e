"""Python clients that can be measured, in a process of their own: `python _engines.py ours|httpx URL`.

For each number on standard input so many checks are made, 200 in flight, each over a new connection; a line of JSON
says how many were fine, the CPU-seconds that they took of this process, and the seconds by the clock. The authority to
trust comes in `SSL_CERT_FILE`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import ssl
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

IN_FLIGHT = 200
DEADLINE_S = 30.0

Check = Callable[[], Awaitable[bool]]


def ours(url: str) -> Check:
    """The probe as a prober calls it, in a process that holds all that a prober holds, under the guard's rule."""
    import workers.prober  # noqa: F401 - for the memory that it takes
    from pipeline import guard
    from pipeline.vocabulary import Network, Outcome, Spec
    from workers.probes import PROBES
    from workers.probes.network import DIALER
    from workers.probes.secure import tls_context

    spec, network, probe = Spec(url, timeout_s=DEADLINE_S), Network(), PROBES[url.partition(":")[0]]
    assert spec.expect.status, "the status is judged"
    DIALER.obey(guard.allowed("allow"))
    tls_context()
    gc.freeze()  # as the prober does

    async def check() -> bool:
        return (await probe(spec, network)).outcome is Outcome.OK

    return check


def httpx(url: str) -> Check:
    """One client and one context for all, which is httpx at its cheapest."""
    import httpx as library

    context = ssl.create_default_context(cafile=os.environ.get("SSL_CERT_FILE"))
    client = library.AsyncClient(
        verify=context,
        limits=library.Limits(max_connections=None, max_keepalive_connections=0),
        trust_env=False,
        timeout=DEADLINE_S,
    )
    gc.freeze()

    async def check() -> bool:
        return (await client.get(url, headers={"connection": "close"})).status_code == 200

    return check


async def _round(check: Check, checks: int) -> dict[str, float]:
    left = iter(range(checks))
    fine = 0

    async def worker() -> None:
        nonlocal fine
        for _ in left:
            good = await check()  # first: `fine += await` would add to what `fine` was before
            fine += good

    began, cpu_before = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    cpu_s, wall_s = time.process_time() - cpu_before, time.perf_counter() - began
    return {"checks": checks, "fine": fine, "cpu_s": cpu_s, "wall_s": wall_s}


def main() -> None:
    _, engine, url = sys.argv
    check = {"ours": ours, "httpx": httpx}[engine](url)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for line in iter(sys.stdin.readline, ""):
            print(json.dumps(runner.run(_round(check, int(line)))), flush=True)


if __name__ == "__main__":
    main()
