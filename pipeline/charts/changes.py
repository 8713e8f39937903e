"""A series with its change points: what the hours were, and the level before and after each."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import altair as alt
import polars as pl

from pipeline.answers import ANOMALIES, CHANGES
from pipeline.charts.latency import GAP
from pipeline.charts.palette import (
    COLOURS,
    GUTTER,
    layered,
    milliseconds_axis,
    region_colours,
    region_dashes,
    time_axis,
)
from pipeline.frames import TIME, check
from pipeline.vocabulary import State

POINTS = 2000  # of a series
LEVEL = "#d98a0b"
TIMES = "datum.label ? datum.label + ' \N{MULTIPLICATION SIGN}' : ''"
LATE = 0.85  # of the width: from there on, words stand left of what they say


def changes(medians: pl.DataFrame, found: pl.DataFrame, *, gutter: int = GUTTER, height: int = 260) -> alt.LayerChart:
    """Hourly medians by region, the levels between their changes as thick lines, each change a rule with its factor.

    `medians`: frame MEDIANS, of one site and phase; `found`: frame CHANGES, of the same.
    """
    check(found, CHANGES)
    regions = sorted(medians["region"].cast(pl.String).unique())
    drawn = thinned(medians.select("at", pl.col("region").cast(pl.String), "p50_ms"), POINTS)
    axis = time_axis()
    y = alt.Y("p50_ms:Q", axis=milliseconds_axis(gutter), scale=alt.Scale(zero=False, nice=True))
    line = (
        alt.Chart(drawn)
        .mark_line(strokeWidth=1, opacity=0.55, invalid=GAP)
        .encode(
            axis,
            y,
            region_colours(regions),
            tooltip=[
                alt.Tooltip("at:T", title="hour", format="%d %b %H:%M UTC"),
                alt.Tooltip("region:N"),
                alt.Tooltip("p50_ms:Q", title="median ms", format=".1f"),
            ],
        )
    )
    stairs = levels(drawn, found)
    stair = (
        alt.Chart(stairs)
        .mark_line(strokeWidth=2.6, interpolate="step-after")
        .encode(axis, alt.Y("p50_ms:Q"), region_colours(regions), region_dashes(regions))
    )
    marks = _marks(found)
    rules = alt.Chart(marks).mark_rule(color=LEVEL, strokeWidth=1.4, strokeDash=[4, 3]).encode(axis, tooltip=_tooltip())
    words = [
        alt.Chart(part)
        .mark_text(align=side, dx=shift, dy=8, baseline="top", color=LEVEL, fontSize=12, fontWeight=600)
        .encode(axis, y=alt.value(0), text="said:N", tooltip=_tooltip())
        for part, side, shift in _sides(marks, drawn)
    ]
    chart = layered(line, stair, *([rules, *words] if not marks.is_empty() else []), height=height)
    return chart.properties(
        description="Hourly medians by region with the levels that they keep, and where those shift."
    )


def strange(found: pl.DataFrame, *, gutter: int = GUTTER, height: int = 160) -> alt.LayerChart:
    """Anomalies over time: how many times as long as usual, ▲ slower and ▼ faster. Frame ANOMALIES."""
    check(found, ANOMALIES)
    drawn = found.head(POINTS).with_columns(
        pl.col("site", "region", "against").cast(pl.String),
        times=pl.col("p50_ms") / pl.col("expected_ms"),
        way=pl.when(pl.col("z") > 0).then(pl.lit("slower")).otherwise(pl.lit("faster")),
    )
    words, colours = ["slower", "faster"], [COLOURS[State.DEGRADED], "#4a90c2"]
    points = (
        alt.Chart(drawn)
        .mark_point(filled=True, size=50, opacity=0.85)
        .encode(
            time_axis(),
            alt.Y(
                "times:Q",
                scale=alt.Scale(type="log", nice=True),
                axis=alt.Axis(title=None, tickCount=5, labelExpr=TIMES, minExtent=gutter, maxExtent=gutter),
            ),
            alt.Color("way:N", scale=alt.Scale(domain=words, range=colours), legend=None),
            alt.Shape("way:N", scale=alt.Scale(domain=words, range=["triangle-up", "triangle-down"]), legend=None),
            tooltip=[
                alt.Tooltip("at:T", title="hour", format="%d %b %H:%M UTC"),
                alt.Tooltip("site:N"),
                alt.Tooltip("region:N"),
                alt.Tooltip("p50_ms:Q", title="median ms", format=".1f"),
                alt.Tooltip("expected_ms:Q", title="usual ms", format=".1f"),
                alt.Tooltip("z:Q", title="robust z", format=".1f"),
                alt.Tooltip("against:N", title="against the same"),
            ],
        )
    )
    usual = alt.Chart().mark_rule(strokeWidth=1, opacity=0.5).encode(y=alt.datum(1))
    chart = layered(points, usual, height=height)
    return chart.properties(
        description="Hours that took unusually long or short, against the same hours of other weeks."
    )


def thinned(frame: pl.DataFrame, most: int, by: Sequence[str] = ("region",)) -> pl.DataFrame:
    """At most so many rows a series [at, p50_ms]: of each stretch of time the first, the least and the greatest."""
    longest = frame.group_by(by).len()["len"].max()
    if not isinstance(longest, int) or longest <= most:
        return frame.sort(*by, "at")
    stretches = most // 3
    rank = (pl.int_range(pl.len()).over(by) * stretches // pl.len().over(by)).alias("stretch")
    ms, group = pl.col("p50_ms"), (*by, "stretch")
    first = pl.int_range(pl.len()).over(group) == 0
    kept = first | (ms == ms.min().over(group)) | (ms == ms.max().over(group))
    cut = frame.sort(*by, "at").with_columns(rank)
    told = cut.filter(kept)
    # Of equal values one will do.
    return told.unique([*by, "stretch", "p50_ms"], keep="first", maintain_order=True).select(frame.columns)


def levels(medians: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """[at, region, p50_ms]: the corners of each region's stair, of the changes that its series has."""
    rows: list[tuple[datetime, str, float]] = []
    for part in found.sort("at").partition_by("region", maintain_order=True):
        region = str(part["region"][0])
        times = medians.filter(region=region)["at"]
        first, last = times.min(), times.max()
        if isinstance(first, datetime) and isinstance(last, datetime):
            rows.append((first, region, part["before_ms"][0]))
            rows += [(row["at"], region, row["after_ms"]) for row in part.iter_rows(named=True)]
            rows.append((last, region, part["after_ms"][-1]))
    schema = pl.Schema({"at": TIME, "region": pl.String(), "p50_ms": pl.Float64()})
    return pl.DataFrame(rows, schema=schema, orient="row")


