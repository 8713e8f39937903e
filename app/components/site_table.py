"""A page of sites as a table: rows to select, names to open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

import streamlit as st

from app.components.words import COLOURS, ago, every, percent
from pipeline.charts.palette import SYMBOLS, sign
from pipeline.store.overview import SiteRow
from pipeline.store.uptime import Uptime
from pipeline.vocabulary import State

ROW_HEIGHT = 35


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
        placeholder="–",
        column_config=_columns(),
        alt="Sites with their states",
    )
    clicked = st.session_state.get("open")
    if clicked is not None and clicked["row"] < len(keys):
        st.switch_page("pages/site.py", query_params={"site": keys[clicked["row"]]})
    return [keys[position] for position in picked["selection"]["rows"] if position < len(keys)]


def _cells(row: SiteRow, uptime: Uptime | None, now: datetime) -> dict[str, Any]:
    share, coverage = (uptime.uptime, uptime.coverage) if uptime else (None, None)
    return {
        "State": [sign(row.state)],
        "Site": row.name,
        "URL": row.url,
        "Regions": "  ".join(f"{SYMBOLS[seen.state]} {seen.region.key}" for seen in row.seen) or "–",
        "Latency": row.latency_ms,
        "Uptime 24 h": percent(share),
        "Known": None if coverage is None else int(coverage * 100),
        "Checked": ago(row.checked_at, now) if row.state is not State.PAUSED else "–",
        "Every": every(row.interval_s).removeprefix("every "),
        "Tags": row.tags,
    }


def _columns() -> dict[str, Any]:
    config = st.column_config
    shown = {
        "State": config.MultiselectColumn(
            "State", width=108, options=[sign(state) for state in State], color=[COLOURS[state] for state in State]
        ),
        "Site": config.ButtonColumn("Site", width=170, type="tertiary", alignment="left", key="open"),
        "URL": config.LinkColumn("URL", width=230, display_text=r"^https?://(.*)$", alignment="left"),
        "Regions": config.TextColumn("Regions", width=150),
        "Latency": config.NumberColumn("Latency", width=82, format="%.0f ms", help="The slowest region's last answer."),
        "Uptime 24 h": config.TextColumn("Uptime 24 h", width=92, alignment="right", help="Of the time that is known."),
        "Known": config.NumberColumn("Known", width=70, format="%d %%", help="How much of the last 24 h is known."),
        "Checked": config.TextColumn("Checked", width=95),
        "Every": config.TextColumn("Every", width=85),
        "Tags": config.ListColumn("Tags", width=160),
    }
    return shown
