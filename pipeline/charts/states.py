"""States over time, what the regions see of all sites, and uptime with its bounds."""

from __future__ import annotations

from typing import Any

import altair as alt
import polars as pl

from pipeline.analysis.claims import percent, shown
from pipeline.charts.palette import COLOURS, GROUND, extent, layered, legend, over_range, sign, time_axis
from pipeline.charts.shapes import COUNTED
from pipeline.vocabulary import State

# How much of its row a state fills: the worse, the taller. Colour is then not the only sign.
FILL = {State.UP: 0.36, State.PAUSED: 0.16, State.MAINTENANCE: 0.66, State.DEGRADED: 0.56, State.DOWN: 0.76}
ROW = 24
SHARE = 0.84  # of a region's row; the rest is the space to the next one
SLIVER = 0.12  # of a row: what a failure takes at least, where a bucket is hours long


def strip(frame: pl.DataFrame, over: tuple[float, float] | None = None, *, gutter: int | None = None) -> alt.LayerChart:
    """One row a series: when it was in which state. Unknown is an empty outline. Its axis spans `over`, or all.

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
    axis = time_axis(over=over or over_range(drawn["at"].min(), drawn["until"].max()))
    layers = [
        _layer(drawn.filter(pl.col("state") == state.value), axis, state, present, order, gutter) for state in present
    ]
    return layered(*layers or [alt.Chart(drawn).mark_bar()], height=max(1, len(order)) * ROW + GROUND)


def _layer(
    frame: pl.DataFrame, axis: alt.X, state: State, present: list[State], order: list[str], gutter: int | None
) -> alt.Chart:
    wide = extent(gutter) or {"labelLimit": 260}
    labels = alt.Axis(title=None, ticks=False, domain=False, labelPadding=8, **wide)
    scale = alt.Scale(domain=[sign(each) for each in present], range=[COLOURS[each] for each in present])
    colour = alt.Color("sign:N", scale=scale, legend=legend("square"))
    height = {"band": FILL.get(state, 0.66)}
    if state is State.UNKNOWN:
        marks = alt.Chart(frame).mark_bar(height=height, fillOpacity=0.08, strokeDash=[3, 2], strokeWidth=1)
        marks = marks.encode(stroke=alt.value(COLOURS[state]))
    elif state is State.MAINTENANCE:  # an outline as well, since nothing counts in it, but a whole one, and filled
        marks = alt.Chart(frame).mark_bar(height=height, fillOpacity=0.3, strokeWidth=1.2)
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


def fleet(frame: pl.DataFrame, over: tuple[float, float] | None = None, *, gutter: int | None = None) -> alt.Chart:
    """What each region saw of all sites: the share of sites in each state, the worst at the bottom.

    `frame`: [region, at, until, down, degraded, unknown, up], counts of sites; a minute without any stays empty.
    """
    tooltip = [
        alt.Tooltip("region:N"),
        alt.Tooltip("at:T", title="minute", format="%H:%M UTC"),
        alt.Tooltip("sign:N", title="state"),
        alt.Tooltip("amount:Q", title="sites"),
        alt.Tooltip("total:Q", title="of"),
    ]
    return _rows(frame, stacked(frame), tooltip, row=44, over=over, gutter=gutter)


def shares(frame: pl.DataFrame, over: tuple[float, float] | None = None, *, gutter: int | None = None) -> alt.Chart:
    """How much of each bucket a region held each state, the worst at the bottom; what was not called for stays empty.

    `frame`: [region, at, until, down, degraded, unknown, up], seconds, as `shares_of` makes it. However short, a
    failure is as tall as can be seen; the tooltip says how much it was.
    """
    drawn = joined(stacked(frame, least=SLIVER)).with_columns(
        lasted=pl.col("amount").map_elements(lasting, return_dtype=pl.String), share=pl.col("amount") / pl.col("total")
    )
    tooltip = [
        alt.Tooltip("region:N"),
        alt.Tooltip("at:T", title="from", format="%d %b %H:%M UTC"),
        alt.Tooltip("sign:N", title="state"),
        alt.Tooltip("lasted:N", title="for"),
        alt.Tooltip("share:Q", title="share", format=".2%"),
    ]
    return _rows(frame, drawn, tooltip, row=28, over=over, gutter=gutter)


def stacked(frame: pl.DataFrame, *, least: float = 0.0) -> pl.DataFrame:
    """One row a bucket and state that has an amount: [.., state, amount, total, low, high, sign, ink], 0 to 1 high.

    A state that needs a person is at least `least` high.
    """
    counted = [state.value for state in COUNTED]
    keys = [name for name in ("region", "at", "until") if name in frame.columns]
    totals = frame.with_columns(total=pl.sum_horizontal(counted)).filter(pl.col("total") > 0)
    long = totals.unpivot(counted, index=[*keys, "total"], variable_name="state", value_name="amount")
    place = {state: at for at, state in enumerate(counted)}
    urgent = pl.col("state").is_in([State.DOWN.value, State.DEGRADED.value])
    share = pl.col("amount") / pl.col("total")
    return (
        long.filter(pl.col("amount") > 0)
        .with_columns(place=pl.col("state").replace_strict(place, return_dtype=pl.Int8))
        .sort(*keys, "place")
        .with_columns(tall=pl.when(urgent).then(share.clip(lower_bound=least)).otherwise(share))
        .with_columns(tall=pl.col("tall") / pl.col("tall").sum().over(keys))
        .with_columns(high=pl.col("tall").cum_sum().over(keys))
        .with_columns(
            low=pl.col("high") - pl.col("tall"),
            sign=pl.col("state").replace_strict({state.value: sign(state) for state in COUNTED}),
            ink=pl.col("state").replace_strict({"up": 0.4, "unknown": 0.12}, default=1.0),
        )
        .drop("tall", "place")
    )


def joined(stack: pl.DataFrame) -> pl.DataFrame:
    """Rows of `stacked` with neighbouring buckets that are all of one state as one: what lasts is drawn once."""
    same = [pl.col(name).eq_missing(pl.col(name).shift()) for name in ("region", "state") if name in stack.columns]
    alone = (pl.col("low") < 1e-9) & (pl.col("high") > 1 - 1e-9)
    follows = pl.all_horizontal(*same, alone, alone.shift(), pl.col("at") == pl.col("until").shift())
    runs = stack.with_columns(run=(~follows.fill_null(value=False)).cum_sum())
    return (
        runs.group_by("run", maintain_order=True)
        .agg(
            pl.exclude("run", "until", "amount", "total").first(),
            pl.col("until").last(),
            pl.col("amount", "total").sum(),
        )
        .drop("run")
    )


def state_colours(present: list[State], mark: alt.Legend | None) -> alt.Color:
    """A colour for each state by its `sign`."""
    scale = alt.Scale(domain=[sign(state) for state in present], range=[COLOURS[state] for state in present])
    return alt.Color("sign:N", scale=scale, legend=mark)


def _rows(
    frame: pl.DataFrame,
    drawn: pl.DataFrame,
    tooltip: list[alt.Tooltip],
    *,
    row: int,
    over: tuple[float, float] | None,
    gutter: int | None,
) -> alt.Chart:
    """A row of stacked bars for each region of `frame`."""
    regions = sorted(frame["region"].unique())
    placed = drawn.join(
        pl.DataFrame({"region": regions}, schema={"region": pl.String}).with_row_index("row"), on="region"
    )
    placed = placed.with_columns(pl.col("low", "high") * SHARE + (len(regions) - 1 - pl.col("row").cast(pl.Int64)))
    present = [state for state in COUNTED if state.value in placed["state"].unique()]
    names = ", ".join(f"'{region}'" for region in reversed(regions))
    axis = alt.Axis(
        title=None,
        values=[place + SHARE / 2 for place in range(len(regions))],
        labelExpr=f"[{names}][floor(datum.value)]",
        labelPadding=8,
        grid=False,
        ticks=False,
        domain=False,
        **extent(gutter),
    )
    chart: alt.Chart = (
        alt.Chart(placed)
        .mark_bar()
        .encode(
            time_axis(over=over or over_range(frame["at"].min(), frame["until"].max())),
            alt.X2("until:T"),
            alt.Y("low:Q", axis=axis, scale=alt.Scale(domain=[0, max(1, len(regions))], nice=False)),
            alt.Y2("high:Q"),
            state_colours(present, legend("square")),
            alt.FillOpacity("ink:Q", scale=None, legend=None),
            tooltip=tooltip,
        )
        .properties(height=max(1, len(regions)) * row + GROUND, width="container")
    )
    return chart


def uptime(frame: pl.DataFrame) -> alt.LayerChart:
    """Uptime as a point between its bounds, one row a series; where little is known the line is long.

    `frame`: [uptime, low, high, coverage], shares of one, null where nothing is known, as in frame UPTIME; with what it
    is by (site, region) or a `label`, which rows are called by.
    """
    keys = [pl.col(name).cast(pl.String) for name in ("site", "region") if name in frame.columns] or [pl.lit("all")]
    named = frame if "label" in frame.columns else frame.with_columns(label=pl.concat_str(keys, separator=" · "))
    checks = pl.col("checks") if "checks" in named.columns else pl.lit(None, pl.Int64)
    # Written here, since a format in the chart would round up to 100 %.
    said = {name: pl.col(name).map_elements(_cut, return_dtype=pl.String) for name in ("low", "high")}
    drawn = named.with_columns(
        pl.struct("uptime", checks.alias("checks")).map_elements(_claimed, return_dtype=pl.String).alias("shown"),
        *(text.alias(f"said_{name}") for name, text in said.items()),
        colour=pl.when(pl.col("uptime").is_null()).then(pl.lit(COLOURS[State.UNKNOWN])).otherwise(pl.lit("#5b62d9")),
    )
    least = drawn["low"].min()
    start = min(0.99, float(least)) if isinstance(least, float) else 0.0
    base = alt.Chart(drawn).encode(alt.Y("label:N", sort=None, axis=alt.Axis(title=None, ticks=False, domain=False)))
    tooltip = [
        alt.Tooltip("label:N", title="series"),
        alt.Tooltip("shown:N", title="uptime"),
        alt.Tooltip("said_low:N", title="at least"),
        alt.Tooltip("said_high:N", title="at most"),
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


def _claimed(row: dict[str, Any]) -> str:
    return shown(row["uptime"], row["checks"])


def _cut(share: float) -> str:
    return percent(share, 4)


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
