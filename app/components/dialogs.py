"""Which dialog is open. One at a time, and it stays open while its answer is wrong."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, ParamSpec, TypeVar

import streamlit as st

from app.components import flash
from app.components.boundary import explained

P = ParamSpec("P")
T = TypeVar("T")

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


def dialog(
    title: str, *, width: Literal["small", "medium", "large"] = "small"
) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Draws what is in a dialog of ours: it closes by `close`, and says itself what it cannot show or has to say."""

    def wrap(draw: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(draw)
        def drawn(*args: P.args, **kwargs: P.kwargs) -> None:
            if current()[0] is None:  # its own callback has closed it, and the page below has to follow
                st.rerun()
            flash.show()
            with explained():
                draw(*args, **kwargs)

        return st.dialog(title, width=width, on_dismiss=close)(drawn)

    return wrap


def began_with(name: str, make: Callable[[], T]) -> T:
    """What the open dialog had of this name when it was first drawn; what others change meanwhile is no part of it."""
    _, about = current()
    if name not in about:
        about[name] = make()
    kept: T = about[name]
    return kept
