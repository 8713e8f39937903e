"""The first minute: one box, and then the first checks as they come in."""

from __future__ import annotations

import polars as pl
import streamlit as st

from app import data
from app.components import flash, kept
from app.components.boundary import live
from app.components.box import Box, Store
from app.components.charting import draw
from app.components.paste import paste_box
from app.components.words import badge, cause, grouped, plain, unlinked, waits
from pipeline import charts
from pipeline.store.overview import SiteRow
from pipeline.understood import Understood
from pipeline.vocabulary import Kind, State

_KEY = "watching"
_FORM = kept.FIRST_BOX
SHOWN = 6


def watch(keys: list[str]) -> None:
    """Show the first checks of these sites on *Now*."""
    st.session_state[_KEY] = keys


def watching() -> list[str]:
    keys: list[str] = st.session_state.get(_KEY, [])
    return keys


def confirming(row: SiteRow) -> bool:
    """Whether a site without a verdict has been checked, and a failure waits to be confirmed."""
    if row.state is not State.UNKNOWN or row.checked_at is not None:
        return False
    failed = (pl.col("state") == State.DOWN.value) & (pl.col("kind") == Kind.SCHEDULED.value)
    return not data.ticks(row.id, limit=8).filter(failed).is_empty()


def welcome() -> None:
    """Nothing is watched yet: one box."""
    regions = data.all_regions()
    with st.container(border=True, width=760):
        st.markdown("#### What should be up?")
        st.caption(
            "What you paste is shown before it is added. Then each site is checked, at once and again and again."
        )
        if not regions:
            st.warning("There is no region to check from yet.", icon=":material/public:")
            st.page_link("pages/regions.py", label="Add a region")
            return
        paste_box(_FORM, regions=regions, store=_store())


def add(understood: Understood, left: int) -> None:
    """Add what was understood, watch it, and say what was added and what was not."""
    keys = data.add_understood(understood)
    watch(keys)
    said = (
        f"{grouped(len(keys))} {'site is' if len(keys) == 1 else 'sites are'} added; the first checks are on their way."
    )
    flash.say(said + (f" {grouped(left)} {'line was' if left == 1 else 'lines were'} not taken." if left else ""))


def not_taken() -> None:
    """What of the first box was not taken, to be mended."""
    box = Box(_FORM, [], _store())
    if not box.left():
        return
    with st.container(border=True, width=760):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("##### These lines were not taken", width="stretch")
            st.button("Leave them out", key="first-discard", on_click=box.discard, type="tertiary")
        paste_box(_FORM, regions=data.all_regions(), store=_store())


def _store() -> Store:
    return Store(data.known, data.read_sitemap, add)


@live(1)
def _first_checks(keys: tuple[str, ...]) -> None:
    rows = data.rows(keys[:SHOWN])
    waiting = [row for row in rows if waits(row)]
    ticks = _first_ticks(rows)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("##### First checks" if waiting else "##### First checks are in", width="stretch")
            st.button("Done", key="watched", on_click=watch, args=([],), type="tertiary")
        for row in rows:
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.markdown(":gray-badge[◌ waiting]" if waits(row) else badge(row.state), width="content")
                st.page_link(
                    "pages/site.py", label=f"**{plain(row.name)}**", query_params={"site": row.key}, width="content"
                )
                st.caption(unlinked(cause(row, confirming=confirming(row))), width="stretch")
        if len(keys) > len(rows):
            st.caption(f"… and {len(keys) - len(rows)} more")
        # As tall as it will be, so that nothing jumps when the answers come in.
        with st.container(height=sum(max(1, len(row.seen)) for row in rows) * 30 + 80, border=False):
            if ticks.is_empty():
                st.caption("The requests are on their way …")
            else:
                draw(
                    charts.waterfall(ticks),
                    key="first-waterfall",
                    alt_text="The phases of the first check of each site from each region, in milliseconds.",
                )
        if not waiting:
            _next_steps()


def _next_steps() -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.caption("Next:", width="content")
        st.page_link("pages/sites.py", label="tag and group your sites", width="content")
        st.page_link("pages/regions.py", label="check from more places", width="content")
        st.caption("or read everything in a notebook with `pipeline.connect()`", width="content")


def first_checks() -> None:
    """The first checks of what was just added, while somebody watches."""
    keys = watching()
    if keys:
        _first_checks(tuple(keys))


def _first_ticks(rows: list[SiteRow]) -> pl.DataFrame:
    """The newest tick of each site and region, with a label for the chart."""
    found = []
    for row in rows:
        if row.checked_at is not None or row.state is not State.PAUSED:
            newest = data.ticks(row.id, limit=8).unique("region", keep="first", maintain_order=True).sort("region")
            found.append(newest.with_columns(label=pl.lit(f"{row.name[:28]} · ") + pl.col("region")))
    return pl.concat(found) if found else pl.DataFrame()
