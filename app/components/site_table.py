"""A page of sites as a table: rows to select, names to open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

import streamlit as st

from app.components.site_head import claim
from app.components.words import COLOURS, NOTHING, ago, every
from pipeline.charts.palette import SYMBOLS, sign
from pipeline.store.overview import ATTENTION, Seen, SiteRow
from pipeline.store.uptime import Uptime
from pipeline.vocabulary import State

ROW_HEIGHT = 35
SHOWN = 2  # regions of a site
UPTIME_HELP = "Of the time that is known; at least so much where no check has failed."


def site_table(rows: Sequence[SiteRow], uptimes: Mapping[int, Uptime], now: datetime) -> list[str]:
    """Draw the rows; returns the keys of those that are selected. A click on a name opens its site."""
    keys = [row.key for row in rows]
    # The key holds the very rows: a selection can never come to mean other sites because the order has changed.
    name = "sites-" + blake2b("\n".join(keys).encode(), digest_size=6).hexdigest()
    picked: Any = st.dataframe(
        [_cells(row, uptimes.get(row.id), now) for row in rows],
        key=name,
        on_select="rerun",
        selection_mode="multi-row",
        hide_index=True,
        height=ROW_HEIGHT * (len(rows) + 1) + 3,
        row_height=ROW_HEIGHT,
        placeholder=NOTHING,
        column_config=_columns(),
        alt="Sites with their states",
    )
    clicked = st.session_state.get("open")
    if clicked is not None and clicked["row"] < len(keys):
        st.switch_page("pages/site.py", query_params={"site": keys[clicked["row"]]})
    return [keys[position] for position in picked["selection"]["rows"] if position < len(keys)]


def _cells(row: SiteRow, uptime: Uptime | None, now: datetime) -> dict[str, Any]:
    coverage = uptime.coverage if uptime else None
    return {
        "State": [sign(row.state)],
        "Site": f"{row.name} \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
        "URL": row.url,
        "Regions": regions(row.seen),
        "Latency": row.latency_ms,
        "Uptime 24 h": claim(uptime) if uptime else NOTHING,
        "Known": None if coverage is None else int(coverage * 100),
        "Checked": ago(row.checked_at, now) if row.state is not State.PAUSED else NOTHING,
        "Tags": row.tags,
        "Every": every(row.interval_s).removeprefix("every "),
    }


def regions(seen: Sequence[Seen]) -> str:
    """As many regions as there is room for, those that need a person first, and how many more there are."""
    shown = sorted(seen, key=lambda one: ATTENTION.index(one.state))[:SHOWN] if len(seen) > SHOWN else seen
    more = [f"+{len(seen) - SHOWN}"] if len(seen) > SHOWN else []
    return "  ".join([*(f"{SYMBOLS[one.state]} {one.region.key}" for one in shown), *more]) or NOTHING


def _columns() -> dict[str, Any]:
    config = st.column_config
    return {
        "State": config.MultiselectColumn(
            "State", width=108, options=[sign(state) for state in State], color=[COLOURS[state] for state in State]
        ),
        "Site": config.ButtonColumn("Site", width=160, type="tertiary", alignment="left", key="open"),
        "URL": config.LinkColumn("URL", width=190, display_text=r"^https?://(.*)$", alignment="left"),
        "Regions": config.TextColumn("Regions", width=170),
        "Latency": config.NumberColumn("Latency", width=82, format="%.0f ms", help="The slowest region's last answer."),
        "Uptime 24 h": config.TextColumn(
            "Uptime 24 h",
            width=92,
            alignment="right",
            help="Of the time that is known; at least so much where no check has failed.",
        ),
        "Known": config.NumberColumn("Known", width=64, format="%d %%", help="How much of the last 24 h is known."),
        "Checked": config.TextColumn("Checked", width=92),
        "Tags": config.ListColumn("Tags", width=150),
        "Every": config.TextColumn("Every", width=85),
    }
