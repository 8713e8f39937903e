"""A chart on a page: with its name, its data as CSV, and the Python that makes it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import altair as alt
import polars as pl
import streamlit as st


def titled(title: str, note: str, *, name: str, frame: pl.DataFrame, code: str) -> None:
    """The line above a chart: what it is, and where its data and its code are."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"##### {title}", width="content")
        st.caption(note, width="stretch")
        with st.popover("Data and code", type="tertiary"):
            st.download_button(
                "Download CSV",
                data=_csv(frame),
                file_name=f"{name}.csv",
                mime="text/csv",
                key=f"csv-{name}",
                on_click="ignore",
            )
            st.caption("The same in a notebook:")
            st.code(code, language="python")


class _Trusted:
    """A chart that is not held against Vega-Lite's schema on each refresh, which is half of what drawing costs.

    The tests of the charts do that.
    """

    def __init__(self, chart: alt.Chart | alt.LayerChart) -> None:
        self._chart = chart

    def to_dict(self) -> dict[str, Any]:
        spec = self._chart.to_dict(validate=False)
        spec.pop("description", None)  # the page says it as `alt`, with what it knows of the data
        return spec


def trusted(chart: alt.Chart | alt.LayerChart) -> Any:
    """The chart as Streamlit's `altair_chart` takes it: all that it asks for is `to_dict`."""
    return _Trusted(chart)


def draw(chart: alt.Chart | alt.LayerChart, *, alt_text: str, key: str) -> None:
    st.altair_chart(trusted(chart), key=key, alt=alt_text, width="stretch")


def width_of(frame: pl.DataFrame) -> int:
    """Seconds from one bucket to the next; a minute where there is only one."""
    step = frame["at"].unique().sort().diff().min()
    return round(step.total_seconds()) if isinstance(step, timedelta) else 60


def _csv(frame: pl.DataFrame) -> Callable[[], str]:
    """Written when somebody asks, not on every run."""
    return frame.write_csv
