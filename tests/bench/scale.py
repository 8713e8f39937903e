"""The autoscaler under a step of load: one region, 32 in flight a prober, a target of 400 ms, 1 to 3 probers.

`python tests/bench/scale.py [--json] [--load 120]`. Twenty checks a second, then 200 for so many seconds, then twenty
again until the region is back at its least. Every role is a process, the servers are real, the target is ours. Lateness
is each stored tick's start against its slot; what came too late to be probed counts as late as it was taken.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from pipeline.declared import RegionIn
from pipeline.store.engine import migrate
from pipeline.store.regions import create_region
from pipeline.store.sites import pause_sites
from tests.bench._target import serving
from tests.harness import Fleet, add_sites, audit, count, eventually, now, rows_of, writing
from workers import embedded

INTERVAL_S = 5
BASE, STEP = 20 * INTERVAL_S, 180 * INTERVAL_S  # sites; 20 and 200 checks a second
TARGET_MS = 400
IN_FLIGHT = 32
QUIET_S = 12
BARS = {
    "second_prober_s": 10.0,
    "lateness_p99_ms": 250.0,
    "back_to_min_s": 120.0,
    "closest_decisions_s": -30.0,
    "missing_slots": 0.0,
    "slots_nobody_called_for": 0.0,
}
# What was never started came more than its interval late.
LATE_MS = "coalesce(extract(epoch from started_at - scheduled_at)::float8 * 1000, 5000)"
WITHIN = "from ticks where attempt = 0 and scheduled_at >= %s and scheduled_at < %s"
P95, P99 = (f"percentile_cont({share}) within group (order by {LATE_MS})" for share in (0.95, 0.99))
BY_SECOND = f"select date_trunc('second', scheduled_at), {P95}, {P99} {WITHIN} group by 1 order by 1"
SETTLED = f"select {P99}, count(*) {WITHIN}"


def probers(fleet: Fleet) -> int:
    return count(fleet.dsn, "select count(*) from workers where role = 'prober' and seen_at > now() - interval '6 s'")


def run(load_s: int) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, _ = stack.enter_context(serving(delay_ms=TARGET_MS))
        servers = stack.enter_context(embedded.running(folder / "data"))
        migrate(servers.database_url)
        with writing(servers.database_url) as connection:
            create_region(connection, RegionIn(key="eu", min_probers=1, max_probers=3), now=now(), actor="bench")
        environment = {"BETTERSTACK_PROBER_IN_FLIGHT": str(IN_FLIGHT)}
        fleet = stack.enter_context(Fleet(servers.database_url, servers.redis_url, **environment))
        for role in ("pusher", "recorder", "roller", "supervisor"):
            fleet.start(role)
        eventually(lambda: probers(fleet) == 1, what="a prober")
        add_sites(fleet.dsn, [f"{url}/{n}" for n in range(BASE)], interval_s=INTERVAL_S, confirmations=0)
        began = now() + timedelta(seconds=3)
        time.sleep(QUIET_S)
        loaded = now()
        add_sites(
            fleet.dsn, [f"{url}/x{n}" for n in range(STEP)], key_prefix="x", interval_s=INTERVAL_S, confirmations=0
        )
        second_at = watch(fleet, loaded, load_s)
        with writing(fleet.dsn) as connection:
            pause_sites(connection, [f"x{n}" for n in range(STEP)], paused=True, now=now(), actor="bench")
        unloaded = now()
        back = eventually(lambda: now() if probers(fleet) == 1 else None, seconds=180, what="the least of probers")
        assert back is not None
        until = now()
        eventually(lambda: audit(fleet.dsn, began, until).missing == 0, what="every slot's tick")
        return figures(fleet, began, loaded, unloaded, until, second_at) | {
            "back_to_min_s": round((back - unloaded).total_seconds(), 1)
        }


def watch(fleet: Fleet, loaded: datetime, load_s: int) -> datetime:
    """Wait out the load; returns when a second prober gave its first sign of life."""
    second: datetime | None = None
    while now() - loaded < timedelta(seconds=load_s):
        time.sleep(0.25)
        if second is None and probers(fleet) > 1:
            second = now()
    assert second is not None, "no second prober came"
    return second


def figures(
    fleet: Fleet, began: datetime, loaded: datetime, unloaded: datetime, until: datetime, second_at: datetime
) -> dict[str, Any]:
    # Cast, since a row holds what its query selects: a time and two floats.
    seconds = cast("list[tuple[datetime, float, float]]", rows_of(fleet.dsn, BY_SECOND, loaded, unloaded))
    passed = next((at for at, p95, _ in seconds if p95 > 500.0), second_at)
    settled = cast("list[tuple[float, int]]", rows_of(fleet.dsn, SETTLED, passed + timedelta(seconds=30), unloaded))
    query = "select at, before, after, reason from decisions order by at"
    decisions = cast("list[tuple[datetime, int, int, str]]", rows_of(fleet.dsn, query))
    gaps = [(later[0] - earlier[0]).total_seconds() for earlier, later in pairwise(decisions)]
    ledger = audit(fleet.dsn, began, until)
    return {
        "second_prober_s": round((second_at - passed).total_seconds(), 1),
        "second_prober_after_step_s": round((second_at - loaded).total_seconds(), 1),
        "lateness_p99_ms": round(settled[0][0], 1),
        "ticks_judged": settled[0][1],
        "closest_decisions_s": -min(gaps, default=1e9),
        "decisions": [{"before": before, "after": after, "reason": reason} for _, before, after, reason in decisions],
        "lateness_by_second": [[round(p95), round(p99)] for _, p95, p99 in seconds],
        "expected_slots": ledger.expected,
        "missing_slots": ledger.missing,
        "slots_nobody_called_for": ledger.ghosts,
        "outcomes": ledger.by_outcome,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--load", type=int, default=75, help="seconds of load")
    asked = parser.parse_args()
    found = run(asked.load)
    bars = [
        {"name": name, "value": found[name], "limit": limit, "holds": found[name] <= limit}
        for name, limit in BARS.items()
    ]
    print(json.dumps(found | {"bars": bars}, indent=None if asked.json else 2, default=str))
    sys.exit(not all(bar["holds"] for bar in bars))


if __name__ == "__main__":
    main()
