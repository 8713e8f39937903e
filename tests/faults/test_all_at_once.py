"""All hostile servers at once beside two hundred healthy sites, through a real prober: nobody suffers from another.

What turns this red: anything hostile that blocks the loop (unpacking or matching on it), that is read without a bound
(memory), that takes the prober down, or that holds a place for longer than its deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from pipeline.declared import RegionIn, SiteIn
from pipeline.store.regions import create_region
from pipeline.store.sites import create_sites
from pipeline.vocabulary import Outcome
from tests.faults.hostile import HOSTILE, POLICY
from tests.faults.names import answering
from tests.faults.servers import Certificates, World
from tests.harness import Fleet, Target, audit, eventually, now, rows_of, writing
from tests.integration.hostile import ok, serving
from workers import streams

HEALTHY = 200
ENOUGH = 2  # ticks of each
MOST_MB = 200


@contextlib.contextmanager
def standing(world: World) -> Iterator[tuple[str, dict[str, str]]]:
    """All of them in a thread of their own: the region's resolver, and URLs by key; `healthy` is one with TLS."""
    loop, opened, urls = asyncio.new_event_loop(), threading.Event(), dict[str, str]()
    resolver = ""

    async def stand(over: asyncio.Event) -> None:
        nonlocal resolver
        async with contextlib.AsyncExitStack() as held:
            resolver = await held.enter_async_context(answering(world.zone))
            urls["healthy"] = (await held.enter_async_context(serving(ok(), world.tls.server()))).url("")
            for row in HOSTILE:
                urls[key_of(row.what)] = await held.enter_async_context(row.place(world))
            opened.set()
            await over.wait()

    over = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(stand(over),))
    thread.start()
    try:
        assert opened.wait(20)
        yield resolver, urls
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(20)
        loop.close()


def key_of(what: str) -> str:
    return what.replace(".", "-")


def peak_mb(pid: int) -> float:
    """The most that a process ever held."""
    found = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


@pytest.mark.timeout(120)
def test_two_hundred_healthy_sites_beside_all_hostile_ones(dsn: str, redis_url: str, tmp_path: Path) -> None:
    world = World(Certificates())
    world.tls.authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    environment = {"BETTERSTACK_PRIVATE_TARGETS": POLICY, "SSL_CERT_FILE": str(tmp_path / "authority.pem")}
    with Target() as target, standing(world) as (resolver, urls), Fleet(dsn, redis_url, **environment) as fleet:
        secure = urls.pop("healthy")
        sites = [
            {"key": f"healthy{n}", "url": f"{secure if n % 4 == 0 else target.url}/{n}", "interval_s": 4}
            for n in range(HEALTHY)
        ]
        fields = {key_of(row.what): row.site for row in HOSTILE}
        sites += [{"key": key, "url": url, "interval_s": 5, "timeout_s": 4, **fields[key]} for key, url in urls.items()]
        with writing(dsn) as connection:
            create_region(connection, RegionIn(key="eu", resolvers=[resolver]), now=now(), actor="test")
        pusher = fleet.start("pusher")
        fleet.start("recorder")
        prober = fleet.start("prober", "--region", "eu")
        with Redis.from_url(redis_url, **streams.options()) as client:
            eventually(lambda: streams.leases(client, "eu"), what="a prober")
            began = now()
            with writing(dsn) as connection:
                declared = [SiteIn.model_validate({"confirmations": 0, **site}) for site in sites]
                create_sites(connection, declared, now=began, actor="test")
            few = f"select 1 from sites s where (select count(*) from ticks t where t.site_id = s.id) < {ENOUGH}"
            eventually(lambda: not rows_of(dsn, few), seconds=60, what="ticks of all sites")
            until = now()
            fleet.stop(pusher)
            eventually(lambda: audit(dsn, began, until).missing == 0, seconds=30, what="a tick for every slot")
            leases = streams.leases(client, "eu")
        found = defaultdict[str, set[Outcome]](set)
        order = list(Outcome)
        for key, outcome in rows_of(dsn, "select s.key, t.outcome from ticks t join sites s on s.id = t.site_id"):
            found[str(key)].add(order[int(str(outcome))])

        assert {key: each for key, each in found.items() if key.startswith("healthy") and each != {Outcome.OK}} == {}
        # A machine that is too busy to tell says so: that is unknown, and no other outcome of the site.
        told = {key_of(row.what): found[key_of(row.what)] - {Outcome.WORKER_OVERLOAD} for row in HOSTILE}
        assert told == {key_of(row.what): {row.outcome} for row in HOSTILE}
        assert audit(dsn, began, until).ghosts == 0
        assert [lease.pid for lease in leases.values()] == [prober.pid], "the prober that began is there at the end"
        assert prober.poll() is None
        assert peak_mb(prober.pid) <= MOST_MB
