"""A page of sites as a table: rows to select, names to open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

import streamlit as st
from msgspec import Struct

from app.components import leave
from app.components.site_bar import WIDTH, bar
from app.components.site_head import claim
from app.components.words import COLOURS, NOTHING, ago, every, plain, unturned
from pipeline.charts.palette import SYMBOLS, sign
from pipeline.store.history import Strip
from pipeline.store.overview import ATTENTION, Seen, SiteRow
from pipeline.store.uptime import Uptime
from pipeline.vocabulary import State

ROW_HEIGHT = 35
SHOWN = 2  # regions of a site
UPTIME_HELP = "Of the time that is known; at least so much where no check has failed."
BUCKETS = {"24h": "hour", "7d": "UTC day", "30d": "UTC day"}
NAMES = {"24h": "24 h", "7d": "7 d", "30d": "30 d"}


class Over(Struct, frozen=True):
    """What a list tells of its sites over a range (`24h`, `7d`, `30d`), by their ids."""

    span: str
    uptimes: Mapping[int, Uptime]
    strips: Mapping[int, Strip]


def site_table(rows: Sequence[SiteRow], over: Over, now: datetime) -> list[str]:
    """Draw the rows; returns the keys of those that are selected. A click on a name opens its site."""
    keys = [row.key for row in rows]
    # The key holds the very rows: a selection can never come to mean other sites because the order has changed.
    name = "sites-" + blake2b("\n".join(keys).encode(), digest_size=6).hexdigest()
    picked: Any = st.dataframe(
        [_cells(row, over, now) for row in rows],
        key=name,
        on_select="rerun",
        selection_mode="multi-row",
        hide_index=True,
        height=ROW_HEIGHT * (len(rows) + 1) + 3,
        row_height=ROW_HEIGHT,
        placeholder=NOTHING,
        column_config=_columns(over.span),
        alt="Sites with their states",
    )
    clicked = st.session_state.get("open")
    if clicked is not None and clicked["row"] < len(keys):
        row = rows[clicked["row"]]
        leave.to("pages/site.py", label=f"Open {plain(row.name)}", site=row.key)
    return [keys[position] for position in picked["selection"]["rows"] if position < len(keys)]


def _cells(row: SiteRow, over: Over, now: datetime) -> dict[str, Any]:
    uptime, strip = over.uptimes.get(row.id), over.strips.get(row.id)
    coverage = uptime.coverage if uptime else None
    return {
        "State": [sign(row.state)],
        "Site": f"{unturned(row.name)} \N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}",
        "States": bar(strip.seconds) if strip else None,
        # A line in a table has no gaps: buckets without an answer are left out.
        "Trend": [ms for ms in strip.p95s_ms if ms is not None] if strip else [],
        "p95": strip.p95_ms if strip else None,
        "Uptime": claim(uptime) if uptime else NOTHING,
        "Regions": regions(row.seen),
        "Checked": ago(row.checked_at, now) if row.state is not State.PAUSED else NOTHING,
        "Latency": row.latency_ms,
        "Known": None if coverage is None else int(coverage * 100),
        "URL": row.url,
        "Tags": row.tags,
        "Every": every(row.interval_s).removeprefix("every "),
    }


def regions(seen: Sequence[Seen]) -> str:
    """As many regions as there is room for, those that need a person first, and how many more there are."""
    shown = sorted(seen, key=lambda one: ATTENTION.index(one.state))[:SHOWN] if len(seen) > SHOWN else seen
    more = [f"+{len(seen) - SHOWN}"] if len(seen) > SHOWN else []
    return "  ".join([*(f"{SYMBOLS[one.state]} {one.region.key}" for one in shown), *more]) or NOTHING


def _columns(span: str) -> dict[str, Any]:
    config, name, bucket = st.column_config, NAMES[span], BUCKETS[span]
    return {
        "State": config.MultiselectColumn(
            "State", width=100, options=[sign(state) for state in State], color=[COLOURS[state] for state in State]
        ),
        "Site": config.ButtonColumn("Site", width=226, type="tertiary", alignment="left", key="open"),
        "States": config.ImageColumn(
            f"States {name}",
            width=WIDTH + 14,
            help=f"One column a {bucket}, the worst at the bottom; however short, a failure is tall enough to see.",
        ),
        "Trend": config.LineChartColumn(
            f"p95 by {bucket.split()[-1]}",
            width=92,
            y_min=0,
            help=f"95th percentile of each {bucket}, from 0 up to the site's own highest.",
        ),
        "p95": config.NumberColumn(
            f"p95 {name}",
            width=72,
            format="%.0f ms",
            help="95th percentile of what was answered, from the merged histograms.",
        ),
        "Uptime": config.TextColumn(f"Uptime {name}", width=92, alignment="right", help=UPTIME_HELP),
        "Regions": config.TextColumn("Regions", width=156),
        "Checked": config.TextColumn("Checked", width=84),
        "Latency": config.NumberColumn("Latest", width=76, format="%.0f ms", help="The slowest region's last answer."),
        "Known": config.NumberColumn("Known", width=64, format="%d %%", help=f"How much of the last {name} is known."),
        "URL": config.LinkColumn("URL", width=190, display_text=r"^https?://(.*)$", alignment="left"),
        "Tags": config.ListColumn("Tags", width=150),
        "Every": config.TextColumn("Every", width=85),
    }
