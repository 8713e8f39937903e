"""Error budgets: what was left and where it leads, and how fast it burns beside the rules.

charts.budget(analysis.budget_left(spans, objective, now), analysis.forecast(spans, objective, now))
charts.burn(analysis.burn(spans, objective, times, evidence), factor=14.4)
"""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from pipeline.charts.latency import GAP
from pipeline.charts.palette import COLOURS, GUTTER, REGION_COLOURS, extent, layered, over_range, reach, time_axis
from pipeline.vocabulary import State

LINE, SHORT = REGION_COLOURS[0], REGION_COLOURS[1]
LOWEST = -0.5  # of the share left that a chart reaches down to; how far below it is, figures say
GRAY = COLOURS[State.UNKNOWN]


def budget(left: pl.DataFrame, forecast: pl.DataFrame, *, height: int = 190) -> alt.LayerChart:
    """Frame BUDGET as a line down from the whole budget; frame FORECAST as a cone after it, 5 % to 95 %, dashed.

    The red line is where nothing is left.
    """
    drawn = left.select("at", left=pl.col("left").clip(lower_bound=LOWEST), exact="left", spent_s="spent_s")
    cone = forecast.select("at", *(pl.col(name).clip(lower_bound=LOWEST) for name in ("low", "middle", "high")), "gone")
    figure = alt.Axis(title=None, format="%", tickCount=5, **extent(GUTTER))
    floor = min([0.0, *(_lowest(drawn["left"])), *(_lowest(cone["low"]))])
    scale = alt.Scale(domain=[floor, 1.0])
    line = alt.Chart(drawn).mark_line(strokeWidth=1.8, color=LINE)
    layers = [
        _level(0.0, COLOURS[State.DOWN]),
        line.encode(time_axis(), alt.Y("left:Q", axis=figure, scale=scale)),
    ]
    tooltip = [_when(), alt.Tooltip("exact:Q", title="left", format=".1%"), _seconds("spent_s", "spent, seconds")]
    if not cone.is_empty():
        band = alt.Chart(cone).mark_area(opacity=0.18, color=LINE)
        layers.insert(0, band.encode(time_axis(), alt.Y("low:Q", axis=figure, scale=scale), alt.Y2("high:Q")))
        middle = alt.Chart(cone).mark_line(strokeWidth=1.6, strokeDash=[5, 4], color=LINE)
        layers.append(middle.encode(time_axis(), alt.Y("middle:Q", scale=scale)))
        said = [
            _when(),
            *(alt.Tooltip(f"{name}:Q", title=title, format=".1%") for name, title in _CONE.items()),
            alt.Tooltip("gone:Q", title="gone by then, probability", format=".0%"),
        ]
        layers.append(_dots(cone, "middle", said, scale))
        layers.append(alt.Chart(drawn.tail(1)).mark_rule(color=GRAY, strokeDash=[2, 3]).encode(time_axis()))
    over = over_range(left["at"].min(), cone["at"].max() if len(cone) else left["at"].max())
    near = _near(drawn, "left", tooltip, scale)
    return layered(*layers, *([reach(over)] if over else []), near, height=height)


def burn(rates: pl.DataFrame, factor: float, *, height: int = 130) -> alt.LayerChart:
    """The burn rates (frame BURN) of the rule with this factor: long window solid, short one dashed, the rule dotted.

    Where it fires, the ground is red.
    """
    one = rates.filter(pl.col("factor") == factor).sort("at")
    step = one["at"].diff().median()
    long = pl.concat(
        [
            one.select("at", rate="long_rate", window=pl.lit("long")),
            one.select("at", rate="short_rate", window=pl.lit("short")),
        ]
    )
    highest = long["rate"].max()
    most = max(1.25 * factor, highest if isinstance(highest, float) else 0.0)
    scale = alt.Scale(domain=[0.0, most], nice=True)
    window = alt.Scale(domain=["long", "short"], range=[LINE, SHORT])
    dashes = alt.Scale(domain=["long", "short"], range=[[1, 0], [4, 3]])
    axis = alt.Axis(title=None, tickCount=4, format="~g", labelExpr="datum.label + ' x'")
    lines = alt.Chart(long).mark_line(strokeWidth=1.6, invalid=GAP, interpolate="step-before")
    layers = [
        _level(factor, COLOURS[State.DOWN]),
        lines.encode(
            time_axis(),
            alt.Y("rate:Q", axis=axis, scale=scale),
            alt.Color("window:N", scale=window, legend=None),
            alt.StrokeDash("window:N", scale=dashes, legend=None),
        ),
    ]
    fires = one.filter("firing").select(since=pl.col("at") - step, at="at") if step is not None else one.clear()
    if not fires.is_empty():
        ground = alt.Chart(fires).mark_rect(color=COLOURS[State.DOWN], opacity=0.14)
        layers.insert(0, ground.encode(time_axis("since"), alt.X2("at:T")))
    said = [
        _when(),
        alt.Tooltip("long_rate:Q", title="long window", format=".2f"),
        alt.Tooltip("short_rate:Q", title="short window", format=".2f"),
        alt.Tooltip("firing:N", title="fires"),
    ]
    over = over_range(one["at"].min(), one["at"].max())
    near = _near(one.select("at", "long_rate", "short_rate", "firing"), "long_rate", said, scale)
    return layered(*layers, *([reach(over)] if over else []), near, height=height)


_CONE = {"high": "95 % have less", "middle": "half have less", "low": "5 % have less"}


def _level(value: float, colour: str) -> alt.Chart:
    chart: alt.Chart = (
        alt.Chart(pl.DataFrame({"level": [value]}))
        .mark_rule(color=colour, strokeDash=[6, 3], tooltip=None)
        .encode(alt.Y("level:Q"))
    )
    return chart


def _dots(frame: pl.DataFrame, name: str, tooltip: list[alt.Tooltip], scale: alt.Scale) -> alt.Chart:
    """Points that are not seen and say what they stand for."""
    points = alt.Chart(frame).mark_point(filled=True, size=120, opacity=0.01, color=LINE)
    chart: alt.Chart = points.encode(time_axis(), alt.Y(f"{name}:Q", scale=scale), tooltip=tooltip)
    return chart


def _near(frame: pl.DataFrame, name: str, tooltip: list[alt.Tooltip], scale: alt.Scale) -> alt.Chart:
    """The point nearest to the pointer's time, with what it says."""
    near = alt.selection_point(
        name="near", on="pointermove", clear="pointerout", nearest=True, fields=["at"], empty=False
    )
    shown = alt.condition(near, alt.value(1), alt.value(0))
    points = alt.Chart(frame.drop_nulls(name)).mark_point(filled=True, size=44, color=LINE)
    chart: alt.Chart = points.encode(
        time_axis(), alt.Y(f"{name}:Q", scale=scale), opacity=shown, tooltip=tooltip
    ).add_params(near)
    return chart


def _when() -> alt.Tooltip:
    return alt.Tooltip("at:T", title="at", format="%d %b %H:%M UTC")


def _seconds(name: str, title: str) -> alt.Tooltip:
    return alt.Tooltip(f"{name}:Q", title=title, format=",.0f")


def _lowest(values: pl.Series) -> list[Any]:
    lowest = values.min()
    return [] if lowest is None else [lowest]
