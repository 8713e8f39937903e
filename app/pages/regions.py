"""From where? The regions, and what the fleet does in each."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import region_dialogs, well
from app.components.boundary import live
from app.components.region_card import region_card


@live(2)
def cards() -> None:
    now = data.utc_now()
    well.banner(data.health())
    facts = data.facts()
    if not facts:
        with st.container(border=True):
            st.markdown("##### ◌ No region yet")
            st.caption("A region is a place that checks come from. Without one, nothing is checked.")
    for each in facts:
        region_card(each, now)


with st.container(horizontal=True, vertical_alignment="bottom"):
    st.title("Regions", width="stretch")
    st.button("Add region", key="open-region", type="primary", on_click=region_dialogs.open_add)
cards()
region_dialogs.draw_open()
