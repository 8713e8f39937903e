"""The whole walk under load: 2 000 sites at 5 s from one region for 60 s, every role a process, real servers.

`python tests/bench/walk.py [--json] [--sites 2000] [--interval 5] [--seconds 60]`. The target is nginx where it is
installed, else a small server on uvloop. Figures are taken over a window after the start-up; CPU by role from the
kernel's own accounts, Postgres and Valkey apart; lateness is each stored tick's start against its slot.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
from redis import Redis

from pipeline.declared import RegionIn
from pipeline.store.engine import migrate, plain_dsn
from pipeline.store.regions import create_region
from pipeline.store.rollups import verify
from pipeline.vocabulary import Outcome, Tick
from tests.bench._target import serving
from tests.harness import Fleet, add_sites, audit, count, eventually, now, rows_of, writing
from workers import embedded, streams
from workers.embedded import Servers
from workers.wire import pack

WARM_UP_S = 15
ROLES = ("pusher", "prober", "recorder", "roller")
BARS = {
    "checks_per_s": (">=", 400.0),
    "lateness_p99_ms": ("<=", 250.0),
    "cpu_s_per_1000_checks": ("<=", 2.5),
    "prober_rss_mb": ("<=", 120.0),
    "missing_slots": ("<=", 0.0),
    "rollup_differences": ("<=", 0.0),
    "late_tick_rolled_up_s": ("<=", 60.0),
}


def cpu_s(process: psutil.Process) -> float:
    """User and system seconds of a process and all that it started."""
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        times = each.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


@contextmanager
def walking(
    servers: Servers, url: str, sites: int, interval_s: int
) -> Iterator[tuple[Fleet, dict[str, psutil.Process]]]:
    migrate(servers.database_url)
    with writing(servers.database_url) as connection:
        create_region(connection, RegionIn(key="eu"), now=now(), actor="bench")
    with Fleet(servers.database_url, servers.redis_url) as fleet:
        started = {role: fleet.start(*((role, "--region", "eu") if role == "prober" else (role,))) for role in ROLES}
        eventually(lambda: count(fleet.dsn, "select count(*) from workers where role = 'prober'") == 1, what="a prober")
        urls = [f"{url}/{number}" for number in range(sites)]
        add_sites(fleet.dsn, urls, interval_s=interval_s, confirmations=0)
        yield fleet, {role: psutil.Process(process.pid) for role, process in started.items()}


def measure(fleet: Fleet, roles: dict[str, psutil.Process], servers: Servers, seconds: int) -> dict[str, Any]:
    """The window: CPU, memory, lateness, ledger."""
    watched = roles | {
        "postgres": psutil.Process(servers.postgres.pid),
        "valkey": psutil.Process(servers.valkey.pid),
    }
    time.sleep(WARM_UP_S)
    since, before, began = now(), {name: cpu_s(process) for name, process in watched.items()}, time.monotonic()
    rss = dict.fromkeys(roles, 0.0)
    while time.monotonic() - began < seconds:
        time.sleep(1.0)
        rss = {name: max(rss[name], process.memory_info().rss / 2**20) for name, process in roles.items()}
    until, elapsed = now(), time.monotonic() - began
    used = {name: cpu_s(process) - before[name] for name, process in watched.items()}
    eventually(lambda: audit(fleet.dsn, since, until).missing == 0 or None, seconds=20, what="every slot's tick")
    [(ticks, p50, p99, latency)] = rows_of(
        fleet.dsn,
        "select count(*), percentile_cont(0.5) within group (order by late), percentile_cont(0.99) within group"
        " (order by late), percentile_cont(0.5) within group (order by latency_ms) from ("
        "select extract(epoch from started_at - scheduled_at)::float8 * 1000 as late, latency_ms from ticks"
        " where scheduled_at >= %s and scheduled_at < %s and attempt = 0) as t",
        since,
        until,
    )
    ledger = audit(fleet.dsn, since, until)
    per_1000 = {name: round(seconds_used / ticks * 1000, 3) for name, seconds_used in used.items()}  # type: ignore[operator] # a count
    return {
        "window_s": round(elapsed, 1),
        "ticks": ticks,
        "checks_per_s": round(ticks / elapsed, 1),  # type: ignore[operator] # a count
        "lateness_p50_ms": round(p50, 2),  # type: ignore[call-overload] # a float
        "lateness_p99_ms": round(p99, 2),  # type: ignore[call-overload] # a float
        "latency_p50_ms": round(latency, 2),  # type: ignore[call-overload] # a float
        "cpu_s_per_1000_checks_by_role": per_1000,
        "cpu_s_per_1000_checks": round(sum(per_1000[role] for role in roles), 3),
        "rss_mb_by_role": {name: round(value, 1) for name, value in rss.items()},
        "prober_rss_mb": round(rss["prober"], 1),
        "expected_slots": ledger.expected,
        "missing_slots": ledger.missing,
        "slots_nobody_called_for": ledger.ghosts,
        "outcomes": ledger.by_outcome,
    }


# The recorder believes only what was called for.
_CALLED_FOR = """
    insert into revisions (site_id, region_id, effective_at, active, interval_s, spec, network, actor)
    select site_id, region_id, %s, active, interval_s, spec, network, 'bench' from revisions where active limit 1
    returning site_id, region_id, id, interval_s
