"""A region and what its part of the fleet does."""

from __future__ import annotations

from datetime import datetime, timedelta

import streamlit as st

from app.components import region_dialogs
from app.components.words import NOTHING, ago, plain
from pipeline.health import FRESH
from pipeline.store.overview import RegionFacts

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
        with st.grid("auto", min_column_width=150, gap="small"):
            _fact("Sites checked from it", f"{facts.series:,}".replace(",", " "))
            _fact("Probers", str(facts.probers), f"last seen {ago(facts.seen_at, now)}")
            fresh = backlog is not None and now - backlog.seen_at < timedelta(minutes=1)
            if backlog is not None and fresh:
                _fact("Checks waiting", str(backlog.checks_waiting), f"oldest {backlog.oldest_waiting_s:.1f} s")
                _fact("Under way", str(backlog.checks_pending), f"oldest {backlog.oldest_pending_s:.1f} s")
                _fact("Ticks to record", str(backlog.ticks_waiting))
            else:
                _fact("Checks waiting", NOTHING, "nobody counts them now")
        st.caption(_network(facts))


def _fact(label: str, value: str, note: str = "") -> None:
    with st.container(gap=None):
        st.caption(label)
        st.markdown(f"**{value}**" + (f" &ensp;:gray[:small[{note}]]" if note else ""))


def _alive(facts: RegionFacts, now: datetime) -> str:
    """Whether somebody probes for it, in a symbol and words."""
    if facts.seen_at is not None and now - facts.seen_at <= FRESH:
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
        said.append(f"through {network.proxy}")
    if network.resolvers:
        said.append(f"asks {', '.join(network.resolvers)}")
    return plain(" · ".join(said))
