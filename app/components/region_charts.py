"""What the fleet did over time: probers and decisions, lateness, what waited; and the last decisions as a table."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import streamlit as st

from app.components import code
from app.components.charting import draw, titled
from pipeline import charts
from pipeline.charts.scaling import LAGS

LAST = 50  # decisions in the table; the CSV beside it has all of the range
TITLES = {"checks_waiting": "Checks waiting", "oldest_waiting_s": "Oldest check", "ticks_waiting": "Ticks waiting"}


def over_time(samples: pl.DataFrame, decisions: pl.DataFrame, span: str, width_s: int, chosen: Sequence[str]) -> None:
    """The charts of `SAMPLED` and DECISIONS, each with its data and its code."""
    note = "running, by region; a triangle is a decision, with its reason"
    frame = samples.select("at", "region", "probers", "probers_low", "probers_high")
    titled("Probers", note, name="region-probers", frame=frame, code=code.probers(span, width_s, chosen))
    draw(charts.probers(samples, decisions), key="region-probers", alt_text=f"Running probers by region over {span}.")
    note = "how long after its time a check begins: median, and up to the 95th percentile"
    frame = samples.select("at", "region", "lateness_p50_ms", "lateness_p95_ms")
    titled("Lateness", note, name="region-lateness", frame=frame, code=code.lateness(span, width_s, chosen))
    if frame["lateness_p50_ms"].count():
        draw(charts.lateness(samples), key="region-lateness", alt_text=f"Lateness of checks by region over {span}.")
    else:
        st.caption("◌ Nothing was checked in this time: there is no site, or no prober.")
    with st.grid("auto", min_column_width=320):
        for name in LAGS:
            with st.container(gap="small"):
                _lag(samples, name, code.lag(name, span, width_s, chosen), span)


def _lag(samples: pl.DataFrame, name: str, python: str, span: str) -> None:
    titled(TITLES[name], "", name=f"region-{name}", frame=samples.select("at", "region", name), code=python)
    draw(charts.lag(samples, name), key=f"region-{name}", alt_text=f"{LAGS[name][0]} by region over {span}.")


def decided(decisions: pl.DataFrame, span: str, chosen: Sequence[str]) -> None:
    """The last decisions, the newest first."""
    note = f"the last {LAST} of {len(decisions)}" if len(decisions) > LAST else "newest first"
    frame = decisions.drop("region_id")
    titled("Decisions", note, name="region-decisions", frame=frame, code=code.decisions(span, chosen))
    if decisions.is_empty():
        st.caption(
            "◌ None in this time: the probers there were enough. A region's probers follow its load between the "
            "least and the most that it allows."
        )
        return
    shown = frame.head(LAST).select(
        "at", pl.col("region").cast(pl.String), pl.format("{} → {}", "before", "after").alias("probers"), "reason"
    )
    st.dataframe(
        shown,
        key="region-decided",
        hide_index=True,
        height="content" if len(shown) <= 8 else 320,
        column_config={
            "at": st.column_config.DatetimeColumn("When (UTC)", format="D MMM HH:mm:ss", timezone="UTC", width=130),
            "region": st.column_config.TextColumn("Region", width=110),
            "probers": st.column_config.TextColumn("Probers", width=80),
            "reason": st.column_config.TextColumn("Why", width="large"),
        },
    )
