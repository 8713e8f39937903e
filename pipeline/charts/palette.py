"""How a state and a region look, here, in the app and in a notebook: a colour, and always a sign beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import altair as alt
import polars as pl

from pipeline.vocabulary import State

# Middle tones: they read on a white ground as on a black one. Unknown is grey, and drawn as an outline.
COLOURS = {
    State.UP: "#2f9e6e",
    State.DEGRADED: "#d98a0b",
    State.DOWN: "#dc4a4f",
    State.UNKNOWN: "#8a8f9c",
    State.MAINTENANCE: "#6c7ae0",
    State.PAUSED: "#8a8f9c",
}
SYMBOLS = {
    State.UP: "●",
    State.DEGRADED: "▲",
    State.DOWN: "✕",
    State.UNKNOWN: "◌",
    State.MAINTENANCE: "◆",
    State.PAUSED: "‖",
}
# Told apart also by people who see few colours, in this order (Okabe and Ito, darkened).
REGION_COLOURS = ("#5b62d9", "#c26a00", "#0f8f86", "#b0468c", "#4a90c2", "#7a7f2a")
REGION_DASHES = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (4, 4), (1, 3))
PHASE_COLOURS = {
    "dns": "#9a7fd1",
    "connect": "#4a90c2",
    "tls": "#2aa198",
    "ttfb": "#e0a33a",
    "transfer": "#8a8f9c",
}


# A day has 24 hours; midnight shows its date.
CLOCK = {
    "milliseconds": ".%L",
    "seconds": "%H:%M:%S",
    "minutes": "%H:%M",
    "hours": "%H:%M",
    "date": "%d %b",
    "day": "%d %b",
    "week": "%d %b",
    "month": "%b",
    "quarter": "%b",
    "year": "%Y",
}
GUTTER = 64  # pixels left of a chart in which its axis says what is what: charts below each other then line up
WIDEST_GUTTER = 230
GROUND = 84  # pixels that a time axis and a legend take, where a chart is fitted into its height


def sign(state: State) -> str:
    """The state in a symbol and a word."""
    return f"{SYMBOLS[state]} {state.value}"


def time_axis(field: str = "at", *, over: Sequence[float] | None = None) -> alt.X:
    """UTC, as everywhere else; over the times of `over` (see `over_range`), whatever of it has data."""
    axis = alt.Axis(title=None, grid=False, tickCount=8, labelFlush=True, format=CLOCK)
    scale = alt.Scale(type="utc", domain=list(over)) if over else alt.Scale(type="utc")
    return alt.X(f"{field}:T", axis=axis, scale=scale)


def over_range(since: object, until: object) -> tuple[float, float] | None:
    """The times that an axis reaches over: all that was asked for, since frames have rows for empty buckets too."""
    if not isinstance(since, datetime) or not isinstance(until, datetime):
        return None
    return since.timestamp() * 1000, until.timestamp() * 1000


def over_buckets(times: pl.Series) -> tuple[float, float] | None:
    """The times from the first bucket to the end of the last; a single one is a minute long."""
    first, last = times.min(), times.max()
    width = times.unique().sort().diff().min()
    if not isinstance(last, datetime):
        return None
    return over_range(first, last + (width if isinstance(width, timedelta) else timedelta(minutes=1)))


def layered(*layers: alt.Chart, height: int) -> alt.LayerChart:
    """Charts over each other, as wide as there is room. None of ours has rows or columns, so no facet comes out."""
    chart = alt.layer(*layers).properties(height=height, width="container")
    assert isinstance(chart, alt.LayerChart)
    return chart


def legend(symbol: str | None = None) -> alt.Legend:
    """One line above the chart."""
    looks: dict[str, Any] = (
        {"symbolType": symbol, "symbolStrokeWidth": 0}
        if symbol
        else {"symbolType": "stroke", "symbolStrokeWidth": 2.5, "symbolSize": 260}
    )
    return alt.Legend(title=None, orient="top", direction="horizontal", offset=6, symbolOpacity=1, **looks)


def milliseconds_axis(gutter: int | None = None) -> alt.Axis:
    """Milliseconds, said at each number; in a `gutter` of so many pixels where others line up with it."""
    return alt.Axis(title=None, tickCount=5, labelExpr="datum.label + ' ms'", **extent(gutter))


def extent(gutter: int | None) -> dict[str, Any]:
    """What makes an axis as wide as its gutter, whatever it has to say."""
    return {} if gutter is None else {"minExtent": gutter, "maxExtent": gutter, "labelLimit": gutter - 8}


def gutter_of(labels: Iterable[str]) -> int:
    """The pixels that the longest of these labels takes, and at least as many as numbers do."""
    longest = max(map(len, labels), default=0)
    return max(GUTTER, min(WIDEST_GUTTER, round(5.5 * longest) + 16))


def widest(*ranges: tuple[float, float] | None) -> tuple[float, float] | None:
    """The times that several charts reach over together."""
    known = [each for each in ranges if each is not None]
    return (min(first for first, _ in known), max(last for _, last in known)) if known else None


def reach(over: tuple[float, float]) -> alt.Chart:
    """A layer without marks that can be seen: the axis then reaches over all of `over`.

    Layers that each name a domain leave Vega without one where some of them follow the pointer.
    """
    ends = pl.DataFrame({"at": over}).with_columns(pl.col("at").cast(pl.Int64).cast(pl.Datetime("ms", "UTC")))
    chart: alt.Chart = alt.Chart(ends).mark_rule(opacity=0, tooltip=None).encode(time_axis())
    return chart


def halfway(times: pl.Expr, buckets: pl.Series) -> pl.Expr:
    """The middle of each bucket: what was measured in it happened around then, not at its start."""
    width = buckets.unique().sort().diff().min()
    return times + (width if isinstance(width, timedelta) else timedelta(minutes=1)) / 2


def region_colours(regions: Sequence[str]) -> alt.Color:
    """A colour for each region, the same on every chart of the same regions."""
    colours = [REGION_COLOURS[place % len(REGION_COLOURS)] for place in range(len(regions))]
    return alt.Color("region:N", scale=alt.Scale(domain=list(regions), range=colours), legend=legend())


def region_dashes(regions: Sequence[str]) -> alt.StrokeDash:
    """A stroke for each region, so that colour is not the only sign."""
    dashes = [REGION_DASHES[place % len(REGION_DASHES)] for place in range(len(regions))]
    return alt.StrokeDash("region:N", scale=alt.Scale(domain=list(regions), range=dashes), legend=legend())
