"""When, and how slow: how many checks fell where, over time and log-latency. A drag picks a box of them.

ticks = up.ticks(["shop"], start="-24h").collect()
charts.heat(charts.heat_by(ticks, every=timedelta(minutes=15)))
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil
from typing import Any

import altair as alt
import polars as pl

from pipeline import frames
from pipeline.analysis import histograms
from pipeline.analysis.spans import attempts, slots
from pipeline.charts.palette import COLOURS, GUTTER, extent, layered, time_axis
from pipeline.vocabulary import State

BOX = "box"  # the name of the selection; it holds {"at": [ms, ms], "low_ms": [ms, ms]}
COLUMNS, ROWS = 110, 44  # 4 840 cells at most, and a row of failures fits in as well
INK = "#5b62d9"
HEAT = {
    "at": frames.TIME,
    "until": frames.TIME,
    "low_ms": pl.Float64(),
    "high_ms": pl.Float64(),
    "checks": pl.Int64(),
    "failed": pl.Boolean(),
}
BLANK_MS = (10.0, 1000.0)  # where nothing was measured
Picked = tuple[datetime, datetime, float, float]


def heat_by(ticks: pl.DataFrame, every: timedelta) -> pl.DataFrame:
    """Frame TICKS as `HEAT`: trusted answers by bucket and latency band, and the failed checks above the slowest."""
    tried = slots(attempts(ticks)).with_columns(at=pl.col("scheduled_at").dt.truncate(every))
    good = pl.col("state").is_in([State.UP.value, State.DEGRADED.value]) & pl.col("trusted")
    answered = tried.filter(good & pl.col("latency_ms").is_finite())
    flat = answered.group_by("at", bucket=histograms.bucket(pl.col("latency_ms"))).agg(checks=pl.len().cast(pl.Int64))
    failed = tried.filter(pl.col("state") == State.DOWN.value).group_by("at").agg(checks=pl.len().cast(pl.Int64))
    return _cells(flat, failed, every)


def heat_of(rollup: pl.DataFrame, every: timedelta) -> pl.DataFrame:
    """Frame ROLLUPS (or HOURS) of one site as `HEAT`; `every` is whole hours, or days."""
    cut = rollup.with_columns(pl.col("at").dt.truncate(every))
    flat = (
        cut.select("at", pl.col("buckets").alias("bucket"), pl.col("counts").cast(pl.List(pl.Int64)).alias("checks"))
        .explode("bucket", "checks", empty_as_null=False, keep_nulls=False)
        .group_by("at", "bucket")
        .agg(pl.col("checks").sum())
    )
    failed = cut.group_by("at").agg(checks=pl.col("down").cast(pl.Int64).sum()).filter(pl.col("checks") > 0)
    return _cells(flat, failed, every)


def width_of(since: datetime, until: datetime, least: timedelta) -> timedelta:
    """How wide a column is: whole times `least`, and no more than `COLUMNS` of them."""
    return least * max(1, ceil((until - since) / COLUMNS / least))


def failures_from(cells: pl.DataFrame) -> float:
    """The latency above which the chart shows failures: a box that reaches there has them in it."""
    top = cells.filter(~pl.col("failed"))["high_ms"].max()
    return float(top) if isinstance(top, float) else BLANK_MS[1]


def slowest_from(cells: pl.DataFrame, share: float) -> float | None:
    """The latency from which on there is at least this share of the answered checks, by whole bands; None of none."""
    bands = (
        cells.filter(~pl.col("failed")).group_by("low_ms").agg(pl.col("checks").sum()).sort("low_ms", descending=True)
    )
    slower = pl.col("checks").cum_sum() - pl.col("checks")
    slow = bands.filter(slower < share * int(bands["checks"].sum()))
    return None if slow.is_empty() else float(slow["low_ms"][-1])


def ends_of(cells: pl.DataFrame, since: datetime, until: datetime) -> Picked:
    """(since, until, where failures begin, the top) of a chart over this time."""
    top = cells["high_ms"].max()
    return since, until, failures_from(cells), float(top) if isinstance(top, float) else BLANK_MS[1]


def _cells(flat: pl.DataFrame, failed: pl.DataFrame, every: timedelta) -> pl.DataFrame:
    """Bands of as many neighbouring buckets as it takes for `ROWS` of them to hold all; failures one band above."""
    first, last = flat["bucket"].min(), flat["bucket"].max()
    if not isinstance(first, int) or not isinstance(last, int):
        low, size, top = 0, 1, BLANK_MS[1]
        tall = 2.0
    else:
        size = max(1, ceil((last - first + 1) / ROWS))
        low = first
        count = ceil((last - first + 1) / size)
        top = _edge(low + count * size - 1)
        tall = 2 ** max(0.06, count * size / histograms.PER_DOUBLING / 14)
    band = (pl.col("bucket").cast(pl.Int64) - low) // size * size + low
    power = 1 / histograms.PER_DOUBLING
    cells = (
        flat.group_by("at", band=band)
        .agg(pl.col("checks").sum())
        .with_columns(
            low_ms=pl.lit(2.0).pow((pl.col("band") - 1) * power),
            high_ms=pl.lit(2.0).pow((pl.col("band") + size - 1) * power),
            failed=pl.lit(value=False),
        )
    )
    above = failed.with_columns(low_ms=pl.lit(top), high_ms=pl.lit(top * tall), failed=pl.lit(value=True))
    parts = [part.with_columns(until=pl.col("at") + every).select(list(HEAT)).cast(HEAT) for part in (cells, above)]  # type: ignore[arg-type] # a mapping of names to types
    return pl.concat(parts).sort("at", "failed", "low_ms")


def _edge(bucket: int) -> float:
    return float(2 ** (bucket / histograms.PER_DOUBLING))


def heat(
    cells: pl.DataFrame,
    *,
    box: Picked | None = None,
    over: tuple[float, float] | None = None,
    gutter: int = GUTTER,
    height: int = 320,
) -> alt.LayerChart:
    """Time against log-latency, the stronger the more of its column's checks; failures are red, in a row above.

    `cells`: `HEAT` as `heat_by` makes it. `box` is what is picked to begin with: (since, until, low ms, high ms).
    """
    share = pl.col("checks") / pl.col("checks").sum().over("at")
    drawn = cells.with_columns(share=share, shade=share.sqrt())
    low, high = drawn["low_ms"].min(), drawn["high_ms"].max()
    ends = (low, high) if isinstance(low, float) and isinstance(high, float) else BLANK_MS
    y = alt.Y(
        "low_ms:Q",
        scale=alt.Scale(type="log", domain=list(ends), nice=False),
        axis=alt.Axis(title=None, tickCount=6, labelExpr=_LABEL, grid=False, **extent(gutter)),
    )
    x = time_axis(over=over)
    tooltip: list[Any] = [
        alt.Tooltip("at:T", title="from", format="%d %b %H:%M UTC"),
        alt.Tooltip("low_ms:Q", title="from ms", format=".1f"),
        alt.Tooltip("high_ms:Q", title="to ms", format=".1f"),
        alt.Tooltip("checks:Q", title="checks"),
        alt.Tooltip("share:Q", title="of its time", format=".1%"),
    ]
    picked = alt.selection_interval(
        name=BOX,
        encodings=["x", "y"],
        zoom=False,  # the wheel scrolls the page
        mark=alt.BrushConfig(fill=INK, fillOpacity=0.12, stroke=INK, strokeOpacity=0.9),
        **({"value": _value(box)} if box else {}),  # type: ignore[arg-type] # numbers are times
    )
    darkest = drawn["shade"].max()
    full = [0.0, darkest if isinstance(darkest, float) else 1.0]
    shade = alt.FillOpacity("shade:Q", scale=alt.Scale(domain=full, range=[0.08, 1]), legend=None)
    rects = alt.Chart(drawn.filter(~pl.col("failed"))).mark_rect(color=INK)
    answered = rects.encode(x, alt.X2("until:T"), y, alt.Y2("high_ms:Q"), shade, tooltip=tooltip).add_params(picked)
    failures = drawn.filter("failed")
    layers: list[alt.Chart] = [answered]
    if not failures.is_empty():
        told = [alt.Tooltip("at:T", title="from", format="%d %b %H:%M UTC"), alt.Tooltip("checks:Q", title="failed")]
        bars = alt.Chart(failures).mark_rect(color=COLOURS[State.DOWN], opacity=0.8)
        layers.append(bars.encode(x, alt.X2("until:T"), y, alt.Y2("high_ms:Q"), tooltip=told))
    chart = layered(*layers, height=height)
    return chart.properties(description="Checks by time and latency on a log scale; failed ones in a row at the top.")


_LABEL = "datum.value >= 1000 ? format(datum.value / 1000, '~g') + ' s' : format(datum.value, '~g') + ' ms'"


def _value(box: Picked) -> dict[str, list[float]]:
    since, until, low, high = box
    return {"x": [since.timestamp() * 1000, until.timestamp() * 1000], "y": [low, high]}
