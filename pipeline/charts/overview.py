"""The whole of what there is of a site, small, to pick a window from: availability at the ground, latency above it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import altair as alt
import polars as pl

from pipeline.charts.latency import GAP
from pipeline.charts.palette import extent, layered, time_axis
from pipeline.charts.shapes import COUNTED
from pipeline.charts.states import SLIVER, joined, stacked, state_colours
from pipeline.vocabulary import State

WINDOW = "window"  # the name of the selection; what it holds is {"at": [since, until]} in milliseconds of the epoch
BAND = 0.24  # of the height for the states; the latency has the rest
INK = "#5b62d9"

Range = tuple[datetime, datetime]


def overview(
    frame: pl.DataFrame, *, brush: Range | None = None, shown: Range | None = None, gutter: int = 0, height: int = 118
) -> alt.LayerChart:
    """States of all regions as stacked shares at the ground, the 95th percentile above; a drag picks a window.

    `frame`: [at, until, p95_ms, down, degraded, unknown, up] as `overview_of` makes it. `brush` is the window that is
    picked to begin with, `shown` one that is only marked. What is drawn depends on the data alone and not on the time,
    so that a page can put new data into the chart while somebody is dragging. All times are UTC.
    """
    drawn = _drawn(frame)
    x = time_axis()
    # As far from the left as the charts below, which say something there.
    blank = alt.Axis(title=None, labels=False, ticks=False, domain=False, grid=False, **extent(gutter))
    y = alt.Y("low:Q", axis=blank if gutter else None, scale=alt.Scale(domain=[0, 1], nice=False))
    picked = alt.selection_interval(
        name=WINDOW,
        encodings=["x"],
        zoom=False,  # the wheel scrolls the page
        mark=alt.BrushConfig(fill=INK, fillOpacity=0.18, stroke=INK, strokeOpacity=0.8),
        **({"value": {"x": [at.timestamp() * 1000 for at in brush]}} if brush else {}),  # type: ignore[arg-type] # numbers are times
    )
    states = (
        alt.Chart(joined(stacked(drawn, least=2 * SLIVER)).with_columns(pl.col("low", "high") * BAND))
        .mark_bar()
        .encode(
            x, alt.X2("until:T"), y, alt.Y2("high:Q"), state_colours(list(COUNTED), None),
            alt.FillOpacity("ink:Q", scale=None, legend=None),
        )
    )  # fmt: skip
    latency = alt.Chart(drawn).encode(alt.X("middle:T"), alt.Y("tall:Q"))
    area = latency.mark_area(color=INK, opacity=0.12, invalid=GAP, y2=0).encode(alt.Y2("floor:Q"))
    line = latency.mark_line(color=INK, strokeWidth=1.3, invalid=GAP)
    marked = alt.Chart(_marked(drawn, shown)).mark_rect(color=INK, opacity=0.1).encode(alt.X("at:T"), alt.X2("until:T"))
    whole = alt.Chart(drawn).mark_rect(opacity=0).encode(x, alt.X2("until:T"), tooltip=_tooltip()).add_params(picked)
    return layered(marked, states, area, line, whole, height=height)


def _drawn(frame: pl.DataFrame) -> pl.DataFrame:
    """With the latency's place between the states and the top, and what the tooltip says."""
    tallest = pl.col("p95_ms").max()
    called = pl.sum_horizontal(state.value for state in COUNTED)
    return frame.with_columns(
        middle=pl.col("at") + (pl.col("until") - pl.col("at")) / 2,
        floor=pl.when(pl.col("p95_ms").is_not_null()).then(BAND + 0.06),
        tall=BAND + 0.06 + (0.94 - BAND) * pl.col("p95_ms") / tallest,
        **{f"{state}_share": pl.col(state.value) / called for state in (State.DOWN, State.UNKNOWN)},
    )


def _marked(drawn: pl.DataFrame, shown: Range | None) -> pl.DataFrame:
    """The window to mark, as far as the chart reaches; nothing to mark is a window without a width."""
    first, last = drawn["at"].min(), drawn["until"].max()
    types = {name: drawn.schema[name] for name in ("at", "until")}
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return pl.DataFrame(schema=types)
    since, until = (max(shown[0], first), min(shown[1], last)) if shown else (first, first)
    return pl.DataFrame([{"at": since, "until": max(since, until)}], schema=types)


def _tooltip() -> list[Any]:
    return [
        alt.Tooltip("at:T", title="from", format="%d %b %H:%M UTC"),
        alt.Tooltip("p95_ms:Q", title="95th percentile ms", format=".1f"),
        alt.Tooltip("down_share:Q", title="down", format=".2%"),
        alt.Tooltip("unknown_share:Q", title="unknown", format=".2%"),
    ]
