"""A site to pick, where a page is about one and its address names none."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import address


def pick() -> None:
    """A box to find a site in; a pick goes into the address."""
    keys = data.site_keys()
    if not keys:
        st.caption("◌ There is no site yet. Paste a few URLs on the page *Now*, and come back when they were checked.")
        st.page_link("pages/now.py", label="Add sites")
        return
    address.show("site", None)
    st.selectbox(
        "Site", keys, placeholder="Its key, such as it stands in the list of sites", label_visibility="collapsed",
        **address.widget("site"),
    )  # fmt: skip
    st.page_link("pages/sites.py", label="Find it in the list of sites")
