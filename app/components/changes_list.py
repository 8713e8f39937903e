"""The changes of all sites as a table; a row that is picked shows its site's series below."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from app.components import address
from app.components.words import milliseconds, unturned

SHOWN = 100  # beyond, nobody reads on: the CSV has all
ROW_HEIGHT = 35
_KEY = "changes"


def table(found: pl.DataFrame) -> None:
    """Frame CHANGES, in its order. A pick goes into the address."""
    rows = found.head(SHOWN).to_dicts()
    st.session_state["changes-rows"] = [(row["site"], row["region"]) for row in rows]
    st.dataframe(
        [_cells(row) for row in rows],
        key=_KEY,
        on_select=_picked,
        selection_mode="single-row",
        hide_index=True,
        height=ROW_HEIGHT * (min(len(rows), 10) + 1) + 3,
        row_height=ROW_HEIGHT,
        column_config={
            "Change": st.column_config.TextColumn(width="small"),
            "Site": st.column_config.TextColumn(width=120),
            "Since (UTC)": st.column_config.DatetimeColumn(format="DD MMM HH:mm", timezone="UTC"),
        },
        alt="Changes of latency by site and region, the greatest first",
    )


def signed(ratio: float) -> str:
    """`▲ +30 %` where it became slower, `▼ -20 %` where faster: a sign beside the number, no colour needed."""
    return f"{'▲' if ratio > 1 else '▼'} {100 * (ratio - 1):+.0f} %"


def _cells(row: dict[str, Any]) -> dict[str, object]:
    return {
        "Change": signed(row["ratio"]),
        "Site": unturned(row["site"]),
        "Region": unturned(row["region"]),
        "Since (UTC)": row["at"],
        "Before": milliseconds(row["before_ms"]),
        "After": milliseconds(row["after_ms"]),
        "p": f"{row['p_value']:.0e}" if row["p_value"] >= 1e-9 else "< 1e-9",
    }


def _picked() -> None:
    rows = st.session_state[_KEY]["selection"]["rows"]
    shown: list[tuple[str, str]] = st.session_state["changes-rows"]
    if rows and rows[0] < len(shown):
        site, region = shown[rows[0]]
        address.go(site=site, region=region)
    else:
        address.go(site="", region="")
