"""What is different about the checks of a box: shares inside against outside, and phases against each other."""

from __future__ import annotations

import altair as alt
import polars as pl

from pipeline.answers import EXPLAINED
from pipeline.charts.latency import PHASE_NAMES
from pipeline.charts.palette import GROUND, PHASE_COLOURS, layered, legend, milliseconds_axis
from pipeline.frames import check

MOST = 12
ROW = 30
INSIDE, OUTSIDE = "#5b62d9", "#8a8f9c"
SIDES = ("in the box", "outside")


def explained(frame: pl.DataFrame, *, most: int = MOST) -> alt.LayerChart:
    """A row for each value that stands out, the best explanation first: its share inside ● and outside ◌ of the box.

    Frame EXPLAINED; what chance would do as well, and phases, are not drawn.
    """
    check(frame, EXPLAINED)
    found = frame.filter((pl.col("attribute") != "phase") & (pl.col("score") > 0)).head(most)
    named = found.with_columns(label=pl.format("{}: {}", "attribute", "value"))
    sides = {"share_inside": SIDES[0], "share_outside": SIDES[1]}
    long = named.unpivot(list(sides), index=["label", "inside", "outside", "lift", "p_value"], value_name="share")
    long = long.with_columns(side=pl.col("variable").replace_strict(sides))
    rows = alt.Y("label:N", sort=None, axis=alt.Axis(title=None, labelLimit=220, ticks=False, domain=False))
    axis = alt.Axis(title=None, format=".0%", tickCount=5)
    shares = alt.Scale(domain=[0, 1])
    tooltip = [
        alt.Tooltip("label:N", title="what"),
        alt.Tooltip("side:N"),
        alt.Tooltip("share:Q", format=".2%"),
        alt.Tooltip("inside:Q", title="checks in the box"),
        alt.Tooltip("outside:Q", title="checks outside"),
        alt.Tooltip("lift:Q", title="times as often", format=".1f"),
        alt.Tooltip("p_value:Q", title="p", format=".1g"),
    ]
    between = (
        alt.Chart(named)
        .mark_rule(strokeWidth=3, opacity=0.35, color=INSIDE)
        .encode(alt.X("share_outside:Q", axis=axis, scale=shares), alt.X2("share_inside:Q"), rows)
    )
    colours = alt.Color("side:N", scale=alt.Scale(domain=list(SIDES), range=[INSIDE, OUTSIDE]), legend=legend("circle"))
    shapes = alt.Shape("side:N", scale=alt.Scale(domain=list(SIDES), range=["circle", "diamond"]), legend=None)
    points = (
        alt.Chart(long)
        .mark_point(filled=True, size=95, opacity=1)
        .encode(alt.X("share:Q", axis=axis, scale=shares), rows, colours, shapes, tooltip=tooltip)
    )
    chart = layered(between, points, height=max(1, named.height) * ROW + GROUND)
    return chart.properties(
        description="What stands out in the box: the share of its checks with it, and of the others."
    )


def slower(frame: pl.DataFrame) -> alt.Chart:
    """How much longer each phase took in the box than outside, by the medians. Frame EXPLAINED."""
    check(frame, EXPLAINED)
    order = {phase: place for place, phase in enumerate(PHASE_NAMES)}
    found = frame.filter(attribute="phase").with_columns(
        place=pl.col("value").replace_strict(order, return_dtype=pl.Int8),
        phase=pl.col("value").replace_strict(PHASE_NAMES),
        sure=pl.when(pl.col("score") > 0).then(1.0).otherwise(0.35),
    )
    drawn = found.sort("place")
    scale = alt.Scale(domain=list(PHASE_NAMES.values()), range=[PHASE_COLOURS[phase] for phase in PHASE_NAMES])
    chart: alt.Chart = (
        alt.Chart(drawn)
        .mark_bar(height={"band": 0.6}, cornerRadius=1.5)
        .encode(
            alt.X("difference_ms:Q", axis=milliseconds_axis()),
            alt.Y("phase:N", sort=None, axis=alt.Axis(title=None, ticks=False, domain=False)),
            alt.Color("phase:N", scale=scale, legend=None),
            alt.FillOpacity("sure:Q", scale=None, legend=None),
            tooltip=[
                alt.Tooltip("phase:N"),
                alt.Tooltip("inside_ms:Q", title="median in the box, ms", format=".1f"),
                alt.Tooltip("outside_ms:Q", title="median outside, ms", format=".1f"),
                alt.Tooltip("difference_ms:Q", title="difference, ms", format="+.1f"),
                alt.Tooltip("p_value:Q", title="p", format=".1g"),
            ],
        )
        .properties(
            height=max(1, drawn.height) * ROW + 30,
            width="container",
            description="How much longer each phase took in the box, by the medians; pale where it may be chance.",
        )
    )
    return chart
