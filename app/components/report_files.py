"""A report to take away: as a page, as a notebook, and what it was counted from as files."""

from __future__ import annotations

from functools import partial
from urllib.parse import quote, urlencode

import streamlit as st

from app import data
from app.components import report_code
from app.windows import written
from pipeline.report.figures import Figures
from pipeline.report.sla import Wanted

FORMATS = {"CSV": "csv", "Parquet": "parquet", "JSON lines": "jsonl"}
MOST_NAMED = 100  # sites in one address


def files(found: Figures, wanted: Wanted) -> None:
    st.markdown("##### Take it away")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if data.can_draw():
            st.download_button(
                "Report (HTML)",
                data=partial(data.report_page, wanted),
                file_name=f"{wanted.file_name}.html",
                mime="text/html",
                key="report-html",
                type="primary",
                on_click="ignore",
            )
        st.download_button(
            "Notebook",
            data=partial(data.report_notebook, wanted),
            file_name=f"{wanted.file_name}.ipynb",
            mime="application/x-ipynb+json",
            key="report-notebook",
            on_click="ignore",
        )
    if not data.can_draw():
        st.caption(
            "The report as one HTML file needs what draws its charts: `make report`, or the extra `report`. "
            "Then this page offers it, and so does the command line:"
        )
    st.code(report_code.command(wanted), language=None, wrap_lines=True)
    st.markdown("\n".join(f"- {line}" for line in links(found)))


def links(found: Figures) -> list[str]:
    """What was counted, as files of the HTTP API, each in three formats."""
    every = len(found.keys) > MOST_NAMED
    over = [("since", written(found.period.since)), ("until", written(found.period.until))]
    named = over if every else [*over, *(("site", key) for key in found.keys)]
    offered = {
        "What held, by the vote": ("spans", [("level", "global"), *named]),
        "What held, by region": ("spans", [("level", "region"), *named]),
        "Hours with latency": ("rollups", named),
    }
    if len(found.keys) == 1:
        offered["Every check"] = (f"sites/{quote(found.keys[0])}/ticks", over)
    note = " (of all sites)" if every else ""
    return [
        f"{title}{note}: "
        + " · ".join(
            f"[{name}](/api/v1/{path}?{urlencode([*asked, ('format', format_)])})" for name, format_ in FORMATS.items()
        )
        for title, (path, asked) in offered.items()
    ]