"""


def late_tick(fleet: Fleet) -> float:
    """Seconds until a tick written an hour late is in its hour's rollup. Nobody may push: it was never called for."""
    at = now().replace(minute=30, second=0, microsecond=0) - timedelta(hours=1)
    with psycopg.connect(plain_dsn(fleet.dsn)) as connection:
        called = connection.execute(_CALLED_FOR, [at]).fetchone()
    assert called is not None
    site, region, revision, interval = called
    tick = Tick(site, region, at, 0, at, Outcome.OK, True, interval, revision, "bench", latency_ms=1.0)
    client: Redis = Redis.from_url(fleet.redis_url, **streams.options())
    streams.push(client, streams.ticks("eu"), [pack(tick)])
    client.close()
    began = time.monotonic()
    query = "select count(*) from rollups_hour where site_id = %s and region_id = %s and at = %s"
    hour = at.replace(minute=0)
    eventually(lambda: count(fleet.dsn, query, site, region, hour) == 1, seconds=60, what="the late tick's rollup")
    return round(time.monotonic() - began, 1)


def settle(fleet: Fleet, roles: dict[str, psutil.Process]) -> None:
    """End the schedule and wait until everything is recorded and rolled up."""
    for process in list(fleet.running):
        if process.pid == roles["pusher"].pid:
            fleet.stop(process)
    client: Redis = Redis.from_url(fleet.redis_url, **streams.options())
    eventually(lambda: client.xlen(streams.checks("eu")) + client.xlen(streams.ticks("eu")) == 0, what="empty streams")
    client.close()
    eventually(lambda: count(fleet.dsn, "select count(*) from dirty_hours") == 0, seconds=150, what="rolled up hours")


def differences(dsn: str, since: datetime) -> list[str]:
    with psycopg.connect(plain_dsn(dsn)) as connection:
        return verify(connection, since, now())


def walk(sites: int, interval_s: int, seconds: int) -> dict[str, Any]:
    """All of it, on servers and a target of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, target = stack.enter_context(serving())
        servers = stack.enter_context(embedded.running(folder / "data"))
        began = now()
        fleet, roles = stack.enter_context(walking(servers, url, sites, interval_s))
        figures: dict[str, Any] = {"sites": sites, "interval_s": interval_s, "target": target}
        figures |= measure(fleet, roles, servers, seconds)
        settle(fleet, roles)
        figures["late_tick_rolled_up_s"] = late_tick(fleet)
        found = differences(fleet.dsn, began - timedelta(hours=2))
        return figures | {"rollup_differences": len(found), "first_differences": found[:3]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sites", type=int, default=2_000)
    parser.add_argument("--interval", type=int, default=5, help="seconds")
    parser.add_argument("--seconds", type=int, default=60)
    asked = parser.parse_args()
    figures = walk(asked.sites, asked.interval, asked.seconds)
    bars = [
        {
            "name": name,
            "value": figures[name],
            "limit": f"{sign} {limit:g}",
            "holds": figures[name] >= limit if sign == ">=" else figures[name] <= limit,
        }
        for name, (sign, limit) in BARS.items()
    ]
    print(json.dumps(figures | {"bars": bars}, indent=None if asked.json else 2, default=str))
    sys.exit(not all(bar["holds"] for bar in bars))


if __name__ == "__main__":
    main()
