"""Rollups: what an open hour costs to rebuild beside the plain reading of its ticks, and whether the numbers hold.

2 000 series are checked every 5 s; the hour is full, and the other 23 of its day are stored. Rebuilding and reading
take turns on one connection, so that a slow phase of the host hits both; figures are medians.
`python tests/bench/rollups.py [--json] [--sites 400] [--rounds 3]`
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
import psutil
import psycopg

from pipeline.analysis.histograms import ALPHA
from pipeline.declared import RegionIn, SiteIn
from pipeline.store.engine import engine, migrate, plain_dsn
from pipeline.store.regions import create_region
from pipeline.store.rollups import roll, verify
from pipeline.store.sites import create_sites
from pipeline.store.slots import ticks_between
from pipeline.store.ticks import ensure_partitions
from pipeline.store.uptime import uptime_of
from pipeline.workbench import Workbench
from tests.harness import writing
from workers import embedded

REGIONS, INTERVAL_S = 5, 5
START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FOREVER = datetime.max.replace(tzinfo=UTC)

_TICKS = """
    insert into ticks (scheduled_at, started_at, site_id, region_id, interval_s, revision, bytes, dns_ms, connect_ms,
        tls_ms, ttfb_ms, transfer_ms, latency_ms, error_ms, attempt, outcome, status, kind, clock, source, final,
        trusted, prober, ip)
    select at, at, site, region, %(interval_s)s, 1, 512, 1, 2, 3, 4, 5, exp(4 + region * 0.3 + random()), 0.1, 0,
        case when random() < 0.01 then 12 else 0 end, 200, 0, 1, 0, true, true, 'bench', '192.0.2.1'
    from generate_series(0, 3600 / %(interval_s)s - 1) as slot, generate_series(1, %(sites)s) as site,
        generate_series(1, %(regions)s) as region,
        lateral (
            select %(start)s::timestamptz + make_interval(secs => slot * %(interval_s)s + (site * 7 + region) %% 5)
        ) as t (at)
"""
_MARK = """
    insert into dirty_hours (at, site_id, region_id)
    select %(start)s, site, region
    from generate_series(1, %(sites)s) as site, generate_series(1, %(regions)s) as region, generate_series(1, 12)
"""
_OTHER_HOURS = """
    insert into rollups_hour ({names}) select at + make_interval(hours => hour), {rest}
    from rollups_hour, generate_series(-12, 11) as hour where at = %(start)s and hour not in (0, 1)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sites", type=int, default=400, help="from five regions each")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, embedded.running(Path(folder)) as servers:
        migrate(servers.database_url)
        figures = measure(servers.database_url, asked.sites, asked.rounds)
    print(json.dumps(figures | {"bars": bars(figures)}, indent=None if asked.json else 2))


def measure(dsn: str, sites: int, rounds: int) -> dict[str, Any]:
    given = {"start": START, "sites": sites, "regions": REGIONS, "interval_s": INTERVAL_S}
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        prepare(dsn, connection, given)
        rebuilds, readings = [], []
        for _ in range(rounds):
            connection.execute(_MARK, given)
            rebuilds.append(timed(connection, lambda: rebuild(connection)))
            readings.append(timed(connection, lambda: ticks_between(connection, START, START + HOUR)))
        late = timed(connection, lambda: one_late_hour(connection))
        ticks = sites * REGIONS * 3600 // INTERVAL_S
        figures: dict[str, Any] = {"series": sites * REGIONS, "ticks": ticks, "rounds": rounds}
        for name, runs in {"rebuild": rebuilds, "read": readings, "late_tick": [late]}.items():
            figures |= {f"{name}_{what}": round(median(run[what] for run in runs), 4) for what in runs[0]}
        connection.execute("delete from rollups_hour where at not in (%s, %s)", [START, START + HOUR])
        connection.execute(
            "insert into dirty_hours (at, site_id, region_id) select at, site_id, region_id from rollups_hour"
        )
        rebuild(connection)
        figures["differences"] = len(verify(connection, START, START + HOUR))
    return figures | reading(dsn, sites)


