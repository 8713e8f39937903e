"""Latency distributions as log buckets that merge exactly, in any order.

A latency of x ms falls into `bucket = ceil(log(x) / log g)` with g = 2^(1/32), so bucket b holds (g^(b-1), g^b].
Whatever is in it lies within alpha = (g - 1) / (g + 1) = 1.083 % of its representative 2 g^b / (g + 1), and so does
every quantile. The mapping is that of DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile
sketch with relative-error guarantees", VLDB 2019, section 2); this g is the standard schema 5 of Prometheus native
histograms, so that an export is exact.

A histogram is two list columns of equal length, `buckets` in ascending order and `counts`. Counts are stored with
32 bits and summed with 64: a 32-bit sum overflows in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, log2

import polars as pl

PER_DOUBLING = 32
GAMMA = 2 ** (1 / PER_DOUBLING)
ALPHA = (GAMMA - 1) / (GAMMA + 1)
LOWEST_MS = 0.01  # nothing faster can be told apart; it shares the lowest bucket
LOWEST = ceil(PER_DOUBLING * log2(LOWEST_MS))
# log(x) / log(2) misses whole numbers by some 1e-14. A 32-bit latency is never this near a bound without being on it.
SLACK = 1e-9
QUANTILES = {"p50_ms": 0.50, "p90_ms": 0.90, "p95_ms": 0.95, "p99_ms": 0.99}


def bucket(ms: pl.Expr) -> pl.Expr:
    """The bucket number (Int16) of a latency in ms: ceil(32 log2(ms)), at least `LOWEST`."""
    exact = ms.cast(pl.Float64).clip(lower_bound=LOWEST_MS).log(2.0) * PER_DOUBLING
    return (exact - SLACK).ceil().cast(pl.Int16)


def value(bucket: pl.Expr) -> pl.Expr:
    """The representative in ms (Float32) of a bucket: 2 g^b / (g + 1), within alpha of everything in it."""
    power = (bucket.cast(pl.Float64) / PER_DOUBLING * pl.lit(2.0).log()).exp()
    return (power * (2 / (GAMMA + 1))).cast(pl.Float32)


def build(frame: pl.DataFrame, by: Sequence[str], ms: str = "latency_ms") -> pl.DataFrame:
    """Histograms of the column `ms` by the columns `by`: [*by, buckets, counts]. Null and NaN are not counted."""
    counted = frame.filter(pl.col(ms).is_finite()).group_by(*by, buckets=bucket(pl.col(ms)))
    return _listed(counted.agg(counts=pl.len().cast(pl.Int64)), by)


def merge(frame: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """The histograms of `frame` added up by the columns `by`: [*by, buckets, counts], without empty groups."""
    flat = frame.select(*by, "buckets", pl.col("counts").cast(pl.List(pl.Int64))).explode(
        "buckets", "counts", empty_as_null=False, keep_nulls=False
    )
    return _listed(flat.group_by(*by, "buckets").agg(pl.col("counts").sum()), by)


def _listed(flat: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    return flat.sort(*by, "buckets").group_by(*by, maintain_order=True).agg("buckets", "counts")


def with_quantiles(frame: pl.DataFrame, quantiles: Mapping[str, float] = QUANTILES) -> pl.DataFrame:
    """The frame with a column (Float32, ms) for each quantile, by name; null where a histogram is empty.

    The quantile q of n values is the representative of the bucket that holds the ceil(q n)-th smallest: the first
    one that at least the share q does not exceed. Never interpolated, so within alpha of a latency that was measured.
    """
    counts = pl.col("counts")
    sizes = frame.select(length=counts.list.len(), total=counts.cast(pl.List(pl.Int64)).list.sum())
    flat = frame.select(pl.col("buckets").explode(empty_as_null=False, keep_nulls=False)).to_series()
    running = (
        frame.select(counts.cast(pl.List(pl.Int64)).explode(empty_as_null=False, keep_nulls=False))
        .to_series()
        .cum_sum()
    )
    total = pl.col("total").cast(pl.Int64)
    before = total.cum_sum() - total
    found = []
    for name, q in quantiles.items():
        # One search over the running sum of all histograms laid end to end: no work by group.
        rank = (q * total - SLACK).ceil().cast(pl.Int64).clip(lower_bound=1) - 1
        place = running.search_sorted(sizes.select(before + rank).to_series(), side="right")
        inside = sizes.select(pl.when(pl.col("total") > 0).then(pl.lit(place))).to_series()
        found.append(value(pl.lit(flat.gather(inside))).alias(name))
    return frame.with_columns(found)
