"""The fields of a form: a widget that shows what is `given` at first, and below it what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.components import problems


def text(
    form: str,
    field: str,
    label: str,
    given: Mapping[str, Any],
    *,
    placeholder: str | None = None,
    help_: str | None = None,
    disabled: bool = False,
) -> None:
    """One line."""
    key = f"{form}-{field}"
    st.text_input(label, given[field], key=key, placeholder=placeholder, help=help_, disabled=disabled)
    problems.under(form, field)


def area(
    form: str,
    field: str,
    label: str,
    given: Mapping[str, Any],
    *,
    placeholder: str | None = None,
    help_: str | None = None,
    height: int = 90,
) -> None:
    """Several lines, `height` in pixels."""
    st.text_area(label, given[field], key=f"{form}-{field}", placeholder=placeholder, height=height, help=help_)
    problems.under(form, field)


def number(
    form: str, field: str, label: str, given: Mapping[str, Any], *, step: float, placeholder: str | None = None
) -> None:
    """A number without limits of its own: what is allowed is said by the one definition, in its words."""
    st.number_input(label, value=given[field], step=step, key=f"{form}-{field}", placeholder=placeholder)
    problems.under(form, field)
