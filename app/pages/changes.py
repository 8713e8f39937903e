"""What shifted? All sites' lasting changes of latency, one site's before and after, and who fails together."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import address, changes_list, changes_site, changes_together, question_code, well
from app.components.charting import titled
from app.components.words import grouped
from app.data import Shifted

SPANS = ("7d", "30d", "90d")


def picker() -> str:
    span = address.one("range", SPANS, usual="7d")
    with st.container(key="pick-range", width="content"):
        st.segmented_control("Range", SPANS, label_visibility="collapsed", **address.widget("range"))
    return span


def fleet(span: str) -> None:
    """The list over all sites."""
    with st.skeleton(height=240):
        shifted = data.shifted(span)
    titled(
        "Shifts of level", _note(span), name=f"changes-{span}", frame=shifted.found,
        code=question_code.changes(span, shifted.since),
    )  # fmt: skip
    if shifted.found.is_empty():
        st.caption(_nothing(shifted, span))
        return
    changes_list.table(shifted.found)
    st.caption(_looked_at(shifted))


def _note(span: str) -> str:
    return f"hourly medians that went up or down in the last {span} and stayed; the greatest first"


def _looked_at(shifted: Shifted) -> str:
    """What the list is of: nobody is to take it for more."""
    return (
        f"Of {grouped(shifted.series)} series, by the hour those of the {shifted.looked_at} sites whose days differ "
        "the most, each from the region that differs most. Pick a row to see its series, before and after."
    )


def _nothing(shifted: Shifted, span: str) -> str:
    if not shifted.series:
        return "◌ Nothing was measured yet. A change shows once there are two days before it and one after it."
    return f"◌ Nothing shifted in the last {span}: what differs between the days may be chance. Try a longer range."


with st.container(horizontal=True, vertical_alignment="bottom"):
    st.title("Changes", width="stretch")
    span = picker()
well.ours()
fleet(span)
if key := address.said("site"):
    changes_site.series(data.row(key), span)
changes_together.together(span)