def prepare(dsn: str, connection: psycopg.Connection, given: dict[str, Any]) -> None:
    with writing(dsn) as store:
        for region in range(REGIONS):
            create_region(store, RegionIn(key=f"r{region}"), now=START - DAY, actor="bench")
        wanted = [
            SiteIn(key=f"s{n}", url=f"https://s{n}.example", interval_s=INTERVAL_S) for n in range(given["sites"])
        ]
        create_sites(store, wanted, now=START - DAY, actor="bench")
    ensure_partitions(connection, [START.date()])
    connection.execute(_TICKS, given)
    connection.execute("vacuum analyze ticks")
    connection.execute(_MARK, given)
    rebuild(connection)
    columns = [column.name for column in connection.execute("select * from rollups_hour limit 0").description or []]
    names, rest = ", ".join(columns), ", ".join(columns[1:])
    connection.execute(_OTHER_HOURS.format(names=names, rest=rest).encode(), given)
    connection.execute("vacuum analyze")


def rebuild(connection: psycopg.Connection) -> None:
    with connection.transaction():
        roll(connection, before=FOREVER)


def one_late_hour(connection: psycopg.Connection) -> None:
    connection.execute("insert into dirty_hours (at, site_id, region_id) values (%s, 1, 1)", [START])
    rebuild(connection)


def timed(connection: psycopg.Connection, work: Callable[[], object]) -> dict[str, float]:
    """Seconds by the clock, and of CPU in this process and in its backend."""
    backend = psutil.Process(connection.info.backend_pid)
    began, spent, served = time.perf_counter(), time.process_time(), sum(backend.cpu_times()[:2])
    work()
    return {
        "s": time.perf_counter() - began,
        "cpu_s": time.process_time() - spent,
        "backend_cpu_s": sum(backend.cpu_times()[:2]) - served,
    }


def reading(dsn: str, sites: int) -> dict[str, Any]:
    """The worst quantile against the exact one, and what the app and a notebook wait for."""
    found: dict[str, Any] = {}
    with Workbench(dsn, clock=lambda: START + HOUR) as bench:
        began = time.perf_counter()
        ticks = (
            bench.ticks(start=START).filter(pl.col("state") == "up").select("site", "region", "latency_ms").collect()
        )
        found["workbench_read_s"] = round(time.perf_counter() - began, 3)
        hours = bench.rollup(start=START).collect()
    keys = ["site", "region"]
    quantiles = {"p50_ms": 0.5, "p90_ms": 0.9, "p95_ms": 0.95, "p99_ms": 0.99}
    exact = ticks.group_by(keys).agg(
        pl.col("latency_ms").quantile(q, "equiprobable").alias(f"exact_{name}") for name, q in quantiles.items()
    )
    joined = exact.join(hours, on=keys)
    errors = [(joined[name] / joined[f"exact_{name}"] - 1).abs() for name in quantiles]
    off = pl.concat(errors)
    found |= {"worst_quantile_error": off.max(), "mean_quantile_error": off.mean()}
    store = engine(dsn)
    with store.connect() as connection:
        asked = list(range(1, min(100, sites) + 1))
        times = []
        for _ in range(5):
            began = time.perf_counter()
            uptime_of(connection, asked, START - timedelta(hours=11), START + timedelta(hours=13))
            times.append(1000 * (time.perf_counter() - began))
    store.dispose()
    return found | {"uptime_100_sites_ms": round(median(times), 2), "uptime_first_ms": round(times[0], 2)}


def bars(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """What must hold. Timing as a ratio, since hosts differ; CPU is that of both processes."""

    def spent(name: str) -> float:
        return float(figures[f"{name}_cpu_s"] + figures[f"{name}_backend_cpu_s"])

    measured = {
        "rebuilding an open hour, CPU as a multiple of reading its ticks": (spent("rebuild") / spent("read"), 2.5),
        "one late tick, time as a share of rebuilding its hour for all": (
            figures["late_tick_s"] / figures["rebuild_s"],
            0.1,
        ),
        "worst error of a quantile": (figures["worst_quantile_error"], ALPHA * 1.0001),
        "rows that differ from a recomputation": (figures["differences"], 0),
        "uptime of 100 sites over a day, ms": (figures["uptime_100_sites_ms"], 50.0),
    }
    return [
        {"name": name, "value": round(value, 6), "limit": round(limit, 6), "holds": value <= limit}
        for name, (value, limit) in measured.items()
    ]


if __name__ == "__main__":
    main()
