"""Is it healthy, and if not why? One site: its regions, its time, its newest checks. Live."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import code, first_run, flash, site_dialogs, site_head
from app.components.boundary import live
from app.components.charting import draw, titled, width_of
from app.components.ticks_table import is_test, ticks_table
from app.components.words import plain
from pipeline import charts
from pipeline.store.overview import SiteRow
from pipeline.vocabulary import State


@live(2)
def head(key: str) -> None:
    row, now = data.row(key), data.utc_now()
    site_head.verdict(row, now, confirming=first_run.confirming(row))
    site_head.regions(row, now)


@live(15)
def over_time(row: SiteRow, span: str, seen_from: tuple[str, ...]) -> None:
    states = data.spans((row.id,), span)
    titled("States", "by region", name=f"{row.key}-states", frame=states, code=code.states(row.key, span))
    draw(charts.strip(states), key="states", alt_text=f"States of {row.name} by region over {span}.")
    latency = data.latency(row.id, span, seen_from)
    note = "median, and up to the 95th percentile; failures are crosses and not in it"
    titled(
        "Latency", note, name=f"{row.key}-latency", frame=latency, code=code.latency(row.key, span, width_of(latency))
    )
    if latency["p50_ms"].count():
        draw(charts.latency(latency), key="latency", alt_text=f"Latency of {row.name} by region over {span}.")
    else:
        st.caption("◌ No check answered in this time.")
    phases = data.phases(row.id, span, seen_from)
    where = ", ".join(seen_from) or "all regions"
    titled(
        "Phases",
        f"mean, {where}",
        name=f"{row.key}-phases",
        frame=phases,
        code=code.phases(row.key, span, width_of(phases)),
    )
    if phases.is_empty():
        st.caption("◌ No check answered in this time.")
    else:
        draw(charts.phases(phases), key="phases", alt_text=f"Mean phases of {row.name} over {span}.")


@live(60)
def uptime(row: SiteRow) -> None:
    uptimes = {window: data.uptimes((row.id,), window)[row.id] for window in data.WINDOWS}
    frame = site_head.as_frame(uptimes)
    note = "of the time that is known, mean over regions; degraded counts as up"
    titled("Uptime", note, name=f"{row.key}-uptime", frame=frame, code=code.uptime(row.key))
    site_head.uptime_tiles(uptimes)


@live(2)
def newest(row: SiteRow, seen_from: tuple[str, ...]) -> None:
    ticks = data.ticks(row.id, seen_from=seen_from)
    note = "newest first; a test is not part of uptime"
    titled("Checks", note, name=f"{row.key}-checks", frame=ticks, code=code.ticks(row.key))
    tests = is_test(ticks)
    if not tests.is_empty():
        st.caption("The last test:")
        draw(charts.waterfall(tests), key="waterfall", alt_text=f"Phases of the last test of {row.name} by region.")
    if ticks.is_empty():
        st.caption("◌ No check yet.")
    else:
        ticks_table(ticks, rows=14, key="ticks")


def test(key: str) -> None:
    asked = data.test_now(key)
    where = f"{asked} {'region' if asked == 1 else 'regions'}"
    flash.say(f"Asked {where} for a check; it appears below within seconds." if asked else "No region checks it now.")


def pause(key: str, paused: bool) -> None:
    data.pause([key], paused=paused)
    flash.say("Paused: nothing is checked until you resume." if paused else "Resumed; the first check is on its way.")


def actions(row: SiteRow) -> None:
    paused = row.state is State.PAUSED
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.title(plain(row.name), width="stretch")
        st.button("Test now", key="test", type="primary", disabled=paused, on_click=test, args=(row.key,))
        st.button("Resume" if paused else "Pause", key="pause", on_click=pause, args=(row.key, not paused))
        st.button("Settings", key="edit", on_click=site_dialogs.open_edit, args=(row.key,))
        st.button("Delete …", key="delete", on_click=site_dialogs.open_delete, args=([row.key],))


def pickers(row: SiteRow) -> tuple[str, tuple[str, ...]]:
    keys = [seen.region.key for seen in row.seen]
    young = data.utc_now() - data.site(row.key).created_at < data.RANGES["1h"]
    usual = "1h" if young else "6h"
    with st.container(horizontal=True, vertical_alignment="center"):
        span = st.segmented_control(
            "Range", list(data.RANGES), key="range", default=usual, required=True, bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        chosen = (
            st.pills("Regions", keys, key="region", selection_mode="multi", bind="query-params",
                     label_visibility="collapsed")
            if len(keys) > 1
            else []
        )  # fmt: skip
    return span or usual, tuple(chosen)


key = st.query_params.get("site", "")
if not key:
    st.title("Site")
    st.caption("Pick one from the list of sites.")
    st.page_link("pages/sites.py", label="All sites")
elif (deleted := st.session_state.pop("deleted", None)) and key in deleted:
    st.switch_page("pages/sites.py")
else:
    row = data.row(key)
    actions(row)
    site_head.facts(row)
    head(key)
    uptime(row)
    span, seen_from = pickers(row)
    over_time(row, span, seen_from)
    newest(row, seen_from)
    site_dialogs.draw_open()
