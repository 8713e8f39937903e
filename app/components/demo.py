"""The badge that says that all of this is invented, and the one click that takes it away."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import flash
from pipeline.errors import UnavailableError


def badge() -> None:
    """In the sidebar, while the demo is loaded."""
    try:
        loaded = data.is_demo()
    except UnavailableError:  # the page below says so
        return
    if not loaded:
        return
    with st.sidebar:
        st.badge("DEMO", color="violet")
        st.caption("Sixty sites of an invented company, with ninety days behind them.")
        st.button("Remove the demo", key="demo-remove", on_click=_remove, help="It goes with everything of it.")


def _remove() -> None:
    with st.spinner("The demo is being removed …"):
        sites = data.remove_demo()
    st.query_params.clear()
    flash.say(f"The demo is gone: {sites} sites.")
