"""What the browser's tab says: of several windows on the workbench, which is which."""

from __future__ import annotations

import streamlit as st

from app.components.words import shortened, unturned


def says(what: str) -> None:
    """Call the tab so; the last word of a run holds."""
    st.set_page_config(page_title=f"{shortened(unturned(what), 60)} \N{MIDDLE DOT} Workbench")
