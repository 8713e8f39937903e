"""The numbers under load: exact quantiles against DuckDB and Postgres, roll-up, ingest, pages, exports, bytes a tick.

`python -m tests.bench.analytics [--json] [--ticks 10M] [--sites 1000] [--days 90] [--rounds 3] [--postgres 2M]`. All
work on the same generated ticks, ten days of series that are checked each minute; engines are processes of their own
and take turns, so that a slow phase of the host hits all. What is asked for must be equal, else no speed counts. The
pages ask a store with `--days` of `--sites` sites from five regions; the roller has `--sites` sites as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import polars as pl
import psycopg

from pipeline.exports import export
from pipeline.lake.files import LakeRoot, of_day
from pipeline.store.engine import migrate, plain_dsn
from pipeline.workbench import Workbench
from tests.bench import _ingest
from tests.bench._exact import SHAPES, START, apart, of_postgres, ours, peak_mb, same
from tests.bench._long import lay_spans, page_queries
from tests.bench._seeded import seed
from tests.bench._ticks import REGIONS, SLOTS, day_of_ticks, write_day
from workers import embedded

DAYS, FEW_DAYS = 10, 3
DAY = timedelta(days=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--ticks", type=_number, default=10_000_000, help="such as 100M: over ten days")
    parser.add_argument("--postgres", type=_number, default=2_000_000, help="of these, what Postgres answers for")
    parser.add_argument("--sites", type=int, default=1000, help="from five regions each, of pages and roll-up")
    parser.add_argument("--days", type=int, default=90, help="of the pages")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=20, help="of 10 000 ticks, each way of storing them")
    parser.add_argument("--export", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.export:
        print(json.dumps(exporting(*asked.export)))
        return
    figures = measure(asked)
    print(json.dumps(figures | {"bars": bars(figures)}, indent=None if asked.json else 2))
    sys.exit(not all(bar["holds"] for bar in bars(figures)))


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    sites = max(asked.ticks // (DAYS * REGIONS * SLOTS), 1)
    figures: dict[str, Any] = {"sites": sites, "days": DAYS}
    with tempfile.TemporaryDirectory() as folder:
        root = LakeRoot.of(Path(folder) / "lake")
        figures |= cold(root, sites)
        figures |= lake_queries(root, Path(folder), sites, asked.rounds)
        with embedded.running(Path(folder) / "hot") as servers:
            migrate(servers.database_url)
            figures |= hot(servers.database_url, root, sites, asked)
        with embedded.running(Path(folder) / "rolled") as servers:
            migrate(servers.database_url)
            with _connected(servers.database_url) as connection:
                _ingest.declare(servers.database_url, asked.sites, START - DAY)
                figures |= _ingest.incremental(connection, START, asked.sites, asked.rounds)
        with embedded.running(Path(folder) / "long") as servers:
            migrate(servers.database_url)
            now = datetime.now(UTC).replace(second=30, microsecond=0)
            seeded = seed(servers.database_url, asked.sites, asked.days, now)
            lay_spans(servers.database_url, seeded)
            figures["pages"] = page_queries(servers.database_url, seeded)
    return figures


def cold(root: LakeRoot, sites: int) -> dict[str, Any]:
    """Generate the ticks, in files as the roller writes them."""
    rows = sum(write_day(root, START + number * DAY, sites) for number in range(DAYS))
    size = sum(root.size(of_day((START + number * DAY).date())) or 0 for number in range(DAYS))
    return {"ticks": rows, "cold_bytes_a_tick": round(size / rows, 2)}


def lake_queries(root: LakeRoot, folder: Path, sites: int, rounds: int) -> dict[str, Any]:
    """Ours and DuckDB over the same files, each run a process; the rows compared, and the memory of fewer days."""
    figures: dict[str, Any] = {}
    for shape in SHAPES:
        runs: dict[str, list[dict[str, float]]] = {"ours": [], "duckdb": []}
        for _ in range(rounds):
            for engine, told in runs.items():
                told.append(apart(engine, shape, root, sites, DAYS, folder / f"{engine}.parquet"))
        found, rival = (pl.read_parquet(folder / f"{engine}.parquet") for engine in runs)
        figures[f"{shape}_groups"] = found.height
        figures[f"{shape}_equals_duckdb"] = same(found, rival, shape, sites)
        for engine, told in runs.items():
            figures |= {
                f"{shape}_{engine}_{what}": round(median(run[what] for run in told), 3) for what in ("s", "cpu_s")
            }
            figures[f"{shape}_{engine}_mb"] = round(max(run["mb"] for run in told))
        few = [apart("ours", shape, root, sites, FEW_DAYS, folder / "few.parquet") for _ in range(rounds)]
        figures[f"{shape}_ours_{FEW_DAYS}_days_mb"] = round(max(run["mb"] for run in few))
        beside = [max(run["mb"] - run["answer_mb"] for run in told) for told in (runs["ours"], few)]
        figures[f"{shape}_memory_growth"] = round(beside[0] / beside[1], 3)
    return figures


def hot(dsn: str, root: LakeRoot, sites: int, asked: argparse.Namespace) -> dict[str, Any]:
    """What Postgres holds: some of a day's ticks; stored, asked for, exported."""
    chosen = max(min(sites, asked.postgres // (REGIONS * SLOTS)), 1)
    day = pl.concat(day_of_ticks(START, sites)).filter(pl.col("site_id") <= chosen)
    _ingest.declare(dsn, chosen, START - DAY)
    with _connected(dsn) as connection:
        figures: dict[str, Any] = {"postgres_ticks": day.height}
        figures |= _ingest.ingest(connection, day.sort("scheduled_at"), asked.batches)
        figures |= _ingest.hot_bytes(connection)
        for shape in SHAPES:
            began = time.perf_counter()
            rival = of_postgres(connection, shape)
            figures[f"{shape}_postgres_s"] = round(time.perf_counter() - began, 3)
            mine = ours(root, shape, sites, 1).filter(
                pl.col("site").cast(pl.String).is_in([f"site-{n}" for n in range(1, chosen + 1)])
            )
            figures[f"{shape}_equals_postgres"] = same(mine, rival, shape, sites)
    for form in ("csv", "parquet"):
        half, whole = (_exported(dsn, form, hours) for hours in (12, 24))
        figures |= {f"{form}_rows_s": whole["rows_s"], f"{form}_mb": whole["mb"], f"{form}_half_mb": half["mb"]}
    return figures


def _exported(dsn: str, form: str, hours: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--export", dsn, form, str(hours), str(Path(folder) / f"out.{form}")]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def exporting(dsn: str, form: str, hours: str, out: str) -> dict[str, Any]:
    """An export in a process that does nothing else."""
    with Workbench(dsn, clock=lambda: START + DAY) as bench:
        began = time.perf_counter()
        until = START + timedelta(hours=int(hours))
        rows = export(bench, Path(out), format="csv" if form == "csv" else "parquet", since=START, until=until)
        took = time.perf_counter() - began
    return {"rows_s": round(rows / took), "mb": round(peak_mb())}


def bars(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """What must hold. Speed as ratios, since hosts differ."""
    least = {
        "hour shape, speed as a multiple of DuckDB's": (figures["hour_duckdb_s"] / figures["hour_ours_s"], 0.7),
        "day shape, speed as a multiple of DuckDB's": (figures["day_duckdb_s"] / figures["day_ours_s"], 1.0),
        "ingest by the recorder, as a share of a bare COPY": (
            figures["recorder_rows_s"] / figures["bare_rows_s"],
            0.2,
        ),
        "ingest in bulk, as a share of a bare COPY": (figures["bulk_rows_s"] / figures["bare_rows_s"], 0.2),
    }
    unequal = sum(not figures[f"{shape}_equals_{rival}"] for shape in SHAPES for rival in ("duckdb", "postgres"))
    most = {
        "answers that differ from DuckDB's or Postgres'": (unequal, 0),
        "memory of exact quantiles, MB": (max(figures[f"{shape}_ours_mb"] for shape in SHAPES), 2048),
        f"their memory beside the answer, {DAYS} days as a multiple of {FEW_DAYS}": (
            max(figures[f"{shape}_memory_growth"] for shape in SHAPES),
            1.2,
        ),
        "roll-up of the last five minutes, in the middle of an hour, ms": (figures["roll_middle_ms"], 150),
        "rows that differ from a recomputation": (figures["rollup_differences"], 0),
        **{f"queries of the page {name}, ms": (told["ms"], 200) for name, told in figures["pages"].items()},
        "bytes a tick in the lake": (figures["cold_bytes_a_tick"], 12),
        "memory of an export as a multiple of one half as long": (
            max(figures[f"{form}_mb"] / figures[f"{form}_half_mb"] for form in ("csv", "parquet")),
            1.3,
        ),
    }
    return [
        *(
            {"name": name, "value": round(v, 3), "limit": limit, "holds": v >= limit}
            for name, (v, limit) in least.items()
        ),
        *(
            {"name": name, "value": round(v, 3), "limit": limit, "holds": v <= limit}
            for name, (v, limit) in most.items()
        ),
    ]


def _connected(dsn: str) -> psycopg.Connection:
    return psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC")


def _number(text: str) -> int:
    return int(float(text.removesuffix("M")) * (1_000_000 if text.endswith("M") else 1))


if __name__ == "__main__":
    main()
