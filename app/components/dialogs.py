"""Which dialog is open. One at a time, and it stays open while its answer is wrong."""

from __future__ import annotations

from typing import Any

import streamlit as st

_KEY = "dialog"


def open_(name: str, **about: Any) -> None:
    """Open a dialog; `about` is what it is about."""
    st.session_state[_KEY] = (name, about)


def close() -> None:
    st.session_state.pop(_KEY, None)


def current() -> tuple[str | None, dict[str, Any]]:
    """The open dialog's name, and what it is about."""
    name, about = st.session_state.get(_KEY, (None, {}))
    return name, about


def leave_if_closed() -> None:
    """Inside a dialog: where its own callback has closed it, the page below has to follow."""
    if current()[0] is None:
        st.rerun()
