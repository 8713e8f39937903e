"""Apdex: one number for how satisfied people are who wait up to T, tolerate up to 4T, and leave after.

    apdex = (satisfied + tolerating / 2) / checks

Failures are frustrated, however fast they were (Apdex Alliance, "Application Performance Index: Technical
Specification", version 1.1, 2007). Checks that nobody can speak for, or whose latency does not count, are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log2

import polars as pl

from pipeline.analysis.histograms import PER_DOUBLING, SLACK
from pipeline.analysis.spans import NEEDS, attempts, slots
from pipeline.answers import APDEX
from pipeline.errors import InvalidInputError, Problem
from pipeline.frames import ROLLUPS, TICKS, check, schema
from pipeline.vocabulary import State

TOLERATED = 4  # times T; two doublings, so that both bounds lie in a bucket alike
_ANSWERED = (State.UP.value, State.DEGRADED.value)


def apdex(frame: pl.DataFrame, target_ms: float, by: Sequence[str] = ()) -> pl.DataFrame:
    """[*by, …] with the columns of frame APDEX, sorted by `by`: of frame TICKS exactly, of ROLLUPS from histograms.

    A histogram knows T to its bucket, 2.2 % wide: what lies in the bucket of T (or 4T) counts as within, `low` is the
    apdex if it was all beyond, and `high` is the apdex itself; of ticks all three are the same. Errors:
    InvalidInputError.
    """
    if not target_ms > 0:
        raise InvalidInputError([Problem("target_ms", f"{target_ms:g} is no time to wait: write milliseconds above 0")])
    counted = _of_ticks(frame, target_ms, by) if "state" in frame.columns else _of_rollups(frame, target_ms, by)
    sums = counted.group_by(*by).agg(pl.all().exclude(by).sum()).sort(*by) if by else counted.sum()
    whole = pl.col("within") + pl.col("tolerated") + pl.col("beyond") + pl.col("failed")
    satisfied, tolerating = pl.col("within"), pl.col("tolerated")
    lowered = pl.col("in_first") / 2 + pl.col("in_second") / 2
    score = satisfied + tolerating / 2
    return sums.select(
        *by,
        apdex=pl.when(whole > 0).then(score / whole),
        low=pl.when(whole > 0).then((score - lowered) / whole),
        high=pl.when(whole > 0).then(score / whole),
        checks=whole,
        satisfied=satisfied,
        tolerating=tolerating,
        frustrated=pl.col("beyond") + pl.col("failed"),
        failed="failed",
    ).cast(schema(APDEX))


def _of_ticks(ticks: pl.DataFrame, target_ms: float, by: Sequence[str]) -> pl.DataFrame:
    check(ticks, TICKS, needs=(*NEEDS, "latency_ms", "trusted"))
    settled = slots(attempts(ticks))
    answered = pl.col("state").is_in(_ANSWERED) & pl.col("trusted") & pl.col("latency_ms").is_finite()
    ms = pl.col("latency_ms").cast(pl.Float64)
    within = [ms <= target_ms, (ms > target_ms) & (ms <= TOLERATED * target_ms), ms > TOLERATED * target_ms]
    return settled.select(
        *by,
        **{
            name: (answered & each).fill_null(value=False).cast(pl.Int64)
            for name, each in zip(("within", "tolerated", "beyond"), within, strict=True)
        },
        failed=(pl.col("state") == pl.lit(State.DOWN.value, ticks.schema["state"])).cast(pl.Int64),
        in_first=pl.lit(0, pl.Int64),
        in_second=pl.lit(0, pl.Int64),
    )


def _of_rollups(rollups: pl.DataFrame, target_ms: float, by: Sequence[str]) -> pl.DataFrame:
    check(rollups, ROLLUPS, needs=("buckets", "counts", "down"))
    exact = PER_DOUBLING * log2(target_ms)
    first = ceil(exact - SLACK)
    second = first + 2 * PER_DOUBLING
    # Where T is the upper bound of its bucket, all of that bucket is within.
    split = first - exact > SLACK
    flat = rollups.select(*by, "buckets", "counts", "down").with_row_index("_row")
    taken = flat.explode("buckets", "counts", empty_as_null=False, keep_nulls=False)
    bucket, count = pl.col("buckets"), pl.col("counts").cast(pl.Int64)
    sums = taken.group_by("_row").agg(
        within=count.filter(bucket <= first).sum(),
        tolerated=count.filter((bucket > first) & (bucket <= second)).sum(),
        beyond=count.filter(bucket > second).sum(),
        in_first=count.filter((bucket == first) & split).sum(),
        in_second=count.filter((bucket == second) & split).sum(),
    )
    joined = flat.join(sums, on="_row", how="left")
    numbers = ("within", "tolerated", "beyond", "in_first", "in_second")
    return joined.select(*by, *(pl.col(name).fill_null(0) for name in numbers), failed=pl.col("down").cast(pl.Int64))
