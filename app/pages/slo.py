"""Can we ship? What was promised, what of it is left, where it leads, and how fast it burns."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import dialogs, objective_dialogs, well
from app.components.boundary import live
from app.components.objective_card import objective_card
from pipeline.objectives import Objective


def picked(objectives: list[Objective]) -> str | None:
    """The key of the one objective to look at, as the URL says; None for all."""
    keys = [each.key for each in objectives]
    if len(keys) < 2:
        return keys[0]
    return st.pills("Objective", keys, key="objective", bind="query-params", label_visibility="collapsed")


@live(30)
def cards(key: str | None) -> None:
    dialogs.follow()
    now, burnings = data.utc_now(), data.burnings()
    for each in data.objectives():
        if key in (None, each.key):
            rates = data.rates(each) if key is not None else None
            objective_card(each, data.budget(each), burnings.get(each.id), now, rates)


def nothing_promised() -> None:
    with st.container(border=True):
        st.markdown("##### ◌ Nothing is promised yet")
        st.markdown(
            "An objective says which share of the time a site, or all sites with a tag, is to be good: 99.9 % over 30 "
            "days leaves a budget of 43 minutes. Here you then see what of it is spent, and whether the rest will do."
        )
        if data.site_keys():
            st.button("Add the first objective", key="open-first", type="primary", on_click=objective_dialogs.open_add)
        else:
            st.caption("It is about a site, and there is none yet.")
            st.page_link("pages/sites.py", label="Add a site first")


with st.container(horizontal=True, vertical_alignment="bottom"):
    st.title("SLO", width="stretch")
    st.button("Add objective", key="open-objective", type="primary", on_click=objective_dialogs.open_add)
objective_dialogs.draw_open()
well.ours()  # what is not checked spends no budget, and that is no good news
if promised := data.objectives():
    cards(picked(promised))
else:
    nothing_promised()
