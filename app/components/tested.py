"""What *Test now* found, where it was clicked: that it is on its way, and then each region's answer."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import streamlit as st
from msgspec import Struct

from app import data
from app.components import flash
from app.components.boundary import live
from app.components.charting import draw
from app.components.ticks_table import is_test
from app.components.words import lasted, mark, milliseconds, plain, reason, unlinked
from pipeline import charts
from pipeline.charts.palette import GROUND
from pipeline.store.overview import SiteRow
from pipeline.vocabulary import STATE_OF, Outcome

_KEY = "asked"
CLOCKS = timedelta(seconds=2)  # by which those of the pusher and of the app may differ
PATIENCE = timedelta(seconds=20)


class Asked(Struct, frozen=True):
    """A test that somebody asked for in this window."""

    site: str
    at: datetime
    regions: int


def ask(key: str) -> None:
    """Ask for one check from each region, and show it."""
    asked = Asked(key, data.utc_now(), data.test_now(key))
    where = f"{asked.regions} {'region' if asked.regions == 1 else 'regions'}"
    flash.say(f"Asked {where} for a check; it shows under the button." if asked.regions else "No region checks it now.")
    st.session_state[_KEY] = asked if asked.regions else None


def is_shown(key: str) -> bool:
    """Whether a test of this site is being looked at."""
    asked: Asked | None = st.session_state.get(_KEY)
    return asked is not None and asked.site == key


def tested(row: SiteRow) -> None:
    """The test that was asked for here, if one was."""
    if is_shown(row.key):
        _tested(row)


@live(1)
def _tested(row: SiteRow) -> None:
    asked: Asked | None = st.session_state.get(_KEY)
    if asked is None:
        return
    ticks = data.ticks(row.id)
    found = is_test(ticks.filter(pl.col("at") >= asked.at - CLOCKS)) if not ticks.is_empty() else ticks
    now = data.utc_now()
    with st.container(border=True, key="tested", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("##### Test", width="content")
            st.caption(_progress(asked, len(found), now), width="stretch")
            st.button("Done", key="tested-done", type="tertiary", on_click=_forget)
        if not found.is_empty():
            st.markdown("  \n".join(_answer(tick) for tick in found.iter_rows(named=True)))
        # As tall as it will be, so that nothing jumps when the answers come in.
        with st.container(height=asked.regions * 30 + GROUND, border=False):
            if found["latency_ms"].count():
                alt_text = f"Phases of the last test of {row.name} by region, in milliseconds."
                draw(charts.waterfall(found), key="tested-waterfall", alt_text=alt_text)


def _progress(asked: Asked, answers: int, now: datetime) -> str:
    ago = f"asked {lasted(asked.at, now)} ago"
    if answers >= asked.regions:
        return f"{ago}; not part of uptime"
    waiting = f"{ago}, {answers} of {asked.regions} regions answered"
    return f"{waiting}; nobody seems to probe there: see *Health*" if now - asked.at > PATIENCE else f"{waiting} …"


def _answer(tick: dict[str, object]) -> str:
    outcome, detail, latency = Outcome(str(tick["outcome"])), tick["detail"], tick["latency_ms"]
    took = f" · {milliseconds(latency)}" if isinstance(latency, float) else ""
    said = unlinked(reason(outcome, str(detail) if detail else None))
    return f"{mark(STATE_OF[outcome])} **{plain(str(tick['region']))}** {said}:gray[{took}]"


def _forget() -> None:
    st.session_state.pop(_KEY, None)
