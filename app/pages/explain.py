"""When was it slow, and what was different then? One site: a box over time and latency, and its answer."""

from __future__ import annotations

import streamlit as st

from app import boxes, data
from app.components import address, explain_answer, explain_heat, question_code, site_window, tab, well
from app.components.charting import titled
from app.components.site_pick import pick
from app.components.site_regions import regions
from app.components.words import plain
from app.windows import HOUR, Window
from pipeline.analysis.boxes import Box
from pipeline.charts.heat import ends_of
from pipeline.errors import InvalidInputError
from pipeline.store.history import Source
from pipeline.store.overview import SiteRow

OF = {Source.TICKS: "single checks", Source.HOURS: "hours", Source.DAYS: "UTC days"}


def picked() -> Box | None:
    """The box of the address. What cannot be read of it is explained, and none is shown."""
    try:
        return boxes.read(address.said("box"))
    except InvalidInputError as error:
        st.warning(f"{plain(error.problems[0].message)}.", icon=":material/link_off:")
        return None


def explain(row: SiteRow, window: Window, seen_from: tuple[str, ...]) -> None:
    now = data.utc_now()
    box = picked()
    with st.skeleton(height=320):  # seen only where the store takes its time
        heat = data.heat(row.id, window, seen_from)
    note = f"stronger: more of the checks of its time; of {OF[heat.source]}; drag a box"
    shown = question_code.heat(row.key, window, heat, seen_from)
    titled("Time and latency", note, name=f"{row.key}-heat", frame=heat.cells, code=shown)
    if heat.cells.is_empty():
        st.caption("◌ Nothing was measured in this time. Pick a longer range, or see on its page what the site does.")
        st.page_link("pages/site.py", label=f"Open {plain(row.name)}", query_params={"site": row.key})
        return
    ends = ends_of(heat.cells, *window.bounds(now))
    explain_heat.heatmap(row, window, seen_from, heat, box, ends)
    explain_heat.suggestions(heat, ends, box)
    if box is None:
        st.caption("◌ Drag a box over what you wonder about, or take one of these: what sets it apart is told here.")
        return
    with st.skeleton(height=240):
        found = data.explained_box(row.id, row.key, box, window, seen_from)
    explain_answer.answer(row, box, found, seen_from, now)


key = address.said("site")
if not key:
    st.title("Explain")
    st.caption("When was it slow, and what was different then? Pick a site.")
    well.ours()
    pick()
else:
    row = data.row(key)
    tab.says(f"Explain {row.name}")
    with st.container(key="actions", horizontal=True, vertical_alignment="bottom", gap="small"):
        st.title(f"Explain {plain(row.name)}", width="stretch")
        st.page_link("pages/site.py", label="Site", query_params={"site": key}, width="content")
        st.page_link("pages/changes.py", label="Changes", query_params={"site": key}, width="content")
    well.ours()
    now = data.utc_now()
    window = site_window.window(young=now - data.site(key).created_at < HOUR)
    with st.container(horizontal=True, vertical_alignment="center"):
        site_window.ranges(window)
        seen_from = regions(row)
    site_window.line(window, now)
    explain(row, window, seen_from)
