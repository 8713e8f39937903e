"""Which of 5 000? Paged, searched, filtered and sorted by the store; the URL holds what is wanted."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import flash, site_dialogs
from app.components.boundary import live
from app.components.site_table import site_table
from app.components.words import mark
from pipeline.store.overview import ATTENTION, Wanted
from pipeline.vocabulary import State

SIZE = 50
# The URL holds what a widget shows, so what they show are plain words.
ORDER = {"failing first": "attention", "by name": "name", "slowest first": "slowest", "newest first": "newest"}
STATES = [state.value for state in ATTENTION if state is not State.MAINTENANCE]


def first_page() -> None:
    """What is wanted has changed: page 7 of it may not exist."""
    st.session_state["page"] = 1


def filters() -> Wanted:
    counts, known_tags = data.counts(), list(data.tags())
    left, middle, right = st.columns([3, 2.2, 1.4], vertical_alignment="bottom")
    words = left.text_input(
        "Search",
        key="q",
        bind="query-params",
        placeholder="Search name, key or URL",
        label_visibility="collapsed",
        live=True,
        on_change=first_page,
        type="search",
    )
    tags = middle.multiselect(
        "Tags",
        known_tags,
        key="tag",
        bind="query-params",
        placeholder="Any tag",
        label_visibility="collapsed",
        on_change=first_page,
    )
    sort = right.selectbox(
        "Order",
        list(ORDER),
        key="sort",
        bind="query-params",
        label_visibility="collapsed",
        on_change=first_page,
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        states = st.pills(
            "State",
            STATES,
            key="state",
            bind="query-params",
            selection_mode="multi",
            label_visibility="collapsed",
            on_change=first_page,
        )
        st.markdown(
            " &ensp; ".join(f"{mark(state)} {counts.by_state[state]}" for state in map(State, STATES)), width="content"
        )
    page = st.session_state.get("page", 1) if "page" in st.session_state else _page_in_url()
    return Wanted(words or "", tuple(State(name) for name in states), tuple(tags), ORDER[sort], page, SIZE)


def _page_in_url() -> int:
    written = st.query_params.get("page", "1")
    return max(1, int(written)) if written.isdecimal() and len(written) < 6 else 1


@live(10)
def table(wanted: Wanted) -> None:
    found, now = data.find(wanted), data.utc_now()
    if not found.rows:
        with st.container(border=True):
            st.markdown("##### ◌ No site is like that")
            st.caption("Search for less, or take a filter away.")
        return
    uptimes = data.uptimes(tuple(row.id for row in found.rows))
    actions = st.container(horizontal=True, vertical_alignment="center")
    picked = site_table(found.rows, uptimes, now)
    with actions:
        first = (wanted.page - 1) * SIZE + 1
        here = f"{first} to {first + len(found.rows) - 1} of " if found.total > SIZE else ""
        shown = f"{here}{found.total} sites"
        st.caption(f"**{len(picked)} selected**" if picked else shown, width="stretch")
        st.button("Pause", key="pause", disabled=not picked, on_click=pause, args=(picked, True))
        st.button("Resume", key="resume", disabled=not picked, on_click=pause, args=(picked, False))
        if st.button("Delete …", key="delete", disabled=not picked):
            site_dialogs.open_delete(picked)
            st.rerun()


def pause(keys: list[str], paused: bool) -> None:
    data.pause(keys, paused=paused)
    flash.say(f"{len(keys)} {'site' if len(keys) == 1 else 'sites'} {'paused' if paused else 'resumed'}.")


with st.container(horizontal=True, vertical_alignment="bottom"):
    st.title("Sites", width="stretch")
    st.button("Paste many", key="open-paste", on_click=site_dialogs.open_paste)
    st.button("Add site", key="open-add", type="primary", on_click=site_dialogs.open_add)
if data.counts().total == 0:
    with st.container(border=True):
        st.markdown("##### ◌ No sites yet")
        st.caption("Add one, or paste a list of URLs.")
else:
    wanted = filters()
    table(wanted)
    pages = -(-data.find(wanted).total // SIZE)
    if pages > 1:
        st.pagination(pages, key="page", bind="query-params")
site_dialogs.draw_open()
