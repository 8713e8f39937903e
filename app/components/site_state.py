"""What a site's page says beside its numbers: that it is paused, waits, or is not known, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from app.components import well
from app.components.words import ago, plain
from pipeline.health import Health
from pipeline.store.fleet import RegionFacts
from pipeline.store.overview import SiteRow
from pipeline.vocabulary import State


def explain(row: SiteRow, health: Health, facts: Sequence[RegionFacts], now: datetime) -> None:
    """Nothing for a site that is checked; else why it is not, the most telling reason first."""
    if row.state is State.PAUSED:
        words = "Nothing is checked and nobody is told anything. *Resume* goes on at once; what was found stays below."
        _box("paused", "‖ Paused", words)
    elif not row.seen:
        _box("nowhere", "◌ No region checks it", "Pick regions in *Settings*, or add one.")
        st.page_link("pages/regions.py", label="Regions")
    elif not well.checks_run(health):
        with st.container(key="state-blind", gap="xsmall"):
            well.banner(health)
            st.page_link("pages/health.py", label="Health of our own parts")
    elif silent := _silent(row, facts):
        for each in silent:
            _nobody(each, now)
        st.page_link("pages/health.py", label="Health of our own parts")
    elif all(seen.standing.slot_at is None for seen in row.seen):
        words = "It is on its way and comes within seconds; this page shows it by itself."
        _box("waiting", "◌ Waiting for the first check", words)
    elif row.state is State.UNKNOWN:
        words = (
            "The checks run, but too few regions have a fresh answer of their own for a verdict. What each of them "
            "said last is below; *Test now* asks all of them at once."
        )
        _box("unknown", "◌ Not known", words)


def _silent(row: SiteRow, facts: Sequence[RegionFacts]) -> list[RegionFacts]:
    """The site's regions in which nobody probes."""
    keys = {seen.region.key for seen in row.seen}
    return [each for each in facts if each.region.key in keys and each.probers == 0]


def _nobody(silent: RegionFacts, now: datetime) -> None:
    key = silent.region.key
    todo = (
        "The supervisor should have started one: see *Health*."
        if silent.region.managed
        else f"Its probers run elsewhere: `betterstack region join-command {key}` prints what to run there."
    )
    words = f"The last sign of life of a prober there: {ago(silent.seen_at, now)}. {todo}"
    _box(f"unprobed-{key}", f"◌ Nobody probes from {plain(key)}", words)


def _box(kind: str, title: str, words: str) -> None:
    with st.container(border=True, key=f"state-{kind}", gap="xsmall"):
        st.markdown(f"##### {title}")
        st.caption(words)
