"""Reports: the numbers of a month, and the report as a file."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from app.data.connections import (
    database,
    floor,
)
from pipeline.report import html
from pipeline.report import sla as reports
from pipeline.report.figures import Figures, figures, keys_of
from pipeline.report.periods import period_of
from pipeline.store.explained import explained
from pipeline.workbench import Workbench


def report(wanted: reports.Wanted) -> Figures:
    """The numbers of a report, as of the last ten minutes. Errors: NotFoundError, InvalidInputError."""
    return _report(wanted, floor(600))


@st.cache_data(ttl=600, max_entries=40, show_spinner=False)
def _report(wanted: reports.Wanted, until: datetime) -> Figures:
    with explained(), Workbench(database(), clock=lambda: until) as up:
        period = period_of(wanted.month, wanted.tz, until)
        return figures(up, keys_of(up, wanted.site, wanted.tag), period, wanted.policy)


@st.cache_data(ttl=600, max_entries=10, show_spinner=False)
def report_page(wanted: reports.Wanted) -> str:
    """The report as one HTML file. Errors: WorkbenchError where what draws its charts is not installed."""
    with explained():
        return reports.report(wanted)


def report_notebook(wanted: reports.Wanted) -> str:
    """The report's notebook with these parameters, not run."""
    return reports.notebook(wanted)


def can_draw() -> bool:
    """Whether what draws the charts of an HTML report is installed."""
    return html.can_draw()
