"""What is broken? Counts by state, failures first, what the regions saw in the last hour. Live."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import code, first_run, rows, well
from app.components.boundary import live
from app.components.charting import draw, titled
from pipeline import charts
from pipeline.charts.palette import gutter_of, over_range
from pipeline.store.overview import Wanted
from pipeline.vocabulary import State

FAILING = Wanted(states=(State.DOWN, State.DEGRADED), size=12)
UNSURE = Wanted(states=(State.UNKNOWN,), size=6)


@live(2)
def what_is_broken() -> None:
    counts, health, now = data.counts(), data.health(), data.utc_now()
    well.banner(health)
    well.unwatched(data.facts(), now)
    rows.tiles(counts)
    failing = data.find(FAILING)
    unsure = data.find(UNSURE) if counts.by_state[State.UNKNOWN] else None
    rows.failures(failing, counts, now, sure=well.checks_run(health))
    if unsure is not None:
        rows.unsure(unsure, now, {row.key for row in unsure.rows if first_run.confirming(row)})


@live(10)
def the_last_hour() -> None:
    fleet = data.fleet()
    failing = data.find(FAILING).rows[:6]
    spans = rows.labelled(data.spans(tuple(row.id for row in failing), "1h"), failing)
    over, gutter = over_range(fleet["at"].min(), fleet["until"].max()), gutter_of([*spans["label"], *fleet["region"]])
    if not fleet.is_empty():
        note = "share of the sites checked in each minute, each by its worst state in it"
        titled("The last hour, by region", note, name="fleet", frame=fleet, code=code.fleet())
        draw(
            charts.fleet(fleet, over, gutter=gutter),
            key="fleet-chart",
            alt_text=f"{note} and region by region, in the last hour",
        )
    if failing:
        keys = [row.key for row in failing]
        titled(
            "Failing sites", "the last hour of each, by region", name="failing", frame=spans, code=code.failing(keys)
        )
        chart = charts.strip(spans, over, gutter=gutter)
        draw(chart, key="failing-chart", alt_text="states of the failing sites by region, last hour")


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
    first_run.not_taken()
    first_run.first_checks()
    what_is_broken()
    the_last_hour()
    what_changed()
