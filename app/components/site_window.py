"""The window that a site's page shows: what the address says of it, in words, and the ways to move it."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from app import data, windows
from app.components import address
from app.components.words import plain
from app.windows import HOUR, RANGES, Window
from pipeline.charts.states import lasting
from pipeline.errors import InvalidInputError


def window(*, young: bool) -> Window:
    """The window of the address. What cannot be read of it is explained, and the usual one shown."""
    usual = "1h" if young else "6h"
    try:
        found = windows.read(address.said("range"), address.said("from"), address.said("to"), usual, data.utc_now())
    except InvalidInputError as error:
        said = "; ".join(f"{problem.field}: {problem.message}" for problem in error.problems)
        st.warning(f"{plain(said[:1].upper() + said[1:])}. Shown is the last {usual}.", icon=":material/link_off:")
        found = windows.following(RANGES[usual])
    return found


def ranges(shown: Window) -> None:
    """Lengths that follow now; none is picked while the window stays where it is, or is of another length."""
    name = windows.written_length(shown.length)
    address.show("range", name if shown.lives and name in RANGES else None)
    with st.container(key="pick-range", width="content"):
        st.segmented_control(
            "Range", list(RANGES), label_visibility="collapsed", **address.widget("range", forget=("from", "to"))
        )


def line(shown: Window, now: datetime) -> None:
    """The window's bounds in words, and the buttons that move it."""
    since, until = shown.bounds(now)
    length = lasting(shown.length.total_seconds())
    with st.container(key="window", horizontal=True, vertical_alignment="center", gap="small"):
        if shown.lives:
            st.markdown(f"**Window** the last {length} :gray[· {_bounds(since, until, now)} · live]", width="stretch")
        else:
            st.markdown(f"**Window** {_bounds(since, until, now)} :gray[· {length}]", width="stretch")
        _button("Earlier", windows.beside(shown, now, steps=-1))
        if not shown.lives:
            _button("Later", windows.beside(shown, now, steps=1), off=until + HOUR / 60 >= now)
        _button("Zoom out", windows.wider(shown, now), off=shown.length >= windows.LONGEST)
        if not shown.lives:
            st.button("Clear", key="window-clear", type="tertiary", on_click=_clear, help="Back to the range.")
            _button("Live", windows.following(shown.length), help_="As long, up to now and following it.")


def _bounds(since: datetime, until: datetime, now: datetime) -> str:
    """`15 Nov 20:20 to 20 Nov 08:00 UTC`, the day said once where it is the same, the year where it is not this one."""
    day = "%d %b" if since.year == until.year == now.year else "%d %b %Y"
    last = f"{until:%H:%M}" if since.date() == until.date() else f"{until:{day} %H:%M}"
    return f"{since:{day} %H:%M} to {last} UTC"


def _button(label: str, to: Window, *, off: bool = False, help_: str | None = None) -> None:
    key = f"window-{label.lower().replace(' ', '-')}"
    st.button(label, key=key, type="tertiary", disabled=off, on_click=_move, args=(to,), help=help_)


def _move(to: Window) -> None:
    address.go(**to.address())


def _clear() -> None:
    address.go(**{"from": "", "to": ""})
