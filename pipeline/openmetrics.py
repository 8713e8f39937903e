"""Hourly latency histograms as OpenMetrics 2.0 text: Prometheus native histograms, bucket for bucket ours.

Our buckets are those of the standard schema 5, of milliseconds: in seconds they would be others. As Prometheus wants
a histogram to be, it grows: a sample stands at the end of its hour and holds the series' latencies since the export's
beginning, so that `increase()` over an hour is that hour's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import polars as pl
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import ALLOWUTF8, generate_latest
from prometheus_client.registry import CollectorRegistry
from prometheus_client.samples import BucketSpan, NativeHistogram, Sample, Timestamp

from pipeline.analysis import histograms
from pipeline.frames import ROLLUPS, check

NAME = "betterstack_latency_milliseconds"
SCHEMA = 5
NEEDS = ("at", "site", "region", "buckets", "counts")
END = "# EOF\n"
_ABOUT = "Latency of trusted checks that were up or degraded; the sum is that of the buckets' middles."
_HOUR_S = 3600


class _Once:
    """A registry of one metric."""

    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


def exposition(rollups: pl.DataFrame, *, first: bool) -> str:
    """Lines of frame ROLLUPS by hour, site and region, without the last one (`END`); with `first` also the head.

    Whole series, each in the order of time: so the format wants it. Hours without a latency have no line.
    """
    check(rollups, ROLLUPS, needs=NEEDS)
    metric = Metric(NAME, _ABOUT, "histogram")
    metric.samples = list(_samples(rollups.filter(pl.col("counts").list.len() > 0)))
    registry = CollectorRegistry()
    registry.register(_Once(metric))
    whole: bytes = generate_latest(registry, escaping=ALLOWUTF8, version="2.0.0")  # type: ignore[no-untyped-call]
    text = whole.decode().removesuffix(END)
    return text if first else "".join(line for line in text.splitlines(keepends=True) if not line.startswith("#"))


def _samples(measured: pl.DataFrame) -> Iterator[Sample]:
    running: dict[tuple[str, str], Counter[int]] = {}
    sums: dict[tuple[str, str], float] = {}
    rows = measured.select(NEEDS).iter_rows()
    for (at, site, region, buckets, counts), total in zip(rows, _sums(measured), strict=True):
        series = running.setdefault((site, region), Counter())
        series.update(dict(zip(buckets, counts, strict=True)))
        sums[site, region] = sums.get((site, region), 0.0) + total
        ordered = sorted(series)
        spans, deltas = spans_of(ordered, [series[bucket] for bucket in ordered])
        so_far = round(sums[site, region], 3)
        found = NativeHistogram(series.total(), so_far, SCHEMA, 0.0, 0, pos_spans=spans, pos_deltas=deltas)
        labels = {"site": site, "region": region}
        yield Sample(NAME, labels, 0.0, Timestamp(at.timestamp() + _HOUR_S, 0), None, found)


def spans_of(buckets: list[int], counts: list[int]) -> tuple[list[BucketSpan], list[int]]:
    """Runs of buckets (offset from the end of the run before, length), and each count less the one before it."""
    spans: list[BucketSpan] = []
    after = 0
    for bucket in buckets:
        if spans and bucket == after:
            spans[-1] = BucketSpan(spans[-1].offset, spans[-1].length + 1)
        else:
            spans.append(BucketSpan(bucket - after, 1))
        after = bucket + 1
    return spans, [count - before for count, before in zip(counts, [0, *counts], strict=False)]


def _sums(rollups: pl.DataFrame) -> list[float]:
    numbered = rollups.select("buckets", "counts").with_row_index("row")
    flat = numbered.explode("buckets", "counts", empty_as_null=False, keep_nulls=False)
    weight = histograms.value(pl.col("buckets")).cast(pl.Float64) * pl.col("counts")
    return flat.group_by("row").agg(weight.sum().round(3).alias("sum")).sort("row")["sum"].to_list()
