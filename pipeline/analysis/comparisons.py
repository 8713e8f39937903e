"""One against the other: how far their latencies differ, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.analysis import histograms
from pipeline.answers import COMPARED
from pipeline.frames import ROLLUPS, TICKS, check, schema
from pipeline.vocabulary import State

QUANTILES = (0.5, 0.9, 0.95, 0.99)
DRAWS = 1000
LEAST_BLOCKS = 5  # of fewer, what a bootstrap says is no interval
DAYS_FROM = timedelta(days=7)  # as long as this, blocks are days; shorter, six hours
SHORT = timedelta(hours=6)
SEED = 2014
Whole = NDArray[np.int64]


def compare(
    left: pl.DataFrame,
    right: pl.DataFrame,
    qs: Sequence[float] = QUANTILES,
    *,
    block: timedelta | None = None,
    draws: int = DRAWS,
    seed: int = SEED,
) -> pl.DataFrame:
    """Frame COMPARED: one row a quantile, right against left, with 95 % intervals of difference and ratio.

    Frames ROLLUPS (at, buckets, counts) or TICKS of the two sides: two sites, two regions, before and after. Latencies
    of one time resemble each other, so whole blocks of time are drawn (Carlstein, "The use of subseries values for
    estimating the variance of a general statistic from a stationary sequence", Annals of Statistics 1986): days, or
    six hours where either side is shorter than a week. Where both sides are of the same blocks, these are drawn for
    both alike, so that what they have in common cancels out. The seed is fixed: the same frames, the same answer.
    """
    sides = [_histograms(frame) for frame in (left, right)]
    size = block or (timedelta(days=1) if min(map(_reach, sides)) >= DAYS_FROM else SHORT)
    cut = [histograms.merge(side.with_columns(pl.col("at").dt.truncate(size)), ["at"]) for side in sides]
    counts = [_matrix(side, *_bounds(cut)) for side in cut]
    blocks = min(len(each) for each in counts)
    drawn = _drawn(counts, cut[0]["at"].equals(cut[1]["at"]), draws, seed) if blocks >= LEAST_BLOCKS else None
    first = _bounds(cut)[0]
    rows = [_row(q, counts, drawn, first, blocks) for q in qs]
    return pl.DataFrame(rows, schema=schema(COMPARED), orient="row")


def _histograms(frame: pl.DataFrame) -> pl.DataFrame:
    """[at, buckets, counts] of rollups, or of ticks by hour."""
    if "buckets" in frame.columns:
        return check(frame, ROLLUPS, needs=("at", "buckets")).select("at", "buckets", "counts")
    check(frame, TICKS, needs=("scheduled_at", "state", "latency_ms", "trusted", "final"))
    answered = pl.col("state").is_in([State.UP.value, State.DEGRADED.value]) & pl.col("trusted") & pl.col("final")
    hours = frame.filter(answered).with_columns(at=pl.col("scheduled_at").dt.truncate("1h"))
    return histograms.build(hours, ["at"])


def _reach(side: pl.DataFrame) -> timedelta:
    first, last = side["at"].min(), side["at"].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return timedelta()
    return last - first + timedelta(hours=1)


def _bounds(cut: list[pl.DataFrame]) -> tuple[int, int]:
    """The lowest and the highest bucket of all."""
    found = pl.concat([side["buckets"].explode(empty_as_null=False) for side in cut])
    low, high = found.min(), found.max()
    return (low, high) if isinstance(low, int) and isinstance(high, int) else (0, 0)


def _matrix(side: pl.DataFrame, first: int, last: int) -> Whole:
    """Blocks x buckets."""
    matrix = np.zeros((side.height, last - first + 1), dtype=np.int64)
    flat = side.with_row_index("row").explode("buckets", "counts", empty_as_null=False, keep_nulls=False)
    matrix[flat["row"].to_numpy(), flat["buckets"].to_numpy().astype(np.int64) - first] = flat["counts"].to_numpy()
    return matrix


def _drawn(counts: list[Whole], paired: bool, draws: int, seed: int) -> list[Whole]:
    """For each side: draws x buckets, counts summed up to each bucket."""
    random = np.random.default_rng(seed)
    weights = [random.multinomial(len(each), np.full(len(each), 1 / len(each)), size=draws) for each in counts]
    if paired:
        weights[1] = weights[0]
    return [(weight @ each).cumsum(axis=1) for weight, each in zip(weights, counts, strict=True)]


def _row(q: float, counts: list[Whole], drawn: list[Whole] | None, first: int, blocks: int) -> tuple[Any, ...]:
    totals = [int(each.sum()) for each in counts]
    if not all(totals):
        return (q, *[None] * 8, *totals, blocks)
    ms = [_quantile(each.sum(axis=0).cumsum()[None, :], q, first)[0] for each in counts]
    ends: list[float | None] = [None] * 4
    if drawn is not None:
        values = [_quantile(each, q, first) for each in drawn]
        ends = [
            float(end)
            for apart in (values[1] - values[0], values[1] / values[0])
            for end in np.quantile(apart, [0.025, 0.975])
        ]
    return (q, *ms, ms[1] - ms[0], *ends[:2], ms[1] / ms[0], *ends[2:], *totals, blocks)


def _quantile(running: Whole, q: float, first: int) -> NDArray[np.float64]:
    """The representative of the bucket that holds the quantile, row by row, as `histograms.with_quantiles` has it."""
    total = running[:, -1]
    rank = np.maximum(1, np.ceil(q * total - histograms.SLACK)).astype(np.int64)
    place = (running >= rank[:, None]).argmax(axis=1) + first
    values: NDArray[np.float64] = np.exp2(place / histograms.PER_DOUBLING) * (2 / (histograms.GAMMA + 1))
    return values
