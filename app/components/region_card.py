"""A region and what its part of the fleet does."""

from __future__ import annotations

from datetime import datetime, timedelta

import streamlit as st

from app.components import region_dialogs
from app.components.words import NOTHING, ago, milliseconds, plain
from pipeline.health import FRESH
from pipeline.secrets import without_credentials
from pipeline.store.fleet import RegionFacts
from pipeline.vocabulary import Region

LATE_S = 5.0  # a check that waits longer is late for sites of a short interval


def region_card(facts: RegionFacts, now: datetime) -> None:
    region, backlog = facts.region, facts.backlog
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{plain(region.name)}** &ensp;:gray[{plain(region.key)}]", width="stretch")
            st.markdown(_alive(facts, now), width="content")
            st.button(
                "Edit", key=f"edit-{region.key}", on_click=region_dialogs.open_edit, args=(region.key,), type="tertiary"
            )
            st.button(
                "Remove …",
                key=f"remove-{region.key}",
                on_click=region_dialogs.open_delete,
                args=(region.key,),
                type="tertiary",
            )
        with st.grid("auto", min_column_width=136, gap="small"):
            _fact("Sites checked", f"{facts.series:,}".replace(",", " "))
            _fact("Probers", _count(facts), f"last seen {ago(facts.seen_at, now)}")
            _fact("Checks begin late by", _late(facts.lateness_p50_ms), _p95(facts))
            fresh = backlog is not None and now - backlog.seen_at < timedelta(minutes=1)
            if backlog is not None and fresh:
                _fact("Checks waiting", str(backlog.checks_waiting), f"oldest {backlog.oldest_waiting_s:.1f} s")
                _fact("Under way", str(backlog.checks_pending), f"oldest {backlog.oldest_pending_s:.1f} s")
                _fact("Ticks to record", str(backlog.ticks_waiting))
            else:
                _fact("Checks waiting", NOTHING, "nobody counts them now")
        st.caption(_network(facts))
        if not _living(facts, now):
            st.markdown(_what_to_do(facts.region))


def _living(facts: RegionFacts, now: datetime) -> bool:
    return facts.seen_at is not None and now - facts.seen_at <= FRESH


def _count(facts: RegionFacts) -> str:
    """How many run, of those that should."""
    return str(facts.probers) if facts.wanted is None else f"{facts.probers} of {facts.wanted}"


def _p95(facts: RegionFacts) -> str:
    return "" if facts.lateness_p95_ms is None else f"p95 {_late(facts.lateness_p95_ms)}"


def _late(ms: float | None) -> str:
    """A timer may go off some microseconds early, which nobody calls late."""
    return milliseconds(None if ms is None else max(0.0, ms))


def _what_to_do(region: Region) -> str:
    """The next step where nobody probes."""
    if region.managed:
        return (
            "**No prober gives a sign of life.** The supervisor starts one within seconds. If it does not, "
            "`betterstack doctor` says what is wrong."
        )
    return (
        f"**Nobody probes from there yet.** Run `betterstack region join-command {region.key}` here, and what it "
        "prints on the other machine."
    )


def _fact(label: str, value: str, note: str = "") -> None:
    with st.container(gap=None):
        st.caption(label)
        st.markdown(f"**{value}**" + (f" &ensp;:gray[:small[{note}]]" if note else ""))


def _alive(facts: RegionFacts, now: datetime) -> str:
    """Whether somebody probes for it, in a symbol and words."""
    if _living(facts, now):
        late = facts.backlog is not None and facts.backlog.oldest_waiting_s > LATE_S
        return ":orange-badge[▲ probing, late]" if late else ":green-badge[● probing]"
    if facts.region.managed:
        return ":red-badge[✕ no prober]"
    return ":gray-badge[◌ waits for a prober elsewhere]"


def _network(facts: RegionFacts) -> str:
    network = facts.region.network
    said = ["probed by this workbench" if facts.region.managed else "probed from elsewhere"]
    if network.source_address:
        said.append(f"leaves from {network.source_address}")
    if network.proxy:
        said.append(f"through {without_credentials(network.proxy)}")
    if network.resolvers:
        said.append(f"asks {', '.join(network.resolvers)}")
    if network.references:
        said.append(f"is well while one of {', '.join(network.references)} answers")
    return plain(" · ".join(said))
