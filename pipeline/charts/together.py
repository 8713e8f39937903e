"""Who was down when, the sites of a group below each other."""

from __future__ import annotations

import altair as alt
import polars as pl

from pipeline.answers import TOGETHER
from pipeline.charts.palette import COLOURS, GROUND, gutter_of, time_axis
from pipeline.frames import SITE_SPANS, STATE, check
from pipeline.vocabulary import State

MOST_SITES, MOST_SPANS = 40, 4000
ROW = 24


def together(spans: pl.DataFrame, groups: pl.DataFrame, *, over: tuple[float, float] | None = None) -> alt.Chart:
    """A row for each site that failed together with others, by group: a bar for each time that it was down.

    `spans`: frame SITE_SPANS (site, state, since, until); `groups`: frame TOGETHER of the same. The first forty sites.
    """
    check(spans, SITE_SPANS, needs=("site", "state", "since", "until"))
    check(groups, TOGETHER)
    rows = groups.head(MOST_SITES).select(
        "group", pl.col("site").cast(pl.String), label=pl.format("{} · {}", "group", pl.col("site").cast(pl.String))
    )
    down = spans.filter(pl.col("state") == pl.lit(State.DOWN.value, STATE))
    drawn = (
        down.select(pl.col("site").cast(pl.String), "since", "until")
        .join(rows, on="site")
        .sort(pl.col("until") - pl.col("since"), descending=True)
        .head(MOST_SPANS)
    )
    labels = rows["label"].to_list()
    width = gutter_of(labels)
    chart: alt.Chart = (
        alt.Chart(drawn)
        .mark_bar(height={"band": 0.7}, color=COLOURS[State.DOWN], stroke=COLOURS[State.DOWN], strokeWidth=1)
        .encode(
            time_axis("since", over=over),
            alt.X2("until:T"),
            alt.Y(
                "label:N",
                sort=labels,
                scale=alt.Scale(domain=labels),
                axis=alt.Axis(title=None, ticks=False, domain=False, labelLimit=width, grid=True),
            ),
            tooltip=[
                alt.Tooltip("site:N"),
                alt.Tooltip("group:Q"),
                alt.Tooltip("since:T", title="down from", format="%d %b %H:%M:%S UTC"),
                alt.Tooltip("until:T", title="to", format="%d %b %H:%M:%S UTC"),
            ],
        )
        .properties(
            height=max(1, len(labels)) * ROW + GROUND // 2,
            width="container",
            description="When the sites of each group were down; they fail at the same times.",
        )
    )
    return chart
