"""Exact p50/p95/p99 and uptime, by site, region and hour and by site and day: ours, DuckDB, Postgres, the same answer.

`python tests/bench/_exact.py ENGINE SHAPE LAKE SITES DAYS OUT`: one engine, one shape, in a process that does nothing
else; the rows go to OUT, what it took is printed. Each rival has the fastest SQL that was found for it: DuckDB divides
microseconds, since truncating times with a zone takes it twice as long, and groups by numbers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import psycopg

from pipeline.frames import TIME
from pipeline.lake.exact import exact_in
from pipeline.lake.files import LakeRoot, of_day
from pipeline.lake.ticks import rows_of
from pipeline.store.ticks import KINDS
from pipeline.vocabulary import OUTCOME_CODES, STATE_OF, Kind, State
from tests.bench._ticks import names_of

START = datetime(2026, 3, 1, tzinfo=UTC)
SHAPES: dict[str, tuple[str, list[str]]] = {"hour": ("1h", ["site", "region"]), "day": ("1d", ["site"])}
SECONDS = {"1h": 3_600, "1d": 86_400}
COLUMNS = ("checks", "up", "degraded", "down", "unknown", "measured", "p50_ms", "p95_ms", "p99_ms")

_DUCKDB = """
    select epoch_us(scheduled_at) // {us} as slot, {keys}, count(*) as checks, count_if(state = 'up') as up,
        count_if(state = 'degraded') as degraded, count_if(state = 'down') as down,
        count_if(state = 'unknown') as unknown, count(latency_us) filter ({counts}) as measured,
        quantile_disc(latency_us, [0.5, 0.95, 0.99]) filter ({counts}) as quantiles
    from read_parquet({files}) where final and kind = 'scheduled' group by all
"""
_POSTGRES = """
    select {slot}::int8 as slot, {keys}, count(*) as checks, count(*) filter (where outcome = {ok}) as up,
        count(*) filter (where outcome = any('{{{slow}}}')) as degraded,
        count(*) filter (where outcome = any('{{{down}}}')) as down,
        count(*) filter (where outcome = any('{{{unknown}}}')) as unknown,
        count(latency_ms) filter (where {counts}) as measured,
        percentile_disc(array[0.5, 0.95, 0.99]) within group (order by latency_ms) filter (where {counts})
    from ticks where final and kind = {scheduled} group by 1, {keys}
"""


def ours(root: LakeRoot, shape: str, sites: int, days: int) -> pl.DataFrame:
    every, by = SHAPES[shape]
    files = [rows_of(root, of_day((START + timedelta(days=n)).date())) for n in range(days)]
    return exact_in(root, files, every, by, names_of(sites))


def of_duckdb(root: LakeRoot, shape: str, days: int) -> pl.DataFrame:
    import duckdb

    every, by = SHAPES[shape]
    query = _DUCKDB.format(
        us=SECONDS[every] * 1_000_000,
        keys=", ".join(f"{name}_id" for name in by),
        counts="where trusted and state in ('up', 'degraded')",
        files=[root.path(of_day((START + timedelta(days=n)).date())) for n in range(days)],
    )
    with duckdb.connect() as connection:
        found = pl.from_arrow(connection.sql(query).to_arrow_table())
    assert isinstance(found, pl.DataFrame)
    quantiles = [
        (pl.col("quantiles").list.get(place) / 1000).cast(pl.Float32).alias(name)
        for place, name in enumerate(COLUMNS[-3:])
    ]
    return found.with_columns(quantiles).drop("quantiles")


def of_postgres(connection: psycopg.Connection, shape: str) -> pl.DataFrame:
    every, by = SHAPES[shape]
    codes = {
        state: ",".join(str(OUTCOME_CODES[outcome]) for outcome, of in STATE_OF.items() if of is state)
        for state in State
    }
    query = _POSTGRES.format(
        slot=f"div(extract(epoch from scheduled_at), {SECONDS[every]})",
        keys=", ".join(f"{name}_id" for name in by),
        ok=codes[State.UP],
        slow=codes[State.DEGRADED],
        down=codes[State.DOWN],
        unknown=codes[State.UNKNOWN],
        counts=f"trusted and outcome = any('{{{codes[State.UP]},{codes[State.DEGRADED]}}}')",
        scheduled=KINDS[Kind.SCHEDULED],
    )
    rows = connection.execute(query.encode()).fetchall()
    names = ["slot", *(f"{name}_id" for name in by), *COLUMNS[:-3], "quantiles"]
    frame = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    lists = pl.col("quantiles").cast(pl.List(pl.Float64))
    return frame.with_columns(lists.list.get(place).alias(name) for place, name in enumerate(COLUMNS[-3:]))


def same(found: pl.DataFrame, rival: pl.DataFrame, shape: str, sites: int) -> bool:
    """Whether a rival found the very same; its columns are slot, site_id, region_id, `COLUMNS`."""
    every, by = SHAPES[shape]
    names = names_of(sites)
    at = (pl.col("slot") * (SECONDS[every] * 1_000_000)).cast(pl.Int64).cast(TIME)
    keys = {"site": names.site(), "region": names.region()}
    other = rival.select(at.alias("at"), *(keys[name].cast(pl.String) for name in by), *_numbers()).sort("at", *by)
    mine = found.select("at", *(pl.col(name).cast(pl.String) for name in by), *_numbers()).sort("at", *by)
    return mine.equals(other)


def _numbers() -> list[pl.Expr]:
    whole = [pl.col(name).cast(pl.Int64) for name in COLUMNS[:-3]]
    return [*whole, *(pl.col(name).cast(pl.Float32) for name in COLUMNS[-3:])]


def apart(engine: str, shape: str, root: LakeRoot, sites: int, days: int, out: Path) -> dict[str, float]:
    """What `main` prints: seconds by the clock and of CPU, the peak of memory and the size of the answer in MB."""
    command = [sys.executable, __file__, engine, shape, str(root), str(sites), str(days), str(out)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    told: dict[str, float] = json.loads(done.stdout)
    return told


def peak_mb() -> float:
    """Of this process: what `getrusage` says may be its parent's."""
    [line] = [each for each in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if "VmHWM" in each]
    return float(line.split()[1]) / 1024


def main(engine: str, shape: str, lake: str, sites: str, days: str, out: str) -> None:
    root = LakeRoot.of(lake)
    if engine == "duckdb":
        import duckdb  # noqa: F401 - no engine is charged for being loaded
    began, spent = time.perf_counter(), time.process_time()
    found = ours(root, shape, int(sites), int(days)) if engine == "ours" else of_duckdb(root, shape, int(days))
    took = {"s": time.perf_counter() - began, "cpu_s": time.process_time() - spent}
    told = took | {"mb": peak_mb(), "answer_mb": found.estimated_size("mb")}
    found.write_parquet(out)
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
