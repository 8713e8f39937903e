"""The lake: what a tick weighs in it, how fast a day goes there and comes back, and how much memory that takes.

Series are checked every 60 s for a UTC day, with five jittered phases, in microseconds as they are recorded, three
addresses and a failure now and then. The day is archived by a process of its own, whose peak memory is the figure.
`python tests/bench/lake.py [--json] [--series 1000]`; 6 944 series are 10 million ticks.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg

from pipeline.lake.files import LakeRoot, of_day
from pipeline.store import lake
from pipeline.store.engine import migrate, plain_dsn
from pipeline.store.session import session
from pipeline.store.ticks import ensure_partitions
from workers import embedded

START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=40)
MOST_BYTES, MOST_MB = 12.0, 300.0

_TICKS = """
    insert into ticks (scheduled_at, started_at, site_id, region_id, interval_s, revision, bytes, dns_ms, connect_ms,
        tls_ms, ttfb_ms, transfer_ms, latency_ms, error_ms, attempt, outcome, status, kind, clock, source, final,
        trusted, prober, ip)
    select at, at + make_interval(secs => exp(1 + 0.5 * random_normal()) / 1000), site, region, 60, 1,
        500 + 37 * site + (random() * 2)::int, round(dns, 3), round(connect, 3), round(tls, 3), round(ttfb, 3),
        round(transfer, 3), round(dns + connect + tls + ttfb + transfer, 3), 0.02 + (minute % 11) * 0.001, 0,
        case when random() < 0.002 then 12 else 0 end, 200, 0, 0, 0, true, true, 'prober-' || region,
        '192.0.2.' || (site % 80 + (random() * 2)::int)
    from generate_series(0, 1439) as minute, generate_series(1, %(series)s / 5) as site,
        generate_series(1, 5) as region,
        lateral (
            select %(start)s::timestamptz + make_interval(secs => minute * 60 + (site * 7 + region) % 60)
        ) as t (at),
        lateral (select 8 + 23 * region + site % 17 as base) as b,
        lateral (select (0.6 * exp(0.4 * random_normal(minute * 0, 1)))::numeric as dns,
            (base * exp(0.02 * random_normal()))::numeric as connect,
            (1.5 + 1.1 * base * exp(0.02 * random_normal()))::numeric as tls,
            (base + 15 * exp(0.3 * random_normal()))::numeric as ttfb,
            (0.3 * exp(0.4 * random_normal()))::numeric as transfer) as p
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--archive", nargs=2, metavar=("DSN", "FOLDER"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.archive:
        print(json.dumps(archive(*asked.archive)))
        return
    with tempfile.TemporaryDirectory() as folder, embedded.running(Path(folder)) as servers:
        migrate(servers.database_url)
        figures = measure(servers.database_url, Path(folder) / "lake", asked.series)
    print(json.dumps(figures | {"bars": bars(figures)}, indent=None if asked.json else 2))
    sys.exit(not all(bars(figures).values()))


def measure(dsn: str, folder: Path, series: int) -> dict[str, Any]:
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        ensure_partitions(connection, [START.date()])
        connection.execute(_TICKS.replace("% ", "%% ").encode(), {"series": series, "start": START})
        connection.execute("vacuum analyze ticks")
    command = [sys.executable, __file__, "--archive", dsn, str(folder)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    archived: dict[str, Any] = json.loads(done.stdout)
    return archived | reading(LakeRoot.of(folder))


def archive(dsn: str, folder: str) -> dict[str, Any]:
    """Archive and drop the day, in a process that does nothing else."""
    root, before = LakeRoot.of(folder), _peak_mb()
    with session(dsn, "bench", lock_timeout_ms=60_000) as connection:
        began = time.monotonic()
        written = lake.archive(connection, dsn, root, START.date(), now=NOW, reached=lambda _: None)
        archived_s = time.monotonic() - began
        assert written is not None
        began = time.monotonic()
        assert lake.drop(connection, dsn, root, START.date(), now=NOW, reached=lambda _: None)
        dropped_s = time.monotonic() - began
    return {
        "rows": written.rows,
        "bytes_a_tick": round(written.bytes / written.rows, 2),
        "archive_rows_s": round(written.rows / archived_s),
        "drop_rows_s": round(written.rows / dropped_s),
        "imported_mb": round(before),
        "peak_mb": round(_peak_mb()),
    }


def reading(root: LakeRoot) -> dict[str, Any]:
    rows = root.read(of_day(START.date()))
    figures: dict[str, Any] = {}
    queries = {
        "every_column": rows,
        "one_column": rows.select(pl.col("latency_us").mean()),
        "one_site": rows.filter(pl.col("site_id") == 7),
    }
    for name, query in queries.items():
        began = time.monotonic()
        query.collect()
        figures[f"read_{name}_s"] = round(time.monotonic() - began, 3)
    return figures


def bars(figures: dict[str, Any]) -> dict[str, bool]:
    return {
        f"a tick takes at most {MOST_BYTES:g} bytes": figures["bytes_a_tick"] <= MOST_BYTES,
        f"at most {MOST_MB:g} MB of memory": figures["peak_mb"] <= MOST_MB,
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
