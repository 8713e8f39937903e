"""How far two sides differ at each quantile, and how sure that is."""

from __future__ import annotations

import altair as alt
import polars as pl

from pipeline.answers import COMPARED
from pipeline.charts.palette import COLOURS, GROUND, layered, milliseconds_axis
from pipeline.frames import check
from pipeline.vocabulary import State

ROW = 34
SURE, UNSURE = "#5b62d9", COLOURS[State.UNKNOWN]


def compared(frame: pl.DataFrame) -> alt.LayerChart:
    """A row for each quantile: the difference as a point in its 95 % interval, grey where that reaches over zero or is
    not known. Frame COMPARED.
    """
    check(frame, COMPARED)
    sure = (pl.col("low_ms") > 0) | (pl.col("high_ms") < 0)
    drawn = frame.with_columns(
        label=pl.when(pl.col("quantile") == 0.5)
        .then(pl.lit("median"))
        .otherwise(pl.format("{} %", (pl.col("quantile") * 100).round(1))),
        colour=pl.when(sure.fill_null(value=False)).then(pl.lit(SURE)).otherwise(pl.lit(UNSURE)),
        shape=pl.when(sure.fill_null(value=False)).then(pl.lit("circle")).otherwise(pl.lit("diamond")),
    )
    axis = milliseconds_axis()
    base = alt.Chart(drawn).encode(alt.Y("label:N", sort=None, axis=alt.Axis(title=None, ticks=False, domain=False)))
    tooltip = [
        alt.Tooltip("label:N", title="quantile"),
        alt.Tooltip("left_ms:Q", title="first, ms", format=".1f"),
        alt.Tooltip("right_ms:Q", title="second, ms", format=".1f"),
        alt.Tooltip("difference_ms:Q", title="difference, ms", format="+.1f"),
        alt.Tooltip("low_ms:Q", title="at least, ms", format="+.1f"),
        alt.Tooltip("high_ms:Q", title="at most, ms", format="+.1f"),
        alt.Tooltip("ratio:Q", title="times", format=".3f"),
        alt.Tooltip("blocks:Q", title="blocks of time"),
    ]
    colour = alt.Color("colour:N", scale=None)
    zero = alt.Chart().mark_rule(strokeWidth=1, opacity=0.5).encode(x=alt.datum(0))
    interval = base.mark_rule(strokeWidth=6, opacity=0.3, strokeCap="round").encode(
        alt.X("low_ms:Q", axis=axis), alt.X2("high_ms:Q"), colour, tooltip=tooltip
    )
    point = base.mark_point(filled=True, size=90, opacity=1).encode(
        alt.X("difference_ms:Q", axis=axis), colour, alt.Shape("shape:N", scale=None), tooltip=tooltip
    )
    chart = layered(zero, interval, point, height=max(1, drawn.height) * ROW + GROUND // 2)
    return chart.properties(description="The second side less the first at each quantile, with its 95 % interval.")
