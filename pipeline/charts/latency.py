"""Latency by region over time, and the phases that it is made of."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import altair as alt
import polars as pl

from pipeline.analysis.claims import FEW
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
POINTS = 2000  # of a series
# The share of a bucket's checks that failed, up to each bound, and how its cross looks.
LOSSES = ((0.05, "up to 5 % failed"), (0.20, "up to 20 % failed"), (1.0, "more failed"))
LOSS_COLOURS = (COLOURS[State.DEGRADED], "#e0662f", COLOURS[State.DOWN])
LOSS_SIZES = (28, 52, 90)
PHASES = tuple(PHASE_COLOURS)
PHASE_NAMES = {"dns": "DNS", "connect": "connect", "tls": "TLS", "ttfb": "first byte", "transfer": "transfer"}


def latency(
    frame: pl.DataFrame, *, over: tuple[float, float] | None = None, gutter: int = GUTTER, height: int = 240
) -> alt.LayerChart:
    """Smoke: the median as a line in bands from the 25th to the 75th and from the 5th to the 95th percentile.

    `frame`: `shapes.LATENCY`, one row a bucket, null where no check answered; at most `POINTS` a region are drawn. What
    is of a bucket stands in its middle. Where a bucket has fewer than `FEW` checks its bands are grey: its outer
    percentiles are little more than what happened to be seen. A cross is a bucket with failures, by the share of
    its checks that failed, on the ground where none answered. The axis reaches over `over` (see `over_range`), or all
    of the buckets.
    """
    regions = sorted(frame["region"].unique())
    neighbours = [pl.col("p50_ms").shift(step).over("region").is_null() for step in (1, -1)]
    loss = pl.col("failed") / (pl.col("failed") + pl.col("checks"))
    drawn = _within_budget(frame.sort("region", "at")).with_columns(
        alone=pl.col("p50_ms").is_not_null() & neighbours[0] & neighbours[1],
        since=pl.col("at"),
        at=halfway(pl.col("at"), frame["at"]),
        loss=pl.when(pl.col("failed") + pl.col("checks") > 0).then(loss),
    )
    axis, span = time_axis(), over or over_buckets(frame["at"])
    base = alt.Chart(drawn).encode(axis, region_colours(regions))
    tooltip = [
        alt.Tooltip("since:T", title="from", format="%d %b %H:%M:%S UTC"),
        alt.Tooltip("region:N", title="region"),
        alt.Tooltip("p50_ms:Q", title="median ms", format=".1f"),
        alt.Tooltip("p25_ms:Q", title="25th percentile ms", format=".1f"),
        alt.Tooltip("p75_ms:Q", title="75th percentile ms", format=".1f"),
        alt.Tooltip("p05_ms:Q", title="5th percentile ms", format=".1f"),
        alt.Tooltip("p95_ms:Q", title="95th percentile ms", format=".1f"),
        alt.Tooltip("checks:Q", title="answered"),
        alt.Tooltip("failed:Q", title="failed"),
        alt.Tooltip("loss:Q", title="loss", format=".1%"),
    ]
    line = base.mark_line(strokeWidth=1.6, invalid=GAP).encode(alt.Y("p50_ms:Q"), region_dashes(regions))
    layers: list[alt.Chart] = [*_smoke(drawn, axis, regions, gutter), line]
    alone = drawn.filter("alone")
    if not alone.is_empty():  # nothing on either side, so no line: a point
        dots = alt.Chart(alone).mark_point(filled=True, size=18, opacity=1)
        layers.append(dots.encode(axis, region_colours(regions), alt.Y("p50_ms:Q")))
    failures = drawn.filter(pl.col("failed") > 0)
    if not failures.is_empty():
        layers.append(_crosses(failures, axis, tooltip))
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


def _smoke(drawn: pl.DataFrame, axis: alt.X, regions: list[str], gutter: int) -> list[alt.Chart]:
    """The bands, those of few checks in grey."""
    y = alt.Y("p05_ms:Q", axis=milliseconds_axis(gutter), scale=alt.Scale(zero=True, nice=True))
    layers: list[alt.Chart] = []
    for grey, rows in ((True, _runs(drawn).filter("few")), (False, _runs(drawn).filter(~pl.col("few")))):
        if rows.is_empty() and (grey or layers):  # without any check there is still an axis to draw
            continue
        colour = alt.value(COLOURS[State.UNKNOWN]) if grey else region_colours(regions)
        base = alt.Chart(rows).encode(axis, color=colour, detail=["region:N", "run:N"])
        layers += [
            base.mark_area(opacity=0.13, invalid=GAP).encode(y, alt.Y2("p95_ms:Q")),
            base.mark_area(opacity=0.2, invalid=GAP).encode(alt.Y("p25_ms:Q"), alt.Y2("p75_ms:Q")),
        ]
    return layers


def _runs(drawn: pl.DataFrame) -> pl.DataFrame:
    """The rows with `few` and `run`, a stretch of buckets that all have few checks, or none of which has.

    A stretch has the first bucket of the next one as well, so that no sliver between two stays empty.
    """
    has_few = pl.when(pl.col("p50_ms").is_not_null()).then(pl.col("checks") < FEW)
    told = drawn.with_columns(few=has_few.forward_fill().backward_fill().over("region").fill_null(value=True))
    runs = told.with_columns(run=pl.col("few").rle_id().over("region"))
    first = (pl.col("run") != pl.col("run").shift().over("region")).fill_null(value=False)
    again = runs.filter(first).with_columns(~pl.col("few"), pl.col("run") - 1)
    return pl.concat([runs, again]).sort("region", "run", "at")


def few(frame: pl.DataFrame) -> bool:
    """Whether `latency` draws some bands of the frame grey."""
    return not frame.filter(pl.col("p50_ms").is_not_null() & (pl.col("checks") < FEW)).is_empty()


def _crosses(failures: pl.DataFrame, axis: alt.X, tooltip: list[alt.Tooltip]) -> alt.Chart:
    """A cross for each bucket with failures, the more of them the larger and the redder."""
    names = [name for _, name in LOSSES]
    classes = [pl.when(pl.col("loss") <= bound).then(pl.lit(name)) for bound, name in LOSSES]
    told = failures.with_columns(
        pl.col("p50_ms").fill_null(0.0).alias("place_ms"),
        pl.coalesce(classes).alias("lost"),
    )
    mark = alt.Legend(
        values=[name for name in names if name in told["lost"].unique()],
        title=None,
        orient="top",
        direction="horizontal",
        offset=6,
        symbolOpacity=1,
        symbolStrokeWidth=0,
    )
    chart: alt.Chart = (
        alt.Chart(told)
        .mark_point(shape="cross", angle=45, filled=True, opacity=0.95)
        .encode(
            axis,
            alt.Y("place_ms:Q"),
            alt.Fill("lost:N", scale=alt.Scale(domain=names, range=list(LOSS_COLOURS)), legend=mark),
            alt.Size("lost:N", scale=alt.Scale(domain=names, range=list(LOSS_SIZES)), legend=mark),
            tooltip=tooltip,
        )
    )
    return chart


def _within_budget(frame: pl.DataFrame) -> pl.DataFrame:
    """At most `POINTS` rows a region, sorted: of each stretch of time its least, its greatest, its worst, and a gap."""
    longest = frame.group_by("region").len()["len"].max()
    if not isinstance(longest, int) or longest <= POINTS:
        return frame
    stretches = POINTS // 5
    numbered = frame.with_columns(
        row=pl.int_range(pl.len()),
        stretch=pl.int_range(pl.len()).over("region") * stretches // pl.len().over("region"),
    )
    row = pl.col("row")
    kept = numbered.group_by("region", "stretch").agg(
        row.sort_by("p50_ms", nulls_last=True).first().alias("least"),
        row.sort_by("p50_ms", nulls_last=False).last().alias("greatest"),
        row.sort_by("p95_ms", nulls_last=False).last().alias("slowest"),
        row.sort_by("failed").last().alias("worst"),
        row.filter(pl.col("p50_ms").is_null()).first().alias("gap"),
    )
    rows = pl.concat([kept[name] for name in ("least", "greatest", "slowest", "worst", "gap")]).drop_nulls().unique()
    return numbered.filter(row.is_in(rows.implode())).drop("row", "stretch")


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
