"""Proof for a client: the uptime of some sites over a month, and everything to take away and count again."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import report_figures, report_files, report_pick, well
from app.components.boundary import explained
from app.components.words import plain
from pipeline.analysis.policies import POLICIES
from pipeline.report.sla import Wanted


def report(wanted: Wanted) -> None:
    with st.skeleton(height=320):
        found = data.report(wanted)
    so_far = ", so far" if found.period.so_far(data.utc_now()) else ""
    st.markdown(f"##### {plain(wanted.about)} · {plain(found.period.label)}{so_far}")
    st.caption(plain(POLICIES[wanted.policy].about))
    report_figures.figures(found, wanted)
    report_files.files(found, wanted)


st.title("Reports")
well.ours()
if data.site_keys():
    with explained(briefly=True):
        report(report_pick.pick(data.utc_now()))
else:
    st.caption("◌ There is no site to report on. Add some on the page *Now*, and come back when they were checked.")
    st.page_link("pages/now.py", label="Add sites")
