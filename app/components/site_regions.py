"""Which of a site's regions a page shows, as its address says it; none picked means all."""

from __future__ import annotations

import streamlit as st

from app.components import address
from pipeline.store.overview import SiteRow


def regions(row: SiteRow) -> tuple[str, ...]:
    """Draw the picker, where there is something to pick; returns the keys."""
    keys = [seen.region.key for seen in row.seen]
    picked = address.many("region", keys)
    if len(keys) > 1:
        with st.container(key="pick-region", width="content"):
            st.pills("Regions", keys, selection_mode="multi", label_visibility="collapsed", **address.widget("region"))
    return picked
