"""A word after an edit: said once, on the run that follows."""

from __future__ import annotations

import streamlit as st

_KEY = "flash"
SECONDS = 3
# Streamlit shows toasts at the top right, which is where our pages have their buttons.
_PLACE = '<style>[data-testid="stToastContainer"] { top: auto !important; bottom: 1.5rem; }</style>'


def say(message: str) -> None:
    st.session_state.setdefault(_KEY, []).append(message)


def show() -> None:
    """Show what was said, once."""
    st.html(_PLACE)
    for message in st.session_state.pop(_KEY, []):
        st.toast(message, icon=":material/check_circle:", duration=SECONDS)
