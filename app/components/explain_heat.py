"""The heatmap that a box is picked on. The box is in the address; the brush shows it.

While that is what somebody has just dragged, the chart is left alone; where the address says something else (*back*, a
button, a link from somebody), a new chart begins with it.
"""

from __future__ import annotations

from functools import partial
from math import inf, isfinite

import streamlit as st
from msgspec import Struct

from app import boxes
from app.components import address
from app.components.charting import trusted
from app.components.words import milliseconds
from app.windows import Window
from pipeline import charts
from pipeline.analysis.boxes import Box
from pipeline.charts.heat import BOX, Picked, failures_from, slowest_from
from pipeline.charts.palette import over_range
from pipeline.store.heat import Heat
from pipeline.store.overview import SiteRow

_KEY = "heat"
SLOWEST = 0.05


class Chart(Struct):
    """What chart is drawn, and the box that its brush shows, as the address says it."""

    drawn: tuple[object, ...]
    number: int
    begun: str
    brushed: str
    failures_from: float

    @property
    def key(self) -> str:
        return f"{_KEY}-{self.number}"


def heatmap(
    row: SiteRow, window: Window, seen_from: tuple[str, ...], heat: Heat, box: Box | None, ends: Picked
) -> None:
    """Draw it; a drag changes the address."""
    chart = _chart((row.key, window, seen_from), boxes.say(box), failures_from(heat.cells))
    begun = _place(boxes.read(chart.begun), ends)
    with st.container(key=_KEY):
        st.altair_chart(
            trusted(charts.heat(heat.cells, box=begun, over=over_range(*ends[:2]))),
            key=chart.key,
            on_select=partial(_dragged, chart.number),
            selection_mode=BOX,
            alt=f"Checks of {row.name} by time and latency on a log scale, failed ones in a row at the top. "
            "A drag picks a box of them.",
            width="stretch",
        )


def suggestions(heat: Heat, ends: Picked, box: Box | None) -> None:
    """Boxes that people ask for, without a mouse."""
    since, until, *_ = ends
    slow = slowest_from(heat.cells, SLOWEST)
    with st.container(key="boxes", horizontal=True, vertical_alignment="center", gap="small"):
        if slow is not None:
            slowest = Box(since, until, slow, failures_from(heat.cells) * 1.001)
            _button(f"Slowest 5 % (from {milliseconds(slow)})", "slowest", slowest)
        if heat.cells["failed"].any():
            _button("Failures", "failures", Box(since, until, inf, inf, failed=True))
        if box is not None:
            st.button("Clear box", key="box-clear", type="tertiary", on_click=address.go, kwargs={"box": ""})


def _button(label: str, name: str, box: Box) -> None:
    st.button(label, key=f"box-{name}", type="tertiary", on_click=address.go, kwargs={"box": boxes.say(box)})


def _chart(drawn: tuple[object, ...], wanted: str, above: float) -> Chart:
    """The chart that is drawn, or a new one where it would show something else than is wanted."""
    last: Chart | None = st.session_state.get(_KEY)
    if last is None or last.drawn != drawn or last.brushed != wanted:
        last = Chart(drawn, last.number + 1 if last else 0, wanted, wanted, above)
        st.session_state[_KEY] = last
    last.failures_from = above
    return last


def _place(box: Box | None, ends: Picked) -> Picked | None:
    """Where the brush of a box is on the chart, failures being the row at its top."""
    if box is None:
        return None
    _, _, above, top = ends
    low = box.low_ms if isfinite(box.low_ms) else above
    return box.since, box.until, low, box.high_ms if isfinite(box.high_ms) else top


def _dragged(number: int) -> None:
    """The brush was dragged, moved or taken away."""
    chart: Chart = st.session_state[_KEY]
    if chart.number != number:
        return  # of a chart that is no longer there
    picked = st.session_state[chart.key]["selection"].get(BOX, {})
    times, latencies = picked.get("at"), picked.get("low_ms")
    if not times or not latencies:
        said = ""
    else:
        (since, until), (low, high) = sorted(times), sorted(latencies)
        said = boxes.say(boxes.dragged(since, until, low, high, chart.failures_from))
        if said == chart.begun == chart.brushed:
            return  # a new chart tells what it began with
    chart.brushed = said
    address.go(box=said)
