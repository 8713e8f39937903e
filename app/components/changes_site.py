"""One site's series with its changes, before and after, and its strange hours."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from app import data, windows
from app.components import question_code
from app.components.changes_list import signed
from app.components.charting import draw, titled
from app.components.site_regions import regions
from app.components.words import milliseconds, plain
from app.windows import RANGES
from pipeline import charts
from pipeline.charts.latency import PHASE_NAMES
from pipeline.store.overview import SiteRow

TOLD = 5
NEAR_H = 24  # a phase's change is found some hours from the whole's
MANY = 24  # strange hours: rather a new level than so many strange hours


def series(row: SiteRow, span: str) -> None:
    """The series over a range and the five weeks before it, in which its rhythm shows."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"#### {plain(row.name)}", width="stretch")
        seen_from = regions(row)
    with st.skeleton(height=260):
        hours = data.hours(row.id, span, seen_from)
        found = data.site_changes(row.id, span, seen_from)
    note = "hourly medians; thick: the level that they keep, with the rhythm of day and week taken out"
    shown = question_code.site_changes(row.key, span, seen_from)
    titled("Before and after", note, name=f"{row.key}-changes", frame=found, code=shown)
    if hours.is_empty():
        st.caption("◌ No hour of this time was measured. Pick a longer range, or see on its page what the site does.")
        return
    draw(charts.changes(hours, found), key="series", alt_text=_alt(row, found))
    _sentences(row, found, data.phase_changes(row.id, span, seen_from))
    _anomalies(row, span, seen_from)


def _sentences(row: SiteRow, found: pl.DataFrame, phases: pl.DataFrame) -> None:
    if found.is_empty():
        st.caption(
            "◌ No change: its medians stay where they are, as far as chance can tell. A level lasts a day or more."
        )
        return
    for change in found.sort("at", descending=True).head(TOLD).iter_rows(named=True):
        box = windows.between(change["at"] - RANGES["24h"] / 2, change["at"] + RANGES["24h"] / 2).address()
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(
                f"**{signed(change['ratio'])}** {plain(change['region'])} since {change['at']:%d %b %H:%M} UTC: "
                f"{milliseconds(change['before_ms'])}, then {milliseconds(change['after_ms'])} "
                f":gray[· {change['hours_before']} h before, {change['hours_after']} h after{_phase(change, phases)}]",
                width="stretch",
            )
            st.page_link(
                "pages/explain.py", label="Explain", width="content",
                query_params={"site": row.key, "from": box["from"], "to": box["to"]},
            )  # fmt: skip
    if found.height > TOLD:
        st.caption(f"{found.height - TOLD} earlier ones are in the data.")


def _phase(change: dict[str, Any], phases: pl.DataFrame) -> str:
    """The phase that shifted with it by the most milliseconds, if one did."""
    gone = pl.col("after_ms") - pl.col("before_ms")
    near = (pl.col("at") - change["at"]).dt.total_hours().abs() <= NEAR_H
    same = pl.col("region").cast(pl.String) == change["region"]
    with_it = phases.filter(near & same & ((pl.col("ratio") > 1) == (change["ratio"] > 1)))
    for row in with_it.sort(gone.abs(), descending=True).head(1).iter_rows(named=True):
        return f" · most of it {PHASE_NAMES[row['phase']]}, {signed(row['ratio'])}"
    return ""


def _anomalies(row: SiteRow, span: str, seen_from: tuple[str, ...]) -> None:
    found = data.site_anomalies(row.id, span, seen_from)
    note = f"hours of the last {span} that took unusually long or short, |z| ≥ 3.5 {_against(found)}"
    since = data.utc_now() - RANGES[span]
    shown = question_code.anomalies(row.key, span, since, seen_from)
    titled("Strange hours", note, name=f"{row.key}-anomalies", frame=found, code=shown)
    if found.is_empty():
        st.caption("◌ None: each hour was as such hours are.")
    else:
        alt_text = f"{found.height} strange hours of {row.name}, as factors of what is usual."
        draw(charts.strange(found), key="strange", alt_text=alt_text)
        if found.height > MANY:
            st.caption("After a shift of level every hour is strange, until the new level is what is usual.")


def _against(found: pl.DataFrame) -> str:
    held = found["against"].cast(pl.String).unique().sort(descending=True).to_list()
    if held == ["all hours"]:
        return "against all hours: there are too few days yet to tell its rhythm"
    if "hour of day" in held and "hour of week" not in held:
        return "against the same hour of the day: there are fewer than four weeks yet"
    return "against the same hour of the week"


def _alt(row: SiteRow, found: pl.DataFrame) -> str:
    if found.is_empty():
        return f"Hourly medians of {row.name} by region, without a change."
    last = found.sort("at").row(-1, named=True)
    return (
        f"Hourly medians of {row.name} by region; changes: {found.height}, the last {signed(last['ratio'])} "
        f"on {last['at']:%d %b %H:%M} UTC."
    )
