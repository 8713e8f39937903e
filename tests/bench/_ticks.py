"""Days of ticks out of a seed, as the store keeps them: what benches put into Postgres, into a lake, into a rival.

Series are checked every 60 s from five regions, with phases in microseconds as they are recorded. Some checks fail and
are tried again, some hours are bad, some probers were too busy to be trusted, a few slots nobody can speak for.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np
import polars as pl

from pipeline.frames import TIME
from pipeline.lake.day import TickFile
from pipeline.lake.files import LakeRoot, of_day
from pipeline.lake.ticks import KEY, packed
from pipeline.store.ticks import CLOCKS, COLUMNS, KINDS, SOURCES
from pipeline.vocabulary import OUTCOME_CODES, Clock, Kind, Outcome, Source
from pipeline.wanted import Names

REGIONS, INTERVAL_S = 5, 60
SLOTS = 86_400 // INTERVAL_S
PHASES = ("dns", "connect", "tls", "ttfb", "transfer")
AT_ONCE = 500  # series in memory while a day is made

_TYPES = {"timestamptz": TIME, "int4": pl.Int32(), "int2": pl.Int16(), "float4": pl.Float32()}
STORED = pl.Schema(
    {name: {**_TYPES, "bool": pl.Boolean(), "text": pl.String()}[kind] for name, kind in COLUMNS.items()}
)


def day_of_ticks(day: datetime, sites: int) -> Iterator[pl.DataFrame]:
    """The ticks of a UTC day in pieces, sorted by site, region, slot, attempt: as `store_frame` takes them."""
    random = np.random.default_rng([day.toordinal(), sites])
    step = max(AT_ONCE // REGIONS, 1)
    for first in range(1, sites + 1, step):
        yield _some(day, np.arange(first, min(first + step, sites + 1)), random)


def write_day(root: LakeRoot, day: datetime, sites: int) -> int:
    """The same into a lake, as the roller would; returns how many."""
    names = names_of(sites)
    with root.writing(of_day(day.date())) as sink, TickFile(sink) as file:
        for ticks in day_of_ticks(day, sites):
            file.write(packed(ticks, names))
    root.publish(of_day(day.date()))
    return file.seen.rows


def names_of(sites: int) -> Names:
    return Names(
        {n: f"site-{n}" for n in range(1, sites + 1)}, {region: f"region-{region}" for region in range(1, REGIONS + 1)}
    )


def _some(day: datetime, sites: np.ndarray, random: np.random.Generator) -> pl.DataFrame:
    site = np.repeat(sites, REGIONS * SLOTS)
    region = np.tile(np.repeat(np.arange(1, REGIONS + 1), SLOTS), len(sites))
    slot = np.tile(np.arange(SLOTS), len(sites) * REGIONS)
    height = len(site)
    base = 8 + 23 * region + site % 17
    ms = {
        "dns": 0.6 * np.exp(0.4 * random.standard_normal(height)),
        "connect": base * np.exp(0.02 * random.standard_normal(height)),
        "tls": 1.5 + 1.1 * base * np.exp(0.02 * random.standard_normal(height)),
        "ttfb": base + 15 * np.exp(0.3 * random.standard_normal(height)),
        "transfer": 0.3 * np.exp(0.4 * random.standard_normal(height)),
    }
    us = {name: np.round(each * 1000).astype(np.int64) for name, each in ms.items()}
    bad = (site * 31 + region * 7 + slot // 60 + day.toordinal()) % 199 == 0
    dice = random.random(height)
    outcome = np.select(
        [dice < 0.002, bad & (dice < 0.4), dice < 0.012, dice > 0.9995],
        [OUTCOME_CODES[each] for each in (Outcome.STATUS, Outcome.STATUS, Outcome.SLOW, Outcome.WORKER_LOST)],
        OUTCOME_CODES[Outcome.OK],
    )
    scheduled_us = (slot * INTERVAL_S + (site * 7 + region) % INTERVAL_S) * 1_000_000
    late_us = np.exp(1 + 0.5 * random.standard_normal(height)) * 1000
    start = pl.lit(day, TIME)
    frame = pl.DataFrame(
        {
            "scheduled_at": scheduled_us,
            "started_at": scheduled_us + late_us.astype(np.int64),
            "site_id": site,
            "region_id": region,
            "bytes": 500 + 37 * site + (random.random(height) * 2).astype(np.int64),
            **{f"{name}_ms": each / 1000 for name, each in us.items()},
            "latency_ms": np.sum(list(us.values()), axis=0) / 1000,
            "error_ms": 0.02 + slot % 11 * 0.001,
            "outcome": outcome,
            "trusted": random.random(height) > 0.001,
            "ip": site % 80 + (random.random(height) * 2).astype(np.int64),
        }
    ).with_columns(
        *((start + pl.duration(microseconds=name)).alias(name) for name in ("scheduled_at", "started_at")),
        interval_s=INTERVAL_S,
        revision=1,
        attempt=pl.lit(0),
        status=pl.when(outcome=OUTCOME_CODES[Outcome.STATUS]).then(503).otherwise(200),
        kind=KINDS[Kind.SCHEDULED],
        clock=CLOCKS[Clock.KERNEL],
        source=SOURCES[Source.PROBER],
        final=pl.lit(value=True),
        prober=pl.format("prober-{}", "region_id"),
        ip=pl.format("192.0.2.{}", "ip"),
        detail=pl.lit(None, pl.String),
    )
    return _tried_again(frame.select(list(COLUMNS)).cast(STORED))


def _tried_again(ticks: pl.DataFrame) -> pl.DataFrame:
    """Failures have an attempt before the one that settles them."""
    failed = pl.col("outcome") == OUTCOME_CODES[Outcome.STATUS]
    first = ticks.filter(failed).with_columns(final=pl.lit(value=False))
    last = ticks.with_columns(attempt=failed.cast(pl.Int16))
    return pl.concat([last, first]).sort(KEY)
