"""From one policy's uptime to another's, step by step: what each choice takes away or adds, in points and in time."""

from __future__ import annotations

import altair as alt
import polars as pl

from pipeline.analysis.claims import NOTHING, percent
from pipeline.charts.palette import COLOURS, layered
from pipeline.charts.states import lasting
from pipeline.vocabulary import State

ROW = 46
BAR = 10
BELOW = 9  # pixels under the middle of its row, at which a bar lies: what is written is above it
SLIGHT = 1e-12  # what sums of floats make of nothing
LOSS, GAIN, WHOLE, SAME = COLOURS[State.DOWN], COLOURS[State.UP], "#5b62d9", COLOURS[State.UNKNOWN]


def policy_waterfall(frame: pl.DataFrame) -> alt.LayerChart:
    """Frame WATERFALL as bars: the two policies as points at both ends, between them a bar for each choice.

    Each bar goes from the uptime before to the uptime after, and above it stands what was chosen and what that made.
    """
    drawn = bars(frame).with_row_index("row")
    ends, steps = drawn.filter(pl.col("kind") != "choice"), drawn.filter(pl.col("kind") == "choice")
    known = [value for name in ("before", "uptime") for value in drawn[name].drop_nulls()]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    room = max(high - low, 1e-5)
    scale = alt.Scale(domain=[low - 0.04 * room, high + 0.04 * room], nice=False, zero=False)
    axis = alt.Axis(title=None, format=".3%" if room < 0.02 else ".1%", tickCount=3, labelFlush=True, labelOverlap=True)
    rows = alt.Y("row:O", sort=None, axis=None, scale=alt.Scale(domain=drawn["row"].to_list()))
    tooltip = [
        alt.Tooltip("label:N", title="step"),
        alt.Tooltip("said:N", title="change"),
        alt.Tooltip("now:N", title="uptime"),
    ]
    colours = alt.Color("colour:N", scale=None)
    place = alt.X("uptime:Q", scale=scale, axis=axis)
    points = alt.Chart(ends).mark_point(filled=True, size=90, opacity=1, shape="diamond", yOffset=BELOW)
    spans = alt.Chart(steps).mark_bar(height=BAR, cornerRadius=1.5, yOffset=BELOW)
    left = alt.Chart(drawn).mark_text(align="left", dy=-8, fontSize=12, color=SAME)
    right = alt.Chart(drawn).mark_text(align="right", dy=-8, fontSize=12)
    chart = layered(
        spans.encode(alt.X("before:Q", scale=scale, axis=axis), alt.X2("uptime:Q"), rows, colours, tooltip=tooltip),
        points.encode(place, rows, colours, tooltip=tooltip),
        left.encode(rows, alt.Text("label:N"), x=alt.value(0), tooltip=tooltip),
        right.encode(rows, alt.Text("text:N"), colours, x=alt.value("width"), tooltip=tooltip),
        height=max(1, len(drawn)) * ROW,
    )
    described: alt.LayerChart = chart.properties(description=described_in_words(frame))
    return described


def bars(frame: pl.DataFrame) -> pl.DataFrame:
    """The waterfall's rows with what is drawn of them: [label, before, said, text, now, colour, …]."""
    choice = pl.col("kind") == "choice"
    before = pl.col("uptime").forward_fill().shift()
    told = frame.with_columns(
        pl.when(choice).then(before).otherwise("uptime").alias("before"),
        label=pl.when(choice).then(pl.format("{}: {}", "step", "choice")).otherwise("step"),
        said=pl.struct("change", "change_s").map_elements(_said, return_dtype=pl.String),
        short=pl.struct("change", "change_s").map_elements(_short, return_dtype=pl.String),
        now=pl.col("uptime").map_elements(lambda share: percent(share, 4), return_dtype=pl.String, skip_nulls=False),
        colour=pl.when(~choice)
        .then(pl.lit(WHOLE))
        .when(pl.col("change") < -SLIGHT)
        .then(pl.lit(LOSS))
        .when(pl.col("change") > SLIGHT)
        .then(pl.lit(GAIN))
        .otherwise(pl.lit(SAME)),
    )
    return told.with_columns(text=pl.when(choice).then("short").otherwise("now"))


def _short(change: dict[str, float | None]) -> str:
    """A change in points and in time: `+ 0.12 points, 3 min`."""
    points, seconds = change["change"], change["change_s"]
    if points is None or seconds is None:
        return NOTHING
    if abs(points) < SLIGHT:
        return "no difference"
    sign = "\N{MINUS SIGN}" if points < 0 else "+"
    return f"{sign} {abs(points) * 100:.3g} points, {lasting(abs(seconds)) if abs(seconds) >= 1 else 'under 1 s'}"


def _said(change: dict[str, float | None]) -> str:
    """The same as a sentence's end: `+ 0.12 points, 3 min less down`."""
    told, points = _short(change), change["change"]
    return told if points is None or abs(points) < SLIGHT else f"{told} {'more' if points < 0 else 'less'} down"


def described_in_words(frame: pl.DataFrame) -> str:
    """The chart for who cannot see it."""
    told = bars(frame)
    steps = [
        f"{label}, {said}" for label, said in told.filter(pl.col("kind") == "choice").select("label", "said").rows()
    ]
    first, last = told.row(0, named=True), told.row(-1, named=True)
    between = "; ".join(steps) or "they make the same choices"
    return f"From {first['step']}, {first['now']}, to {last['step']}, {last['now']}: {between}."
