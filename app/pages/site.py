"""Is it healthy, and if not why? One site: its regions, its time, its newest checks. Live."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from app import data
from app.components import (
    address,
    code,
    first_run,
    flash,
    questions,
    sighting,
    site_charts,
    site_dialogs,
    site_head,
    site_overview,
    site_policies,
    site_state,
    site_window,
    tab,
    tested,
)
from app.components.boundary import live
from app.components.charting import draw, titled
from app.components.site_regions import regions
from app.components.ticks_table import is_test, ticks_table
from app.components.words import plain
from app.windows import HOUR, Window
from pipeline import charts
from pipeline.applicable import is_bare
from pipeline.store.overview import SiteRow
from pipeline.vocabulary import State


@live(2)
def head(key: str) -> None:
    row, now = data.row(key), data.utc_now()
    site_head.verdict(row, now, confirming=first_run.confirming(row))
    site_state.explain(row, data.health(), data.facts(), now)
    site_head.regions(row, now)


@live(2)
def seen(key: str) -> None:
    sighting.panel(data.row(key), data.utc_now())


@live(10)  # soon after the head, which it must not contradict for long
def uptime(row: SiteRow) -> None:
    with st.skeleton(height=140):  # seen only where the store takes its time
        uptimes = {window: data.uptimes((row.id,), window, age_s=10)[row.id] for window in data.WINDOWS}
    frame = site_head.as_frame(uptimes)
    note = "of the time that is known, by the vote of the regions; degraded counts as up"
    titled("Uptime", note, name=f"{row.key}-uptime", frame=frame, code=code.uptime(row.key))
    site_head.uptime_tiles(uptimes)


@live(1)  # a tick is there within two seconds of its commit, what is cached and the browser's own time included
def newest(row: SiteRow, seen_from: tuple[str, ...]) -> None:
    ticks = data.ticks(row.id, seen_from=seen_from)
    note = "newest first; a test is not part of uptime"
    titled("Checks", note, name=f"{row.key}-checks", frame=ticks, code=code.ticks(row.key))
    tests = is_test(ticks)
    if not tests.is_empty() and not tested.is_shown(row.key):
        st.caption("The last test:")
        draw(charts.waterfall(tests), key="waterfall", alt_text=f"Phases of the last test of {row.name} by region.")
    if ticks.is_empty():
        st.caption("◌ No check yet.")
    else:
        ticks_table(ticks, rows=14, key="ticks", asks=not is_bare(row.url))


def pause(key: str, paused: bool) -> None:
    data.pause([key], paused=paused)
    flash.say("Paused: nothing is checked until you resume." if paused else "Resumed; the first check is on its way.")


def actions(row: SiteRow) -> None:
    paused = row.state is State.PAUSED
    with st.container(key="actions", horizontal=True, vertical_alignment="bottom", gap="small"):
        st.title(plain(row.name), width="stretch")
        look: Literal["primary", "secondary"] = "secondary" if paused else "primary"
        st.button("Test now", key="test", type=look, disabled=paused, on_click=tested.ask, args=(row.key,))
        st.button("Resume" if paused else "Pause", key="pause", on_click=pause, args=(row.key, not paused))
        st.button("Settings", key="edit", on_click=site_dialogs.open_edit, args=(row.key,))
        st.button("Delete …", key="delete", on_click=site_dialogs.open_delete, args=([row.key],))


def over_time(row: SiteRow) -> tuple[Window, tuple[str, ...]]:
    """The overview, what picks the window, and what is drawn of it; returns the window and the regions picked."""
    now, created_at = data.utc_now(), data.site(row.key).created_at
    window = site_window.window(young=now - created_at < HOUR)
    with st.container(horizontal=True, vertical_alignment="center"):
        site_window.ranges(window)
        seen_from = regions(row)
    site_overview.overview(row, created_at, window, seen_from)
    site_window.line(window, now)
    questions.links(row, window, seen_from)
    site_charts.over_time(row, window, seen_from)
    return window, seen_from


key = address.said("site")
if not key:
    st.title("Site")
    st.caption("Pick one from the list of sites.")
    st.page_link("pages/sites.py", label="All sites")
elif (deleted := st.session_state.pop("deleted", None)) and key in deleted:
    st.switch_page("pages/sites.py")
else:
    row = data.row(key)
    tab.says(row.name)
    actions(row)
    tested.tested(row)
    site_head.facts(row, data.utc_now())
    head(key)
    seen(key)
    uptime(row)
    window, seen_from = over_time(row)
    newest(row, seen_from)
    site_policies.policies(row, window, seen_from)
    site_dialogs.draw_open()
