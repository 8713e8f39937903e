"""A word after an edit: said once, on the run that follows."""

from __future__ import annotations

import streamlit as st

_KEY = "flash"


def say(message: str) -> None:
    st.session_state.setdefault(_KEY, []).append(message)


def show() -> None:
    """Show what was said, once."""
    for message in st.session_state.pop(_KEY, []):
        st.toast(message, icon=":material/check_circle:")
