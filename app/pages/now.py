"""What is broken? Counts by state, failures first, what the regions saw in the last hour. Live."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import first_run, rows, well
from app.components.boundary import live
from app.components.charting import draw
from pipeline import charts
from pipeline.store.overview import Wanted
from pipeline.vocabulary import State

FAILING = Wanted(states=(State.DOWN, State.DEGRADED), size=12)
UNSURE = Wanted(states=(State.UNKNOWN,), size=6)


@live(2)
def what_is_broken() -> None:
    counts, health, now = data.counts(), data.health(), data.utc_now()
    well.banner(health)
    rows.tiles(counts)
    failing = data.find(FAILING)
    unsure = data.find(UNSURE) if counts.by_state[State.UNKNOWN] else None
    rows.failures(failing, counts, now)
    if unsure is not None:
        rows.unsure(unsure, now)


@live(10)
def the_last_hour() -> None:
    fleet = data.fleet()
    failing = data.find(FAILING).rows[:6]
    if not fleet.is_empty():
        st.markdown("##### The last hour, by region")
        draw(
            charts.fleet(fleet),
            key="fleet",
            alt_text="For each region and minute of the last hour: the share of checks that were down, degraded, up.",
        )
    if failing:
        spans = data.spans(tuple(row.id for row in failing), "1h")
        st.markdown("##### What fails now, in the last hour")
        draw(
            charts.strip(rows.labelled(spans, failing)),
            key="failing",
            alt_text="The states of the failing sites by region over the last hour.",
        )


@live(5)
def what_changed() -> None:
    changes, now = data.changes(), data.utc_now()
    if changes:
        st.markdown("##### Last changes")
        rows.changes(changes, now)


with st.container(horizontal=True, vertical_alignment="bottom"):
    st.title("Now", width="stretch")
if data.counts().total == 0 and not first_run.watching():
    first_run.welcome()
else:
    first_run.first_checks()
    what_is_broken()
    the_last_hour()
    what_changed()
