"""What was wrong with what somebody typed, shown at the field where it was typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import streamlit as st

from app.components.words import plain
from pipeline.errors import InvalidInputError, NotFoundError, UnavailableError

WHOLE = ""  # problems of no field, or of one that the form does not show


def attempt(form: str, act: Callable[[], None]) -> bool:
    """Do it, and keep what is wrong with it for `under`. Returns whether it was done."""
    st.session_state.pop(_key(form), None)
    try:
        act()
    except InvalidInputError as error:
        st.session_state[_key(form)] = [(_field(p.field), p.message) for p in error.problems]
    except (NotFoundError, UnavailableError) as error:
        st.session_state[_key(form)] = [(WHOLE, str(error))]
    else:
        return True
    return False


def under(form: str, field: str) -> None:
    """Say at this place what is wrong with `field`."""
    for name, message in st.session_state.get(_key(form), []):
        if name == field:
            st.markdown(f":red[✕ {plain(message)}]")


def elsewhere(form: str, shown: Iterable[str]) -> None:
    """Say what is wrong with fields that have no place of their own."""
    places = set(shown)
    for name, message in st.session_state.get(_key(form), []):
        if name not in places:
            st.error(f"{plain(name)}: {plain(message)}" if name else plain(message))


def forget(form: str) -> None:
    st.session_state.pop(_key(form), None)


def _key(form: str) -> str:
    return f"problems-{form}"


def _field(path: str) -> str:
    """`sites[0].expect.status[1]` is the form's `expect`, `headers.X` its `headers`."""
    return re.split(r"[.\[]", re.sub(r"^sites\[\d+\]\.", "", path))[0]
