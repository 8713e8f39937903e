"""Hours that are unlike themselves: robust z on log-latency, against the same hour of the week."""

from __future__ import annotations

from datetime import datetime
from math import log

import polars as pl

from pipeline.analysis.histograms import GAMMA
from pipeline.analysis.rhythm import DAY, ENOUGH, SERIES, WEEK, measured
from pipeline.answers import ANOMALIES
from pipeline.frames import TIME, schema

STRANGE = 3.5  # Iglewicz and Hoaglin's own limit
FINEST = log(GAMMA) / 2  # medians come out of buckets: what differs by less cannot be told apart


def anomalies(medians: pl.DataFrame, *, least_z: float = STRANGE, since: datetime | None = None) -> pl.DataFrame:
    """Frame ANOMALIES of frame MEDIANS (or ROLLUPS by hour, site and region), the strangest first.

    z = 0.6745 (x - median) / MAD of log-latency (Iglewicz and Hoaglin, "How to detect and handle outliers", ASQC 1993),
    against the same hour of the week where there are at least four of it, else of the day, else all hours; `against`
    says which. A MAD out of a few weeks is itself chance, and may be 0: it counts as no less than the MAD of the whole
    series around its usual hours, nor than half a bucket of the histograms. Those with |z| >= `least_z`, of all hours
    or from `since` on.
    """
    hours = measured(medians).with_columns(week=WEEK, day=DAY)
    slots = {"hour of week": (*SERIES, "week"), "hour of day": (*SERIES, "day"), "all hours": SERIES}
    enough = {name: pl.len().over(by) >= ENOUGH for name, by in slots.items()}
    held = hours.with_columns(
        against=_first(enough, {name: pl.lit(name) for name in slots}),
        hours=_first(enough, {name: pl.len().over(by).cast(pl.Int32) for name, by in slots.items()}),
        usual=_first(enough, {name: pl.col("log").median().over(by) for name, by in slots.items()}),
    ).with_columns(off=pl.col("log") - pl.col("usual"))
    near = pl.col("off").abs()
    scaled = held.with_columns(
        mad=_first(enough, {name: near.median().over(by) for name, by in slots.items()}),
        least=near.median().over(SERIES),
    )
    z = 0.6745 * pl.col("off") / pl.max_horizontal("mad", "least", pl.lit(FINEST))
    told = scaled.with_columns(z=z, expected_ms=pl.col("usual").exp()).filter(z.abs() >= least_z)
    if since is not None:
        told = told.filter(pl.col("at") >= pl.lit(since, TIME))
    ordered = told.sort(pl.col("z").abs(), "at", descending=True, maintain_order=True)
    return ordered.select(list(ANOMALIES)).cast(schema(ANOMALIES))


def _first(enough: dict[str, pl.Expr], values: dict[str, pl.Expr]) -> pl.Expr:
    """The value by the narrowest of the slots of which there is enough; by the last one in any case."""
    *narrow, last = values
    return pl.coalesce(*(pl.when(enough[name]).then(values[name]) for name in narrow), values[last])
