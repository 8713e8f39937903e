"""One of our own parts: how it is, since when, what that means, and what to do."""

from __future__ import annotations

from datetime import datetime, timedelta

import streamlit as st

from app.components.words import plain
from pipeline.charts.states import lasting
from pipeline.health import SIGNS, Grade, Part

COLOURS = {Grade.WELL: "green", Grade.LOOK: "orange", Grade.UNWELL: "red"}


def badge(grade: Grade) -> str:
    """The grade as Markdown: a symbol and words on its colour."""
    return f":{COLOURS[grade]}-badge[{SIGNS[grade]} {grade}]"


def trouble(part: Part, now: datetime) -> None:
    """A part that is not well, with the steps to take."""
    steps = "".join(f"  \n→ {step}" for step in part.todo)
    with st.container(border=True):
        st.markdown(f"{_said(part, now)}\n\n**What to do**{steps}" if steps else _said(part, now))


def calm(parts: list[Part], now: datetime) -> None:
    """The parts that are well: one element each, since all is drawn anew every few seconds."""
    with st.container(border=True), st.grid("auto", min_column_width=380, gap="medium"):
        for part in parts:
            st.markdown(_said(part, now))


def _said(part: Part, now: datetime) -> str:
    """Grade, name, what was found, since when; below it what the part is for."""
    first = f"{badge(part.grade)} **{plain(part.name)}** &ensp;{plain(part.message)}{_since(part, now)}"
    return f"{first}  \n:gray[:small[{plain(part.means)}]]"


def _since(part: Part, now: datetime) -> str:
    if part.since is None:
        return ""
    ago = max(timedelta(), now - part.since)
    at = f"{part.since:%H:%M:%S}" if ago < timedelta(hours=20) else f"{part.since:%d %b %H:%M}"
    # What is not well says itself how long, where that is what is wrong.
    lasts = f", {lasting(ago.total_seconds())}" if part.grade is Grade.WELL else ""
    return f" &ensp;:gray[:small[since {plain(at)} UTC{lasts}]]"
