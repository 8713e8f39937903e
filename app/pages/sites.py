"""Which of 5 000? Paged, searched, filtered and sorted by the store; the URL holds what is wanted."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import address, flash, site_dialogs, well
from app.components.boundary import live
from app.components.site_table import Over, site_table
from app.components.words import mark
from pipeline.store.overview import ATTENTION, Wanted
from pipeline.vocabulary import State

SIZE = 50
# The URL holds what a widget shows, so what they show are plain words.
ORDER = {"failing first": "attention", "by name": "name", "slowest first": "slowest", "newest first": "newest"}
STATES = [state.value for state in ATTENTION if state is not State.MAINTENANCE]
EVERYWHERE = "all regions"
PAGE = ["page"]  # what is wanted has changed: page 7 of it may not exist
FILTERS = ("tag", "state", "region", "page")  # and what is searched for, which Streamlit keeps in the address


def first_page() -> None:
    address.go(page="")


def clear() -> None:
    """Take every filter away."""
    st.session_state["q"] = ""
    address.go(**dict.fromkeys(FILTERS, ""))
    st.rerun()  # what was searched for stands outside of the live part


def filters() -> tuple[Wanted, str]:
    """What the address wants to see, and over which range."""
    known_tags, keys = list(data.tags()), [region.key for region in data.all_regions()]
    left, middle, right = st.columns([3, 2.2, 1.4], vertical_alignment="bottom")
    # Bound, and not a step for each letter. Where it was typed, what is typed is what is looked for.
    words = left.text_input(
        "Search", key="q", bind="query-params", placeholder="Search name, key or URL", label_visibility="collapsed",
        live=True, on_change=first_page, type="search",
    )  # fmt: skip
    tags = address.many("tag", known_tags)
    middle.multiselect(
        "Tags", known_tags, placeholder="Any tag", label_visibility="collapsed", **address.widget("tag", forget=PAGE)
    )
    sort = address.one("sort", ORDER, "failing first")
    right.selectbox("Order", list(ORDER), label_visibility="collapsed", **address.widget("sort", forget=PAGE))
    states, region, span = _states_region_and_range(keys)
    there = "" if region == EVERYWHERE else region
    page = address.number("page")
    return Wanted(
        (words or "").replace("\0", ""), tuple(map(State, states)), tags, ORDER[sort], page, SIZE, there
    ), span


def _states_region_and_range(keys: list[str]) -> tuple[tuple[str, ...], str, str]:
    states = address.many("state", STATES)
    region = address.one("region", keys, EVERYWHERE)
    span = address.one("range", data.WINDOWS, "24h")
    counts = data.counts("" if region == EVERYWHERE else region)
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(key="pick-state", width="content"):
            st.pills(
                "State", STATES, selection_mode="multi", label_visibility="collapsed",
                **address.widget("state", forget=PAGE),
            )  # fmt: skip
        st.markdown(
            " &ensp; ".join(f"{mark(state)} {counts.by_state[state]}" for state in map(State, STATES)), width="stretch"
        )
        if len(keys) > 1:
            with st.container(key="pick-region", width=170):
                st.selectbox(
                    "Seen from", [EVERYWHERE, *keys], label_visibility="collapsed",
                    **address.widget("region", forget=PAGE),
                )  # fmt: skip
        with st.container(key="pick-range", width="content"):
            st.segmented_control(
                "Range", list(data.WINDOWS), label_visibility="collapsed", **address.widget("range")
            )  # fmt: skip
    return states, region, span


@live(10)
def table(wanted: Wanted, span: str) -> None:
    well.banner(data.health())
    with st.skeleton(height=400):  # seen only where the store takes its time
        found, now = data.find(wanted), data.utc_now()
        ids = tuple(row.id for row in found.rows)
        over = Over(span, data.uptimes(ids, span, wanted.region), data.strips(ids, span, wanted.region))
    if not found.rows:
        nothing_found(wanted)
        return
    actions = st.container(key="actions", horizontal=True, vertical_alignment="center")
    picked = site_table(found.rows, over, now)
    with actions:
        first = (page_of(wanted, found.total) - 1) * SIZE + 1
        here = f"{first} to {first + len(found.rows) - 1} of " if found.total > SIZE else ""
        shown = f"{here}{found.total} {'site' if found.total == 1 else 'sites'}"
        where = f", as seen from {wanted.region}" if wanted.region else ""
        st.caption(f"**{len(picked)} selected**" if picked else shown + where, width="stretch")
        st.button("Pause", key="pause", disabled=not picked, on_click=pause, args=(picked, True))
        st.button("Resume", key="resume", disabled=not picked, on_click=pause, args=(picked, False))
        if st.button("Delete …", key="delete", disabled=not picked):
            site_dialogs.open_delete(picked)
            st.rerun()


def page_of(wanted: Wanted, total: int) -> int:
    """The page that is shown: the first where a link is to one that is no more."""
    return wanted.page if (wanted.page - 1) * SIZE < total else 1


def nothing_found(wanted: Wanted) -> None:
    with st.container(border=True, key="state-none"):
        st.markdown("##### ◌ No site is like that")
        where = f" among those that {wanted.region} checks" if wanted.region else ""
        st.caption(f"Search for less{where}, or take the filters away.")
        st.button("Clear filters", key="clear", on_click=clear)


def no_sites() -> None:
    with st.container(border=True, key="state-empty"):
        st.markdown("##### ◌ No sites yet")
        st.caption("Add one, or paste a list of URLs: each is checked at once, and shows here with its first answer.")


def pause(keys: list[str], paused: bool) -> None:
    data.pause(keys, paused=paused)
    flash.say(f"{len(keys)} {'site' if len(keys) == 1 else 'sites'} {'paused' if paused else 'resumed'}.")


with st.container(horizontal=True, vertical_alignment="bottom"):
    st.title("Sites", width="stretch")
    st.button("Paste many", key="open-paste", on_click=site_dialogs.open_paste)
    st.button("Add site", key="open-add", type="primary", on_click=site_dialogs.open_add)
if data.counts().total == 0:
    no_sites()
else:
    wanted, span = filters()
    table(wanted, span)
    total = data.find(wanted).total
    pages = -(-total // SIZE)
    if pages > 1:
        page = page_of(wanted, total)
        address.show("page", page, seed=False)
        st.pagination(pages, default=page, **address.widget("page"))
site_dialogs.draw_open()
