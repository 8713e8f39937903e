"""A page shows what its address says, and a change of the address is a step that the browser can go back from.

Streamlit's `bind="query-params"` replaces the entry in the browser's history: *back* would then leave the page instead
of undoing what was picked. What is written to `st.query_params` is pushed, and going back or forward runs the page
again with the address of then. So here the address is the truth: widgets show it, and what somebody picks goes into
it. Typing is bound after all, or each letter would be a step.

    span = address.one("range", RANGES, usual="6h")
    st.segmented_control("Range", RANGES, **address.widget("range"))

Where the address comes to say something else than the widget shows (*back*, a button, a link), another widget takes
its place. Live parts of the page send along what the browser still shows; told to the same widget that would be a
change, and undo the step.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, TypeVar

import streamlit as st
from msgspec import Struct

T = TypeVar("T", bound=str)


class Shown(Struct):
    """What a widget shows; its number tells it from those that it replaced."""

    name: str
    number: int
    value: object

    @property
    def key(self) -> str:
        return f"{self.name}-{self.number}" if self.number else self.name


def said(name: str) -> str:
    """What the address says, as it is written; nothing where it says nothing. No text of ours has a NUL in it."""
    return st.query_params.get(name, "").replace("\0", "")


def one(name: str, options: Collection[T], usual: T) -> T:
    """Which of the options the address says."""
    picked = next((option for option in options if option == said(name)), usual)
    show(name, picked)
    return picked


def many(name: str, options: Sequence[T]) -> tuple[T, ...]:
    """Those of the options that the address says, in the order of the options."""
    written = st.query_params.get_all(name)
    picked = tuple(option for option in options if option in written)
    show(name, picked)
    return picked


def number(name: str) -> int:
    """The number from 1 on that the address says, 1 where it says none. No widget shows it yet: see `show`."""
    written = said(name)
    return max(1, int(written)) if written.isdecimal() and len(written) < 6 else 1


def show(name: str, value: object, *, seed: bool = True) -> None:
    """Have the widget of this name show a value; without `seed` where it is told by its `default`."""
    shown: Shown | None = st.session_state.get(_key(name))
    if shown is None or shown.value != value:
        shown = Shown(name, shown.number + 1 if shown else 0, value)
        st.session_state[_key(name)] = shown
    if seed and shown.key not in st.session_state:
        st.session_state[shown.key] = list(value) if isinstance(value, tuple) else value


def widget(name: str, *, forget: Sequence[str] = ()) -> dict[str, Any]:
    """The arguments by which the widget of this name is drawn. A pick takes what is in `forget` out of the address."""
    shown: Shown = st.session_state[_key(name)]
    return {"key": shown.key, "on_change": _keep, "args": (name, shown.number, tuple(forget))}


def go(**words: str | Sequence[str]) -> None:
    """Change the address in one step, if it changes; what is empty is not said any more."""
    wanted = {name: [value] if isinstance(value, str) else list(value) for name, value in words.items() if value}
    changed = {name: wanted.get(name, []) for name in words if st.query_params.get_all(name) != wanted.get(name, [])}
    if changed:
        st.query_params.update(changed)


def _keep(name: str, number: int, forget: tuple[str, ...]) -> None:
    """Put what was picked into the address."""
    shown: Shown = st.session_state[_key(name)]
    if number != shown.number:
        return  # from a widget that is no longer there
    picked = st.session_state[shown.key]
    shown.value = tuple(picked) if isinstance(picked, list) else picked
    if picked is not None:  # else somebody took away what has to be picked, and the next run shows it again
        words = [str(each) for each in picked] if isinstance(picked, list) else str(picked)
        go(**{name: words}, **dict.fromkeys(forget, ""))


def _key(name: str) -> str:
    return f"shown-{name}"
