"""States over time, what the regions see of all sites, and uptime with its bounds."""

from __future__ import annotations

import altair as alt
import polars as pl

from pipeline.charts.palette import COLOURS, GROUND, layered, legend, over_range, sign, time_axis
from pipeline.charts.shapes import COUNTED
from pipeline.vocabulary import State

# How much of its row a state fills: the worse, the taller. Colour is then not the only sign.
FILL = {State.UP: 0.36, State.PAUSED: 0.16, State.MAINTENANCE: 0.36, State.DEGRADED: 0.56, State.DOWN: 0.76}
ROW = 24
SHARE = 0.84  # of a region's row; the rest is the space to the next one


def strip(frame: pl.DataFrame) -> alt.LayerChart:
    """One row a series: when it was in which state. Unknown is an empty outline.

    `frame`: [region, at, until, state, checks]; with a column `label` that is what a row is called by, else its region.
    """
    named = frame if "label" in frame.columns else frame.with_columns(label=pl.col("region"))
    signs = {state.value: sign(state) for state in State}
    drawn = named.with_columns(
        sign=pl.col("state").replace_strict(signs),
        lasted=(pl.col("until") - pl.col("at")).dt.total_seconds().map_elements(lasting, return_dtype=pl.String),
    )
    present = [state for state in State if state.value in drawn["state"].unique()]
    order = drawn["label"].unique(maintain_order=True).to_list()
    axis = time_axis(over=over_range(drawn["at"].min(), drawn["until"].max()))
    layers = [_layer(drawn.filter(pl.col("state") == state.value), axis, state, present, order) for state in present]
    return layered(*layers or [alt.Chart(drawn).mark_bar()], height=max(1, len(order)) * ROW + GROUND)


def _layer(frame: pl.DataFrame, axis: alt.X, state: State, present: list[State], order: list[str]) -> alt.Chart:
    labels = alt.Axis(title=None, labelLimit=260, ticks=False, domain=False, labelPadding=8)
    scale = alt.Scale(domain=[sign(each) for each in present], range=[COLOURS[each] for each in present])
    colour = alt.Color("sign:N", scale=scale, legend=legend("square"))
    height = {"band": FILL.get(state, 0.66)}
    if state is State.UNKNOWN:
        marks = alt.Chart(frame).mark_bar(height=height, fillOpacity=0.08, strokeDash=[3, 2], strokeWidth=1)
        marks = marks.encode(stroke=alt.value(COLOURS[state]))
    else:
        # The worse states keep an edge, or one failed check would be thinner than a pixel over a day.
        edge = 1.5 if state in (State.DOWN, State.DEGRADED) else 0
        marks = alt.Chart(frame).mark_bar(height=height, strokeWidth=edge).encode(stroke=alt.value(COLOURS[state]))
    chart: alt.Chart = marks.encode(
        axis,
        alt.X2("until:T"),
        alt.Y("label:N", sort=order, axis=labels),
        colour,
        tooltip=[
            alt.Tooltip("label:N", title="series"),
            alt.Tooltip("sign:N", title="state"),
            alt.Tooltip("at:T", title="from", format="%d %b %H:%M:%S UTC"),
            alt.Tooltip("lasted:N", title="for"),
            alt.Tooltip("checks:Q", title="checks"),
        ],
    )
    return chart


