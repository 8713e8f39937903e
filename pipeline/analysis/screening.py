"""Which of thousands of series are worth a look by the hour: a quick test of their daily medians."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import log

import polars as pl

from pipeline.analysis.outliers import FINEST
from pipeline.frames import TIME

LEAST_DAYS = 2  # before a change
LEAST_RATIO = 1.03  # a day's median is less than the change of its last hours
LEAST_SCORE = 2.0


def screened(days: pl.DataFrame, by: Sequence[str], *, since: datetime, most: int) -> pl.DataFrame:
    """[*by, score]: the series whose days differ the most before and after some day from `since` on, the best first.

    `days`: [*by, at, p50_ms], a row a day, null where nothing was measured. The score is the largest t of two means of
    log-latency over all such days, their common deviation at least half a bucket. It is no test: `changes` decides, of
    the hours of those that are named here. A series that shifts for less than half a day may be missed.
    """
    ms = pl.col("p50_ms").cast(pl.Float64)
    logs = days.filter(ms > 0).with_columns(x=ms.log()).sort(*by, "at")
    left, count = pl.int_range(1, pl.len() + 1).over(by).cast(pl.Float64), pl.len().over(by).cast(pl.Float64)
    summed = logs.select(
        *by,
        "at",
        left=left - 1,
        right=count - left + 1,
        low=pl.col("x").cum_sum().over(by) - pl.col("x"),
        all=pl.col("x").sum().over(by),
        squares=(pl.col("x") ** 2).sum().over(by),
    )
    places = summed.filter((pl.col("left") >= LEAST_DAYS) & (pl.col("at") >= pl.lit(since, TIME)))
    low, high = pl.col("low") / pl.col("left"), (pl.col("all") - pl.col("low")) / pl.col("right")
    inside = pl.col("squares") - pl.col("left") * low**2 - pl.col("right") * high**2
    freedom = (pl.col("left") + pl.col("right") - 2).clip(lower_bound=1)
    deviation = (inside / freedom).clip(lower_bound=FINEST**2)
    t = (high - low).abs() / (deviation * (1 / pl.col("left") + 1 / pl.col("right"))).sqrt()
    scored = places.with_columns(score=t).filter((high - low).abs() >= log(LEAST_RATIO), pl.col("score") >= LEAST_SCORE)
    best = scored.group_by(by).agg(pl.col("score").max())
    return best.sort("score", *by, descending=[True, *[False] * len(by)]).head(most)
