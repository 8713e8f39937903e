"""A word after an edit: said once, on the run that follows."""

from __future__ import annotations

import streamlit as st

_KEY = "flash"
SECONDS = 3
SECONDS_TO_DO = 20  # for what is to be copied or done now
# Streamlit shows toasts at the top right, which is where our pages have their buttons.
_PLACE = '<style>[data-testid="stToastContainer"] { top: auto !important; bottom: 1.5rem; }</style>'


def say(message: str, *, to_do: bool = False) -> None:
    """Say it on the run that follows; longer where it tells what `to_do` next."""
    st.session_state.setdefault(_KEY, []).append((message, SECONDS_TO_DO if to_do else SECONDS))


def show() -> None:
    """Show what was said, once."""
    st.html(_PLACE)
    for message, seconds in st.session_state.pop(_KEY, []):
        st.toast(message, icon=":material/check_circle:", duration=seconds)