def fleet(frame: pl.DataFrame) -> alt.Chart:
    """What each region saw of all sites: the share of sites in each state, the worst at the bottom.

    `frame`: [region, at, until, down, degraded, unknown, up], counts of sites; a minute without any stays empty.
    """
    order = list(COUNTED)
    counted = [state.value for state in order]
    total = pl.sum_horizontal(counted)
    shares = frame.with_columns(total=total).filter(pl.col("total") > 0)
    long = shares.unpivot(counted, index=["region", "at", "until", "total"], variable_name="state", value_name="sites")
    place = {state: at for at, state in enumerate(counted)}
    drawn = (
        long.with_columns(place=pl.col("state").replace_strict(place, return_dtype=pl.Int8))
        .sort("region", "at", "place")
        .with_columns(high=(pl.col("sites") / pl.col("total")).cum_sum().over("region", "at"))
        .with_columns(
            low=pl.col("high") - pl.col("sites") / pl.col("total"),
            sign=pl.col("state").replace_strict({state.value: sign(state) for state in order}),
            ink=pl.col("state").replace_strict({"up": 0.4, "unknown": 0.12}, default=1.0),
        )
        .filter(pl.col("sites") > 0)
    )
    regions = sorted(frame["region"].unique())
    drawn = drawn.join(pl.DataFrame({"region": regions}).with_row_index("row"), on="region")
    drawn = drawn.with_columns(pl.col("low", "high") * SHARE + (len(regions) - 1 - pl.col("row").cast(pl.Int64)))
    present = [state for state in order if state.value in drawn["state"].unique()]
    scale = alt.Scale(domain=[sign(state) for state in present], range=[COLOURS[state] for state in present])
    names = ", ".join(f"'{region}'" for region in reversed(regions))
    axis = alt.Axis(
        title=None,
        values=[place + SHARE / 2 for place in range(len(regions))],
        labelExpr=f"[{names}][floor(datum.value)]",
        labelPadding=8,
        grid=False,
        ticks=False,
        domain=False,
    )
    chart: alt.Chart = (
        alt.Chart(drawn)
        .mark_bar()
        .encode(
            time_axis(over=over_range(frame["at"].min(), frame["until"].max())),
            alt.X2("until:T"),
            alt.Y("low:Q", axis=axis, scale=alt.Scale(domain=[0, max(1, len(regions))], nice=False)),
            alt.Y2("high:Q"),
            alt.Color("sign:N", scale=scale, legend=legend("square")),
            alt.FillOpacity("ink:Q", scale=None, legend=None),
            tooltip=[
                alt.Tooltip("region:N"),
                alt.Tooltip("at:T", title="minute", format="%H:%M UTC"),
                alt.Tooltip("sign:N", title="state"),
                alt.Tooltip("sites:Q", title="sites"),
                alt.Tooltip("total:Q", title="of"),
            ],
        )
        .properties(height=max(1, len(regions)) * 44 + GROUND, width="container")
    )
    return chart


def uptime(frame: pl.DataFrame) -> alt.LayerChart:
    """Uptime as a point between its bounds, one row a series; where little is known the line is long.

    `frame`: [uptime, low, high, coverage], shares of one, null where nothing is known, as in frame UPTIME; with what it
    is by (site, region) or a `label`, which rows are called by.
    """
    keys = [pl.col(name).cast(pl.String) for name in ("site", "region") if name in frame.columns] or [pl.lit("all")]
    named = frame if "label" in frame.columns else frame.with_columns(label=pl.concat_str(keys, separator=" · "))
    drawn = named.with_columns(
        text=pl.format("{} %", (pl.col("uptime") * 100).round(3)),
        colour=pl.when(pl.col("uptime").is_null()).then(pl.lit(COLOURS[State.UNKNOWN])).otherwise(pl.lit("#5b62d9")),
    )
    least = drawn["low"].min()
    start = min(0.99, float(least)) if isinstance(least, float) else 0.0
    base = alt.Chart(drawn).encode(alt.Y("label:N", sort=None, axis=alt.Axis(title=None, ticks=False, domain=False)))
    tooltip = [
        alt.Tooltip("label:N", title="series"),
        alt.Tooltip("uptime:Q", format=".4%"),
        alt.Tooltip("low:Q", title="at least", format=".4%"),
        alt.Tooltip("high:Q", title="at most", format=".4%"),
        alt.Tooltip("coverage:Q", title="known", format=".2%"),
    ]
    axis = alt.Axis(title=None, format=".2%", tickCount=5)
    bounds = base.mark_rule(strokeWidth=6, opacity=0.25, strokeCap="round").encode(
        alt.X("low:Q", axis=axis, scale=alt.Scale(domain=[start, 1])),
        alt.X2("high:Q"),
        alt.Color("colour:N", scale=None),
        tooltip=tooltip,
    )
    point = base.mark_point(filled=True, size=80, opacity=1).encode(
        alt.X("uptime:Q"), alt.Color("colour:N", scale=None), tooltip=tooltip
    )
    return layered(bounds, point, height=max(1, len(drawn)) * ROW + GROUND)


def lasting(seconds: float) -> str:
    """A duration as people say it: `45 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if minutes < 60:
        return f"{minutes} min"
    if hours < 24:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"
