"""Rows of sites and their counts, for the page *Now*."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import datetime

import polars as pl
import streamlit as st

from app.components.words import COLOURS, NOTHING, ago, badge, cause, lasted, mark, plain, shortened, unlinked, unturned
from pipeline.store.overview import Change, Counts, Found, SiteRow
from pipeline.vocabulary import State

LABEL = 34  # letters beside a chart: also on a phone there is room for the chart then
TILES = (State.DOWN, State.DEGRADED, State.UNKNOWN, State.UP, State.PAUSED)


def tiles(counts: Counts) -> None:
    """How many sites are in each state; each tile leads to its sites."""
    with st.grid(len(TILES), min_column_width=120, gap="small"):
        for state in TILES:
            count = counts.by_state[state]
            with st.container(border=True, gap=None):
                st.page_link(
                    "pages/sites.py",
                    label=f"{mark(state)} {state.value.capitalize()}",
                    query_params={"state": state.value},
                )
                quiet = count == 0 or state in (State.UP, State.PAUSED)
                st.markdown(f"## {count}" if quiet else f"## :{COLOURS[state]}[{count}]")


def failures(found: Found, counts: Counts, now: datetime, *, sure: bool) -> None:
    """What needs a person, the worst first; or, where we are sure, that nothing does."""
    if not found.rows:
        up, unknown = counts.by_state[State.UP], counts.by_state[State.UNKNOWN]
        if unknown and up and sure:
            st.info(f"{up} up, {unknown} not known yet.", icon=":material/help:")
        elif up and sure:
            st.success(
                f"{'The site that is checked is' if up == 1 else f'All {up} sites that we know of are'} up.",
                icon=":material/check_circle:",
            )
        return
    st.markdown("##### Failing")
    with st.container(border=True, gap="xsmall"):
        for row in found.rows:
            _row(row, now)
        if found.total > len(found.rows):
            st.page_link(
                "pages/sites.py", label=f"all {found.total} failing sites", query_params={"state": ["down", "degraded"]}
            )


def unsure(found: Found, now: datetime, confirming: Collection[str]) -> None:
    """What nobody knows the state of, and why; `confirming` are the keys whose first check has failed once."""
    st.markdown("##### Unknown")
    with st.container(border=True, gap="xsmall"):
        for row in found.rows:
            _row(row, now, confirming=row.key in confirming)
        if found.total > len(found.rows):
            st.page_link("pages/sites.py", label=f"all {found.total} unknown sites", query_params={"state": "unknown"})


def _row(row: SiteRow, now: datetime, *, confirming: bool = False) -> None:
    with st.container(key=f"row-{row.key}", horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(badge(row.state), width=92)
        st.page_link("pages/site.py", label=f"**{plain(row.name)}**", query_params={"site": row.key}, width=220)
        st.caption(unlinked(cause(row, confirming=confirming)), width="stretch")
        st.caption(f"for {lasted(row.since, now)}" if row.since else NOTHING, width=104)


def changes(last: list[Change], now: datetime) -> None:
    """The newest changes of verdict."""
    lines = [
        f"{mark(change.to_state)} **{unlinked(change.name)}** "
        f"{change.from_state.value} → {change.to_state.value} :gray[{ago(change.at, now)}]"
        for change in last
    ]
    st.markdown("  \n".join(lines))


def labelled(spans: pl.DataFrame, rows: list[SiteRow]) -> pl.DataFrame:
    """Spans with a label that names site and region, in the order of the rows. A long name is cut, the region never."""
    names = _names(spans, rows)
    order = {row.key: place for place, row in enumerate(rows)}
    site = pl.col("site")
    return spans.with_columns(
        label=site.replace_strict(names, return_dtype=pl.String) + " · " + pl.col("region"),
        place=site.replace_strict(order, return_dtype=pl.Int32),
    ).sort("place", "region", "at")


def _names(spans: pl.DataFrame, rows: list[SiteRow]) -> dict[str, str]:
    """What each site is called beside a chart: its name or, where two would read alike, its key, which no two share."""
    longest = max(spans["region"].str.len_chars().to_list(), default=0)
    room = max(12, LABEL - len(" · ") - longest)
    short = {row.key: shortened(unturned(row.name), room) for row in rows}
    alike = Counter(short.values())
    return {key: name if alike[name] == 1 else key for key, name in short.items()}
