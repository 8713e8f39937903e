"""A site over its window: states, latency and phases, of single checks where those can be told, else of rollups."""

from __future__ import annotations

import streamlit as st
from msgspec import Struct

from app import data
from app.components import code
from app.components.boundary import live
from app.components.charting import draw, titled, width_of
from app.windows import DAY, HOUR, Window
from pipeline import charts
from pipeline.analysis.claims import FEW
from pipeline.charts.latency import few
from pipeline.charts.palette import gutter_of, over_buckets, over_range, widest
from pipeline.charts.states import lasting
from pipeline.charts.voted import ALL
from pipeline.store.history import PHASES_FROM_TICKS, Detail, Source
from pipeline.store.overview import SiteRow
from pipeline.vocabulary import State

KEPT = {Source.HOURS: "hour", Source.DAYS: "UTC day"}


def over_time(row: SiteRow, window: Window, seen_from: tuple[str, ...]) -> None:
    """What is drawn follows now as often as somebody could see it; a window that stays is drawn once."""
    if not window.lives:
        _over_time(row, window, seen_from)
    elif window.length <= 6 * HOUR:
        _often(row, window, seen_from)
    else:
        _seldom(row, window, seen_from)


def _over_time(row: SiteRow, window: Window, seen_from: tuple[str, ...]) -> None:
    with st.skeleton(height=240):  # seen only where the store takes its time
        detail = data.detail(row.id, window, seen_from)
    with st.container(key="detail", gap="small"):
        lined_up = _Lines(_reach(window, detail), gutter(row))
        _states(row, window, detail, lined_up)
        _latency(row, window, detail, lined_up)
        _phases(row, window, detail, seen_from, lined_up)


class _Lines(Struct, frozen=True):
    """What the charts below each other have in common: the times they reach over, and the pixels before them."""

    over: tuple[float, float] | None
    gutter: int


def gutter(row: SiteRow) -> int:
    """The pixels before the charts of a site's page, of which some have its regions there."""
    return gutter_of([ALL, *(seen.region.key for seen in row.seen)])


def _reach(window: Window, detail: Detail) -> tuple[float, float] | None:
    """The window, with the whole of the buckets that it cuts."""
    return widest(over_range(*window.bounds(data.utc_now())), over_buckets(detail.latency["at"]))


_often = live(15)(_over_time)
_seldom = live(60)(_over_time)


def _states(row: SiteRow, window: Window, detail: Detail, lines: _Lines) -> None:
    ticks = detail.source is Source.TICKS
    bar = data.state_bar(row.id, window, ticks=ticks)
    frame = detail.states if bar is None else bar
    width_s = width_of(detail.states)
    if bar is None:
        note = f"by region, share of each {_bucket(width_s)}; a failure is always tall enough"
        shown = code.shares(row.key, window, detail.source, width_s)
    else:
        note = "by the vote of the regions, and by region"
        shown = code.states(row.key, window)
    if not ticks and window.length <= DAY:
        note += "; single checks of that time are no longer kept"
    titled("States", note, name=f"{row.key}-states", frame=frame, code=shown)
    if frame.is_empty():
        st.caption("◌ Nothing was called for in this time: it is before the site was added.")
        return
    chart = charts.shares if bar is None and not ticks else charts.strip
    draw(
        chart(frame, lines.over, gutter=lines.gutter),
        key="states",
        alt_text=f"States of {row.name} by region, {_span(window)}.",
    )


def _latency(row: SiteRow, window: Window, detail: Detail, lines: _Lines) -> None:
    frame = detail.latency
    width_s = width_of(frame)
    of = "" if detail.source is Source.TICKS else f" of each {_bucket(width_s)}, within 1.1 %"
    note = f"median, 25 to 75 % and 5 to 95 %{of}; failures are crosses"
    if few(frame):
        note += f"; grey: fewer than {FEW} checks a point"
    shown = code.latency(row.key, window, detail.source, width_s)
    titled("Latency", note, name=f"{row.key}-latency", frame=frame, code=shown)
    if frame["p50_ms"].count():
        chart = charts.latency(frame, over=lines.over, gutter=lines.gutter)
        draw(chart, key="latency", alt_text=f"Latency of {row.name} by region, {_span(window)}.")
    else:
        st.caption(_nothing(row, window, detail))


def _phases(row: SiteRow, window: Window, detail: Detail, seen_from: tuple[str, ...], lines: _Lines) -> None:
    frame = detail.phases
    if frame is None:
        st.caption(
            f"◌ Phases are means of single checks, so they are drawn for up to {PHASES_FROM_TICKS.days} days: "
            "drag a shorter window on the overview."
        )
        return
    where = ", ".join(seen_from) or "all regions"
    shown = code.phases(row.key, window, width_of(frame))
    titled("Phases", f"mean, {where}", name=f"{row.key}-phases", frame=frame, code=shown)
    if frame.is_empty():
        st.caption(_nothing(row, window, detail))
    else:
        chart = charts.phases(frame, over=lines.over, gutter=lines.gutter)
        draw(chart, key="phases", alt_text=f"Mean phases of {row.name}, {_span(window)}.")


def _nothing(row: SiteRow, window: Window, detail: Detail) -> str:
    """Why there is nothing to draw, and what to do."""
    failed = int(detail.latency["failed"].sum())
    if failed:
        return f"✕ No check answered in this time; {failed} failed."
    if row.state is State.PAUSED:
        return "◌ No check answered in this time: it is paused."
    if row.checked_at is None:
        return "◌ No check answered in this time: the first is on its way."
    return f"◌ No check answered in this time: {'zoom out' if window.lives else 'zoom out, or press Live'}."


def _span(window: Window) -> str:
    words = lasting(window.length.total_seconds())
    return f"over the last {words}" if window.end is None else f"over the {words} up to {window.end:%d %b %Y %H:%M} UTC"


def _bucket(width_s: int) -> str:
    return "hour" if width_s == 3600 else "UTC day" if width_s == 86_400 else lasting(width_s)
