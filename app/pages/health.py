"""Are we well ourselves? Every part of the workbench: how it is, what that means, what to do."""

from __future__ import annotations

import streamlit as st

from app import data
from app.components import part_row
from app.components.boundary import live
from pipeline.health import Grade, Health

TITLES = {
    Grade.WELL: "All our parts are well.",
    Grade.LOOK: "Checks run. Something is worth a look.",
    Grade.UNWELL: "Something of ours is not well: what that part does may be missing or late.",
}


@live(3)
def parts() -> None:
    health, now = data.checkup(), data.utc_now()
    summary(health)
    worst_first = sorted(health.parts, key=lambda part: -list(Grade).index(part.grade))
    for part in worst_first:
        if part.grade is not Grade.WELL:
            part_row.trouble(part, now)
    well = [part for part in health.parts if part.grade is Grade.WELL]
    if well:
        part_row.calm(well, now)
    if len(health.parts) == 1:
        st.caption("◌ Nothing else is known while Postgres is away: every other part tells how it is there.")


def summary(health: Health) -> None:
    say = {Grade.WELL: st.success, Grade.LOOK: st.warning, Grade.UNWELL: st.error}[health.grade]
    say(f"**{TITLES[health.grade]}**")


st.title("Health")
st.caption(
    "Our own parts, live. `betterstack doctor` says the same in a terminal and looks at Redis, too; `/healthz` is for "
    "machines."
)
parts()
