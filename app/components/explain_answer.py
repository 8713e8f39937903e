"""What is different about the checks of a box: in a sentence, and in two charts."""

from __future__ import annotations

from datetime import datetime
from math import isfinite

import polars as pl
import streamlit as st

from app.components import question_code
from app.components.charting import draw, titled
from app.components.words import grouped, milliseconds, plain
from app.data import Answer
from pipeline import charts
from pipeline.analysis.boxes import Box
from pipeline.analysis.claims import percent
from pipeline.charts.latency import PHASE_NAMES
from pipeline.store.overview import SiteRow

FEW = 10


def answer(row: SiteRow, box: Box, found: Answer, seen_from: tuple[str, ...], now: datetime) -> None:
    """The box in words, the best explanation, shares and phases."""
    st.markdown(f"**Box** {_words(box, now)} :gray[· {_against(found)}]")
    if not found.inside:
        st.caption(
            "◌ There is no single check in this box. Drag a larger one; where its time is older than the ticks that "
            "are kept, only hours and days are left of it, and those have no causes."
        )
        return
    if not found.outside:
        st.caption("◌ There is nothing to hold it against: all checks of this time are in the box. Drag a smaller one.")
        return
    st.markdown(_best(found.found))
    _shares(row, box, found, seen_from)
    _phases(row, box, found, seen_from)


def _shares(row: SiteRow, box: Box, found: Answer, seen_from: tuple[str, ...]) -> None:
    named = found.found.filter(pl.col("attribute") != "phase")
    note = "what the box has more of than the checks outside, the best explanation first; p < 1 % of all compared"
    shown = question_code.explain(row.key, box, found.since, found.until, seen_from, "explained")
    titled("What stands out", note, name=f"{row.key}-explained", frame=named, code=shown)
    if (named["score"] > 0).any():
        draw(charts.explained(found.found), key="explained", alt_text=_alt(named))
    else:
        few = f" {found.inside} checks are few: a larger box tells more." if found.inside < FEW else ""
        st.caption(f"◌ No region, address, outcome or hour is in the box more than chance would have it.{few}")


def _phases(row: SiteRow, box: Box, found: Answer, seen_from: tuple[str, ...]) -> None:
    phases = found.found.filter(attribute="phase")
    shown = question_code.explain(row.key, box, found.since, found.until, seen_from, "slower")
    note = "by how much the median in the box is longer than outside; pale where that may be chance"
    titled("Phases", note, name=f"{row.key}-slower", frame=phases, code=shown)
    if phases.is_empty():
        st.caption("◌ No check of the box came so far that its phases could be timed.")
    else:
        draw(charts.slower(found.found), key="slower", alt_text="How much longer each phase took in the box.")


def _best(found: pl.DataFrame) -> str:
    """The first of each kind of explanation, in sentences."""
    sure = found.filter(pl.col("score") > 0)
    said = []
    for row in sure.filter(pl.col("attribute") != "phase").unique("attribute", maintain_order=True).head(2).to_dicts():
        what = f"{plain(row['attribute'])} **{plain(row['value'])}**"
        said.append(
            f"{what} is {percent(row['share_inside'], 0)} of the box, {percent(row['share_outside'], 0)} outside"
        )
    slower = sure.filter((pl.col("attribute") == "phase") & (pl.col("difference_ms") > 0)).head(1).to_dicts()
    said += [
        f"the phase **{PHASE_NAMES[row['value']]}** takes {milliseconds(row['difference_ms'])} longer" for row in slower
    ]
    if not said:
        return "Nothing tells these checks from the others with confidence."
    sentence = "; ".join(said)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _words(box: Box, now: datetime) -> str:
    day = "%d %b" if box.since.year == box.until.year == now.year else "%d %b %Y"
    last = f"{box.until:%H:%M}" if box.since.date() == box.until.date() else f"{box.until:{day} %H:%M}"
    when = f"{box.since:{day} %H:%M} to {last} UTC"
    if not isfinite(box.low_ms):
        return f"{when}, failed"
    if box.failed:
        return f"{when}, from {milliseconds(box.low_ms)}, and failed"
    return f"{when}, {milliseconds(box.low_ms)} to {milliseconds(box.high_ms)}"


def _against(found: Answer) -> str:
    inside, outside = grouped(found.inside), grouped(found.outside)
    return f"{inside} checks, held against {outside} from {found.since:%d %b %H:%M} to {found.until:%d %b %H:%M}"


def _alt(named: pl.DataFrame) -> str:
    first = named.row(0, named=True)
    return (
        f"What stands out in the box. First: {first['attribute']} {first['value']}, "
        f"{percent(first['share_inside'], 0)} inside and {percent(first['share_outside'], 0)} outside."
    )
