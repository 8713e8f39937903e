"""Latency by region over time, and the phases that it is made of."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import altair as alt
import polars as pl

from pipeline.charts.palette import (
    COLOURS,
    GROUND,
    GUTTER,
    PHASE_COLOURS,
    halfway,
    layered,
    legend,
    milliseconds_axis,
    over_buckets,
    reach,
    region_colours,
    region_dashes,
    time_axis,
)
from pipeline.vocabulary import State

# A line ends where data end; it never bridges what was not measured, and the axis reaches over it all the same.
GAP: Literal["break-paths-show-domains"] = "break-paths-show-domains"
PHASES = tuple(PHASE_COLOURS)
PHASE_NAMES = {"dns": "DNS", "connect": "connect", "tls": "TLS", "ttfb": "first byte", "transfer": "transfer"}


def latency(
    frame: pl.DataFrame, *, over: tuple[float, float] | None = None, gutter: int = GUTTER, height: int = 240
) -> alt.LayerChart:
    """Median as a line, up to the 95th percentile as a band, failed checks as crosses on the ground.

    `frame`: [at, region, p50_ms, p95_ms, checks, failed], one row a bucket, null where no check answered. What is of a
    bucket stands in its middle. The axis reaches over `over` (see `over_range`), or all of the buckets.
    """
    regions = sorted(frame["region"].unique())
    neighbours = [pl.col("p50_ms").shift(step).over("region").is_null() for step in (1, -1)]
    drawn = frame.sort("region", "at").with_columns(
        alone=pl.col("p50_ms").is_not_null() & neighbours[0] & neighbours[1],
        since=pl.col("at"),
        at=halfway(pl.col("at"), frame["at"]),
    )
    axis, span = time_axis(), over or over_buckets(frame["at"])
    base = alt.Chart(drawn).encode(axis, region_colours(regions))
    tooltip = [
        alt.Tooltip("since:T", title="from", format="%d %b %H:%M:%S UTC"),
        alt.Tooltip("region:N", title="region"),
        alt.Tooltip("p50_ms:Q", title="median ms", format=".1f"),
        alt.Tooltip("p95_ms:Q", title="95th percentile ms", format=".1f"),
        alt.Tooltip("checks:Q", title="answered"),
        alt.Tooltip("failed:Q", title="failed"),
    ]
    band = base.mark_area(opacity=0.16, invalid=GAP).encode(
        alt.Y("p50_ms:Q", axis=milliseconds_axis(gutter), scale=alt.Scale(zero=True, nice=True)), alt.Y2("p95_ms:Q")
    )
    line = base.mark_line(strokeWidth=1.6, invalid=GAP).encode(alt.Y("p50_ms:Q"), region_dashes(regions))
    layers: list[alt.Chart] = [band, line]
    alone = drawn.filter("alone")
    if not alone.is_empty():  # nothing on either side, so no line: a point
        dots = alt.Chart(alone).mark_point(filled=True, size=18, opacity=1)
        layers.append(dots.encode(axis, region_colours(regions), alt.Y("p50_ms:Q")))
    failures = drawn.filter(pl.col("failed") > 0)
    if not failures.is_empty():
        crosses = alt.Chart(failures).mark_point(shape="cross", angle=45, filled=True, size=42, opacity=0.95)
        red = alt.value(COLOURS[State.DOWN])
        layers.append(crosses.encode(axis, y=alt.YDatum(0), color=red, tooltip=tooltip))
    near = alt.selection_point(
        name="near", on="pointermove", clear="pointerout", nearest=True, fields=["at"], empty=False
    )
    target = (
        alt.Chart(drawn.drop_nulls("p50_ms"))
        .mark_point(filled=True, size=44)
        .encode(
            axis,
            region_colours(regions),
            alt.Y("p50_ms:Q"),
            opacity=alt.condition(near, alt.value(1), alt.value(0)),
            tooltip=tooltip,
        )
        .add_params(near)
    )
    return layered(*layers, *([reach(span)] if span else []), target, height=height)


def phases(
    frame: pl.DataFrame, *, over: tuple[float, float] | None = None, gutter: int = GUTTER, height: int = 200
) -> alt.Chart:
    """Mean milliseconds of each phase, stacked in the order in which they happen; bars, so that a gap stays empty.

    `frame`: [at, phase, ms], one row a bucket and phase, null where no check answered; `over` as for `latency`.
    """
    times = frame["at"].unique().sort()
    width = times.diff().min() if len(times) > 1 else None
    order = {phase: place for place, phase in enumerate(PHASES)}
    drawn = (
        frame.with_columns(place=pl.col("phase").replace_strict(order, return_dtype=pl.Int8))
        .sort("at", "place")
        .with_columns(high=pl.col("ms").cum_sum().over("at"), name=pl.col("phase").replace_strict(PHASE_NAMES))
        .with_columns(low=pl.col("high") - pl.col("ms"), until=pl.col("at") + (width or timedelta(minutes=1)))
    )
    chart: alt.Chart = (
        alt.Chart(drawn)
        .mark_bar(strokeWidth=0, invalid="break-paths-show-domains")  # the axis reaches over what is missing
        .encode(
            time_axis(over=over or over_buckets(times)),
            alt.X2("until:T"),
            alt.Y("low:Q", axis=milliseconds_axis(gutter)),
            alt.Y2("high:Q"),
            _phase_colours(),
            tooltip=[
                alt.Tooltip("at:T", title="from", format="%d %b %H:%M:%S UTC"),
                alt.Tooltip("name:N", title="phase"),
                alt.Tooltip("ms:Q", title="mean ms", format=".1f"),
            ],
        )
        .properties(height=height, width="container")
    )
    return chart


def waterfall(frame: pl.DataFrame) -> alt.LayerChart:
    """The phases of single checks, one row each, in the order in which they happened.

    `frame`: [region, dns_ms, connect_ms, tls_ms, ttfb_ms, transfer_ms, latency_ms] as in ticks; with a column
    `label` that is what a row is called by, else its region.
    """
    named = frame if "label" in frame.columns else frame.with_columns(label=pl.col("region"))
    spent = pl.concat_list([pl.col(f"{phase}_ms").fill_null(0) for phase in PHASES])
    long = (
        named.select("label", "latency_ms", ms=spent)
        .with_row_index("row")
        .with_columns(phase=pl.lit(list(PHASES)))
        .explode("ms", "phase")
        .with_columns(end_ms=pl.col("ms").cum_sum().over("row"))
        .with_columns(start_ms=pl.col("end_ms") - pl.col("ms"), name=pl.col("phase").replace_strict(PHASE_NAMES))
    )
    rows = alt.Y("label:N", sort=None, axis=alt.Axis(title=None, labelLimit=260, ticks=False, domain=False))
    bars = (
        alt.Chart(long.filter(pl.col("ms") > 0))
        .mark_bar(height={"band": 0.6}, cornerRadius=1.5)
        .encode(
            alt.X("start_ms:Q", axis=milliseconds_axis()),
            alt.X2("end_ms:Q"),
            rows,
            _phase_colours(),
            tooltip=[
                alt.Tooltip("label:N", title="check"),
                alt.Tooltip("name:N", title="phase"),
                alt.Tooltip("start_ms:Q", title="began at ms", format=".1f"),
                alt.Tooltip("ms:Q", title="took ms", format=".1f"),
            ],
        )
    )
    ends = long.group_by("row", "label", maintain_order=True).agg(end_ms=pl.col("end_ms").max())
    ends = ends.with_columns(
        said=pl.when(pl.col("end_ms") < 10)
        .then(pl.col("end_ms").round(1).cast(pl.String))
        .otherwise(pl.col("end_ms").round(0).cast(pl.Int64).cast(pl.String))
    )
    totals = (
        alt.Chart(ends)
        .mark_text(align="left", dx=6, fontSize=12, color="#8a8f9c")
        .encode(alt.X("end_ms:Q"), rows, alt.Text("said:N"))
    )
    return layered(bars, totals, height=max(1, len(frame)) * 30 + GROUND)


def _phase_colours() -> alt.Color:
    names = [PHASE_NAMES[phase] for phase in PHASES]
    scale = alt.Scale(domain=names, range=list(PHASE_COLOURS.values()))
    return alt.Color("name:N", scale=scale, legend=legend("square"))
