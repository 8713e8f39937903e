"""From where? The regions, and what the fleet does in each, now and over time."""

from __future__ import annotations

import polars as pl
import streamlit as st

from app import data
from app.components import dialogs, region_charts, region_dialogs, well
from app.components.boundary import live
from app.components.region_card import region_card

USUAL = "1h"


@live(2)
def cards() -> None:
    dialogs.follow()
    now = data.utc_now()
    well.banner(data.health())
    facts = data.facts()
    if not facts:
        with st.container(border=True):
            st.markdown("##### ◌ No region yet")
            st.caption("A region is a place that checks come from. Without one, nothing is checked.")
    for each in facts:
        region_card(each, now)


def pickers() -> tuple[str, tuple[str, ...]]:
    """The range and the regions chosen, as the URL says; no region chosen means all."""
    keys = [region.key for region in data.all_regions()]
    with st.container(horizontal=True, vertical_alignment="center"):
        span = st.segmented_control(
            "Range", list(data.SAMPLED_EVERY_S), key="range", default=USUAL, required=True, bind="query-params",
            label_visibility="collapsed",
        )  # fmt: skip
        chosen = (
            st.pills("Regions", keys, key="region", selection_mode="multi", bind="query-params",
                     label_visibility="collapsed")
            if len(keys) > 1
            else []
        )  # fmt: skip
    return span or USUAL, tuple(sorted(chosen))


@live(20)
def over_time(span: str, chosen: tuple[str, ...]) -> None:
    samples, decisions = (_of(chosen, frame) for frame in (data.samples(span), data.decisions(span)))
    if not samples["probers"].count():
        with st.container(border=True):
            st.markdown("##### ◌ Nothing measured in this time")
            st.caption(
                "The recorder takes a sample of each region every ten seconds and keeps it for eight days. If nothing "
                "appears within a minute, see how it is on the page Health."
            )
        st.page_link("pages/health.py", label="Health of our own parts")
        return
    region_charts.over_time(samples, decisions, span, data.SAMPLED_EVERY_S[span], chosen)
    region_charts.decided(decisions, span, chosen)


def _of(chosen: tuple[str, ...], frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("region").is_in(list(chosen))) if chosen else frame


with st.container(horizontal=True, vertical_alignment="bottom"):
    st.title("Regions", width="stretch")
    st.button("Add region", key="open-region", type="primary", on_click=region_dialogs.open_add)
region_dialogs.draw_open()
cards()
if data.all_regions():
    over_time(*pickers())
