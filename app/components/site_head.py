"""The head of a site's page: what it is in words, what each region says, how much it was up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl
import streamlit as st

from app.components.words import (
    ago,
    badge,
    cause,
    days_left,
    every,
    grouped,
    lasted,
    mark,
    milliseconds,
    plain,
    reason,
    unlinked,
)
from pipeline.analysis.claims import CLAIM, checks_for, percent, shown
from pipeline.store.overview import Seen, SiteRow
from pipeline.store.uptime import Uptime
from pipeline.vocabulary import State

WINDOW_NAMES = {"24h": "24 hours", "7d": "7 days", "30d": "30 days"}


def verdict(row: SiteRow, now: datetime, *, confirming: bool) -> None:
    """State, since when and why, in one line."""
    since = f" for {lasted(row.since, now)}" if row.since else ""
    st.markdown(f"{badge(row.state)}{since} &ensp;:gray[{unlinked(cause(row, confirming=confirming))}]")


def regions(row: SiteRow, now: datetime) -> None:
    """One card a region: what it says, how long it took, when it last looked."""
    if not row.seen:
        return
    with st.grid("auto", min_column_width=230, gap="small"):
        for seen in row.seen:
            with st.container(border=True, gap="xsmall"):
                _card(seen, now)


def _card(seen: Seen, now: datetime) -> None:
    standing = seen.standing
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"{mark(seen.state)} **{plain(seen.region.key)}**", width="stretch")
        st.markdown(f":gray[{milliseconds(standing.latency_ms)}]", width="content")
    if seen.state is State.UNKNOWN:
        last = f"last said {standing.state.value}" if standing.slot_at else "nothing yet"
        said = f"{State.UNKNOWN.value} · {last}"
    else:
        for_how_long = f" for {lasted(standing.since, now)}" if standing.since else ""
        why = f" · {reason(standing.outcome, standing.detail)}" if seen.state is not State.UP else ""
        said = f"{seen.state.value}{for_how_long}{why}"
    st.caption(f"{unlinked(said)}  \nchecked {ago(standing.slot_at, now)}")


def uptime_tiles(uptimes: Mapping[str, Uptime]) -> None:
    """Uptime by window, with what it is worth."""
    with st.grid(len(uptimes), min_column_width=200, gap="small"):
        words = worths(uptimes)
        for window, uptime in uptimes.items():
            with st.container(border=True, gap=None):
                st.caption(WINDOW_NAMES[window])
                st.markdown(f"### {claim(uptime)}")
                st.caption(words[window])


def claim(uptime: Uptime) -> str:
    """The uptime that may be claimed: see `shown`."""
    return shown(uptime.uptime, uptime.checks)


def worths(uptimes: Mapping[str, Uptime]) -> dict[str, str]:
    """What each window's number rests on; a window that reaches back before the site was added repeats nothing."""
    words: dict[str, str] = {}
    for window, uptime in uptimes.items():
        said = worth(uptime)
        same = next((other for other, before in words.items() if before == said), None)
        words[window] = f"the same checks as in {WINDOW_NAMES[same]}" if same and uptime.uptime is not None else said
    return words


def worth(uptime: Uptime) -> str:
    """What the number rests on, in words."""
    if uptime.uptime is None:
        return "nothing is known of this time"
    known = f"{grouped(uptime.checks)} checks · {percent(uptime.coverage, 1)} of the time known"
    if uptime.down_s == 0:
        need = checks_for(CLAIM)
        short = f"; 99.9 % takes {grouped(need)} checks" if uptime.checks < need else ""
        return f"no failure in {known}{short}"
    low, high = percent(uptime.low, 2), percent(uptime.high, 2)
    return known if low == high else f"{known} · between {low} and {high}"


def as_frame(uptimes: Mapping[str, Uptime]) -> pl.DataFrame:
    """The tiles' numbers: [label, uptime, low, high, coverage, down_s, unknown_s, checks]."""
    names = ("uptime", "low", "high", "coverage", "down_s", "unknown_s", "checks")
    return pl.DataFrame(
        [{"label": WINDOW_NAMES[w]} | {name: getattr(u, name) for name in names} for w, u in uptimes.items()],
        schema={"label": pl.String, **dict.fromkeys(names[:-1], pl.Float64), "checks": pl.Int64},
    )


def facts(row: SiteRow, now: datetime) -> None:
    """What is checked, how often, and how long its certificate holds."""
    link = f"[{plain(row.url)}]({row.url.replace('(', '%28').replace(')', '%29').replace(' ', '%20')})"
    tags = " ".join(f":gray-badge[{plain(tag)}]" for tag in row.tags)
    ends = row.certificate_expires_at
    certificate = "" if ends is None else f" &ensp;{days_left(ends, now, 'certificate ')}"
    st.markdown(f"{link} &ensp;:gray[{every(row.interval_s)}]{certificate} &ensp;{tags}")
