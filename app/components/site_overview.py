"""The strip of all that there is of a site, and the brush that picks a window on it.

The window is in the address, by the minute and in UTC. The brush shows it: while that is what somebody has just
dragged, the chart is left alone, so that no refresh moves it under their hand; where the address says something else
(*back*, a button, a link from somebody), a new chart begins with it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import polars as pl
import streamlit as st
from msgspec import Struct

from app import data, windows
from app.components import address, code
from app.components.boundary import live
from app.components.charting import titled, trusted, width_of
from app.components.site_charts import gutter
from app.components.words import milliseconds
from app.windows import Window
from pipeline import charts
from pipeline.charts.overview import WINDOW
from pipeline.store.overview import SiteRow

_KEY = "overview"
Pair = tuple[str, str]


class Chart(Struct):
    """What chart is drawn. `begun` is the window that it began with, `brushed` the one that its brush shows now."""

    site: str
    number: int
    begun: Pair | None
    brushed: Pair | None

    @property
    def key(self) -> str:
        return f"{_KEY}-{self.number}"


@live(15)
def overview(row: SiteRow, created_at: datetime, window: Window, seen_from: tuple[str, ...]) -> None:
    now = data.utc_now()
    since, until = windows.reach(window, created_at, now)
    with st.skeleton(height=140):  # seen only where the store takes its time
        frame = data.overall(row.id, since, until, seen_from)
    slowest = frame["p95_ms"].max()
    said = f", up to {milliseconds(slowest)}" if isinstance(slowest, float) else ""
    note = f"availability below, 95th percentile above{said}; drag to pick a window; times are UTC"
    titled(
        "Overview", note, name=f"{row.key}-overview", frame=frame,
        code=code.overview(row.key, since, until, width_of(frame), seen_from),
    )  # fmt: skip
    if frame.is_empty():
        st.caption("◌ Nothing is known yet. The first check fills it.")
        return
    _draw(row, frame, window, now)


def _draw(row: SiteRow, frame: pl.DataFrame, window: Window, now: datetime) -> None:
    wanted = _pair(window)
    chart = _chart(row.key, wanted)
    begun = _times(chart.begun) if chart.begun else None
    with st.container(key=_KEY):
        st.altair_chart(
            trusted(
                charts.overview(frame, brush=begun, shown=None if wanted else window.bounds(now), gutter=gutter(row))
            ),
            key=chart.key,
            on_select=partial(_brushed, chart.number),
            selection_mode=WINDOW,
            alt=f"Availability and 95th percentile of {row.name}. A drag over it picks the window of the charts below.",
            width="stretch",
        )


def _chart(site: str, wanted: Pair | None) -> Chart:
    """The chart that is drawn, or a new one where it would show another window than is wanted."""
    last: Chart | None = st.session_state.get(_KEY)
    if last is None or last.site != site or last.brushed != wanted:
        last = Chart(site, last.number + 1 if last else 0, wanted, wanted)
        st.session_state[_KEY] = last
    return last


def _brushed(number: int) -> None:
    """The brush was dragged, moved or taken away."""
    chart: Chart = st.session_state[_KEY]
    if chart.number != number:
        return  # of a chart that is no longer there
    picked = st.session_state[chart.key]["selection"].get(WINDOW, {}).get("at")
    brushed = _pair(windows.between(*(datetime.fromtimestamp(ms / 1000, UTC) for ms in picked))) if picked else None
    if brushed == chart.brushed:
        return  # a new chart tells what it began with
    chart.brushed = brushed
    since, until = brushed or ("", "")
    address.go(**{"from": since, "to": until})
    st.rerun()  # the charts below are other parts of the page


def _pair(window: Window) -> Pair | None:
    said = window.address()
    return (said["from"], said["to"]) if said["to"] else None


def _times(pair: Pair) -> tuple[datetime, datetime]:
    since, until = (datetime.fromisoformat(at) for at in pair)
    return since, until
