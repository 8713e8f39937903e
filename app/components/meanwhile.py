"""Two windows on one thing: a form sends what was changed in it, and never undoes what somebody else changed meanwhile.

What the form was opened with is its base. Of a field that both changed the form says so, once, and takes that as its
base: who then saves again means it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pipeline.errors import InvalidInputError, Problem

Fields = Mapping[str, Any]
SECRET = {"proxy", "headers", "body", "auth", "client_certificate"}  # fields that may hold one: no value is told
LONGEST = 200  # letters that can be read here


def open_with(form: str, fields: Fields) -> None:
    """Remember what the form shows at first."""
    st.session_state[_key(form)] = dict(fields)


def changed(form: str, typed: Fields) -> dict[str, Any]:
    """Those of the fields that are not as the form was opened."""
    base: Fields = st.session_state.get(_key(form), {})
    return {name: value for name, value in typed.items() if name not in base or value != base[name]}


def check(form: str, typed: Fields, now: Fields) -> None:
    """Compare with how it is `now`, in the form's terms. Errors: InvalidInputError for fields that both changed."""
    base: dict[str, Any] = st.session_state.get(_key(form), {})
    clashes = {
        name: now[name] for name, value in changed(form, typed).items()
        if name in base and name in now and now[name] not in (base[name], value)
    }  # fmt: skip
    base.update(clashes)
    if clashes:
        raise InvalidInputError([Problem(name, _said(name, value)) for name, value in clashes.items()])


def _said(name: str, value: object) -> str:
    shown = ", ".join(map(str, value)) if isinstance(value, list) else value
    told = name not in SECRET and isinstance(shown, str | int | float) and len(str(shown)) < LONGEST
    what = f" to {shown!r}" if told else ""
    return f"changed meanwhile{what}: save again if yours is to hold"


def _key(form: str) -> str:
    return f"base-{form}"
