"""Which dialog is open. One at a time, and it stays open while its answer is wrong."""

from __future__ import annotations

from typing import Any

import streamlit as st

_KEY = "dialog"
_ASKED = "dialog-asked"  # opened, and no run of the whole page since


def open_(name: str, **about: Any) -> None:
    """Open a dialog; `about` is what it is about."""
    st.session_state[_KEY] = (name, about)
    st.session_state[_ASKED] = True


def close() -> None:
    st.session_state.pop(_KEY, None)


def current() -> tuple[str | None, dict[str, Any]]:
    """The open dialog's name, and what it is about."""
    st.session_state.pop(_ASKED, None)
    name, about = st.session_state.get(_KEY, (None, {}))
    return name, about


def follow() -> None:
    """Inside a live part that has buttons for dialogs: a click there draws that part alone, and the page has to follow.

    The page draws its dialog before such a part, or each click would draw the page twice.
    """
    if st.session_state.pop(_ASKED, False):
        st.rerun()


def leave_if_closed() -> None:
    """Inside a dialog: where its own callback has closed it, the page below has to follow."""
    if current()[0] is None:
        st.rerun()
