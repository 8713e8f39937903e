"""How the fleet fared by region over time: probers and the decisions about them, lateness, and what waited.

samples = up.fleet_samples(start="-6h")
charts.probers(charts.sampled(samples, every=timedelta(minutes=2)), up.decisions(start="-6h"))
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

import altair as alt
import polars as pl

from pipeline import frames
from pipeline.charts.latency import GAP
from pipeline.charts.palette import (
    GUTTER,
    extent,
    halfway,
    layered,
    milliseconds_axis,
    over_buckets,
    reach,
    region_colours,
    region_dashes,
    time_axis,
)
from pipeline.charts.shapes import grid

_COUNT, _REAL = pl.Int64(), pl.Float64()
SAMPLED = {
    "at": frames.TIME,
    "region": pl.String(),
    "probers": _COUNT,
    "probers_low": _COUNT,
    "probers_high": _COUNT,
    "lateness_p50_ms": _REAL,
    "lateness_p95_ms": _REAL,
    "checks_waiting": _COUNT,
    "oldest_waiting_s": _REAL,
    "ticks_waiting": _COUNT,
}
# What a chart of `lag` shows of each, and how its axis says it.
LAGS = {
    "checks_waiting": ("checks waiting", "datum.label"),
    "oldest_waiting_s": ("oldest check, seconds", "datum.label + ' s'"),
    "ticks_waiting": ("ticks waiting", "datum.label"),
}
STEP: Literal["step-after"] = "step-after"  # how many there are holds until the next sample


def sampled(samples: pl.DataFrame, every: timedelta) -> pl.DataFrame:
    """Frame FLEET_SAMPLES by region and bucket, as `SAMPLED`, gaps kept: of every figure the worst in its bucket.

    So a moment of lateness is seen at any width. Probers are those at the bucket's end, beside the fewest and most.
    """
    worst = [pl.col(name).max() for name in SAMPLED if name not in {"at", "region"} and not name.startswith("probers")]
    found = (
        samples.with_columns(pl.col("at").dt.truncate(every), pl.col("region").cast(pl.String), sampled_at="at")
        .sort("sampled_at")
        .group_by("at", "region")
        .agg(
            pl.col("probers").last(),
            *worst,
            probers_low=pl.col("probers").min(),
            probers_high=pl.col("probers").max(),
        )
    )
    return on_grid(found, every, found["at"].min(), found["at"].max())


def on_grid(found: pl.DataFrame, every: timedelta, first: object, last: object) -> pl.DataFrame:
    """`SAMPLED` with a row for every bucket and region: null where nobody took a sample."""
    if found.is_empty() or not isinstance(first, datetime) or not isinstance(last, datetime):
        return pl.DataFrame(schema=SAMPLED)
    whole = grid(first, last, every).join(found.select("region").unique(), how="cross")
    filled = whole.join(found, on=["at", "region"], how="left")
    return filled.select(pl.col(name).cast(dtype) for name, dtype in SAMPLED.items()).sort("region", "at")


def probers(frame: pl.DataFrame, decisions: pl.DataFrame, *, height: int = 180) -> alt.LayerChart:
    """Running probers as steps; each decision as a triangle, up or down, with its reason.

    `frame`: `SAMPLED`. `decisions`: [at, region, before, after, reason].
    """
    regions = _regions(frame)
    axis, colours = time_axis(), region_colours(regions)
    drawn = frame.select("at", "region", "probers", "probers_low", "probers_high", since="at")
    base = alt.Chart(drawn).encode(axis, colours)
    whole = alt.Axis(title=None, tickMinStep=1, format="d", tickCount=4, **extent(GUTTER))
    scale = alt.Scale(domainMin=0, nice=True)
    band = base.mark_area(opacity=0.16, invalid=GAP, interpolate=STEP).encode(
        alt.Y("probers_low:Q", axis=whole, scale=scale), alt.Y2("probers_high:Q")
    )
    line = base.mark_line(strokeWidth=1.8, invalid=GAP, interpolate=STEP).encode(
        alt.Y("probers:Q"), region_dashes(regions)
    )
    tooltip = [*_where(), alt.Tooltip("probers:Q", title="probers"), alt.Tooltip("probers_low:Q", title="fewest")]
    layers = [band, line, _near(drawn.drop_nulls("probers"), "probers", axis, colours, tooltip)]
    marks = decisions.select("at", pl.col("region").cast(pl.String), "before", "after", "reason").filter(
        pl.col("region").is_in(regions)
    )
    if not marks.is_empty():
        moved = marks.with_columns(
            direction=pl.when(pl.col("after") > pl.col("before")).then(pl.lit("raised")).otherwise(pl.lit("lowered")),
            moved=pl.format("{} → {}", "before", "after"),
        )
        shape = alt.Scale(domain=["raised", "lowered"], range=["triangle-up", "triangle-down"])
        triangles = alt.Chart(moved).mark_point(filled=True, size=90, opacity=1)
        layers.append(
            triangles.encode(
                axis,
                colours,
                alt.Y("after:Q"),
                alt.Shape("direction:N", scale=shape, legend=None),
                tooltip=[
                    *_where("at", "at"),
                    alt.Tooltip("moved:N", title="probers"),
                    alt.Tooltip("reason:N", title="because"),
                ],
            )
        )
    return layered(*layers, *_reach(frame), height=height)


def lateness(frame: pl.DataFrame, *, height: int = 180) -> alt.LayerChart:
    """How long after their time checks began: the median as a line, up to the 95th percentile as a band; `SAMPLED`."""
    regions = _regions(frame)
    axis, colours = time_axis(), region_colours(regions)
    drawn = _halfway(frame.select("at", "region", "lateness_p50_ms", "lateness_p95_ms"))
    base = alt.Chart(drawn).encode(axis, colours)
    band = base.mark_area(opacity=0.2, invalid=GAP).encode(
        alt.Y("lateness_p50_ms:Q", axis=milliseconds_axis(GUTTER), scale=alt.Scale(zero=True, nice=True)),
        alt.Y2("lateness_p95_ms:Q"),
    )
    line = base.mark_line(strokeWidth=1.6, invalid=GAP).encode(alt.Y("lateness_p50_ms:Q"), region_dashes(regions))
    tooltip = [
        *_where(),
        alt.Tooltip("lateness_p50_ms:Q", title="median ms", format=".0f"),
        alt.Tooltip("lateness_p95_ms:Q", title="95th percentile ms", format=".0f"),
    ]
    near = _near(drawn.drop_nulls("lateness_p50_ms"), "lateness_p50_ms", axis, colours, tooltip)
    return layered(band, line, *_reach(frame), near, height=height)


def lag(frame: pl.DataFrame, name: str, *, height: int = 150) -> alt.LayerChart:
    """What waited, by one of `LAGS`; `SAMPLED`. A bucket shows its worst moment."""
    says, label = LAGS[name]
    regions = _regions(frame)
    axis, colours = time_axis(), region_colours(regions)
    drawn = _halfway(frame.select("at", "region", name))
    line = alt.Chart(drawn).mark_line(strokeWidth=1.6, invalid=GAP)
    amount = alt.Axis(title=None, tickCount=4, tickMinStep=1, format="d", labelExpr=label)
    highest = drawn[name].cast(_REAL).max()
    most = max(1.0, highest) if isinstance(highest, float) else 1.0  # where nothing waits there is a scale, too
    figure = alt.Y(f"{name}:Q", axis=amount, scale=alt.Scale(domain=[0.0, most], nice=True))
    tooltip = [*_where(), alt.Tooltip(f"{name}:Q", title=says, format=".1f" if name.endswith("_s") else "d")]
    near = _near(drawn.drop_nulls(name), name, axis, colours, tooltip)
    drawn_line = line.encode(axis, colours, figure, region_dashes(regions))
    return layered(drawn_line, *_reach(frame), near, height=height)


def _regions(frame: pl.DataFrame) -> Sequence[str]:
    return sorted(frame["region"].unique())


def _halfway(frame: pl.DataFrame) -> pl.DataFrame:
    """With what is of a bucket in its middle; `since` is when it began."""
    return frame.with_columns(since=pl.col("at"), at=halfway(pl.col("at"), frame["at"]))


def _reach(frame: pl.DataFrame) -> list[alt.Chart]:
    over = over_buckets(frame["at"])
    return [reach(over)] if over else []


def _where(title: str = "from", field: str = "since") -> list[alt.Tooltip]:
    return [
        alt.Tooltip(f"{field}:T", title=title, format="%d %b %H:%M:%S UTC"),
        alt.Tooltip("region:N", title="region"),
    ]


def _near(frame: pl.DataFrame, name: str, axis: alt.X, colours: alt.Color, tooltip: list[alt.Tooltip]) -> alt.Chart:
    """The points nearest to the pointer's time, with what they say."""
    near = alt.selection_point(
        name="near", on="pointermove", clear="pointerout", nearest=True, fields=["at"], empty=False
    )
    points = alt.Chart(frame).mark_point(filled=True, size=44)
    shown = alt.condition(near, alt.value(1), alt.value(0))
    chart: alt.Chart = points.encode(axis, colours, alt.Y(f"{name}:Q"), opacity=shown, tooltip=tooltip)
    return chart.add_params(near)