def _marks(found: pl.DataFrame) -> pl.DataFrame:
    return found.with_columns(
        pl.col("site", "region", "phase").cast(pl.String),
        said=pl.format(
            "{} {} %", pl.when(pl.col("ratio") > 1).then(pl.lit("▲")).otherwise(pl.lit("▼")),
            ((pl.col("ratio") - 1) * 100).round(0).cast(pl.Int64),
        ),
    )  # fmt: skip


def _sides(marks: pl.DataFrame, drawn: pl.DataFrame) -> list[tuple[pl.DataFrame, Literal["left", "right"], int]]:
    """The marks whose words have room on their right, and the others."""
    first, last = drawn["at"].min(), drawn["at"].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return []
    late = pl.col("at") > first + (last - first) * LATE
    parts: list[tuple[pl.DataFrame, Literal["left", "right"], int]] = [
        (marks.filter(~late), "left", 4),
        (marks.filter(late), "right", -4),
    ]
    return [part for part in parts if not part[0].is_empty()]


def _tooltip() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("at:T", title="from", format="%d %b %H:%M UTC"),
        alt.Tooltip("region:N"),
        alt.Tooltip("before_ms:Q", title="before, ms", format=".1f"),
        alt.Tooltip("after_ms:Q", title="after, ms", format=".1f"),
        alt.Tooltip("ratio:Q", title="times", format=".2f"),
        alt.Tooltip("p_value:Q", title="p", format=".1g"),
    ]
