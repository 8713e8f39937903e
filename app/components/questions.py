"""The ways from a site's page to what explains it, with the time and the regions that it shows."""

from __future__ import annotations

import streamlit as st

from app.windows import Window
from pipeline.store.overview import SiteRow


def links(row: SiteRow, window: Window, seen_from: tuple[str, ...]) -> None:
    """To *Explain* over the same window, and to *Changes* of this site."""
    same: dict[str, str | list[str]] = {"site": row.key}
    if seen_from:
        same["region"] = list(seen_from)
    when = {name: said for name, said in window.address().items() if said}
    with st.container(key="questions", horizontal=True, gap="medium"):
        st.page_link("pages/explain.py", label="Explain this window", query_params={**same, **when}, width="content")
        st.page_link("pages/changes.py", label="Changes of level", query_params=same, width="content")
