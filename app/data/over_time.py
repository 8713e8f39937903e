"""Sites over time: states, latency, phases, uptimes, live ticks."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import streamlit as st

from app.data.connections import (
    floor,
    reading,
    rolled,
    utc_now,
)
from app.windows import RANGES, Window, floored, following
from pipeline.store import (
    history,
    kept_snapshots,
    overview,
    series,
    sites,
    snapshots,
    state_bars,
)
from pipeline.store.history import Detail, Strip
from pipeline.store.newest import Place
from pipeline.store.snapshots import Sighting
from pipeline.store.uptime import Uptime, uptime_of
from pipeline.vocabulary import Site

WINDOWS = {name: RANGES[name] for name in ("24h", "7d", "30d")}  # over which uptimes are told
TICKS_BACK = timedelta(days=8)


@st.cache_data(ttl=5, max_entries=100, show_spinner=False)
def site(key: str) -> Site:
    """A site with all its settings. Errors: NotFoundError."""
    with reading() as connection:
        return sites.get_site(connection, key)


@st.cache_data(ttl=0.5, max_entries=100, show_spinner=False)
def ticks(site_id: int, limit: int = 60, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """The newest ticks of a site."""
    with reading() as connection:
        return series.recent_ticks(
            connection, site_id, since=utc_now() - TICKS_BACK, limit=limit, regions=seen_from or None
        )


@st.cache_data(ttl=2, max_entries=100, show_spinner=False)
def sightings(site_id: int, limit: int = 20) -> list[Sighting]:
    """What the newest failures of a site saw, newest first."""
    now = utc_now()
    with reading() as connection:
        since = now - kept_snapshots.KEPT
        return snapshots.find(connection, site_id, since=since, before=Place(now), limit=limit).items


def detail(site_id: int, window: Window, seen_from: tuple[str, ...] = ()) -> Detail:
    """States, latency and phases of a site over a window, of ticks or of rollups."""
    since, until = window.bounds(utc_now())
    return _detail(site_id, since, until, min(until, rolled()), seen_from)


def state_bar(site_id: int, window: Window, *, ticks: bool) -> pl.DataFrame | None:
    """States of a site over a window, the vote of its regions first; None where they are too many to draw."""
    since, until = window.bounds(utc_now())
    return _state_bar(site_id, since, until if ticks else min(until, rolled()), ticks=ticks)


def overall(site_id: int, since: datetime, until: datetime, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Availability and latency of a site over all of a long range, for the strip that windows are picked from."""
    return _overall(site_id, since, until, min(until, rolled()), seen_from)


def strips(site_ids: tuple[int, ...], span: str, region: str = "") -> dict[int, Strip]:
    """States and latency of each of the sites over one of `WINDOWS`, for a list."""
    return _strips(site_ids, span, region, floored(rolled(), 300 if span == "24h" else 600))


def spans(site_ids: tuple[int, ...], span: str) -> pl.DataFrame:
    """States by site and region over one of `RANGES` up to a day."""
    return _spans(site_ids, *following(RANGES[span]).bounds(utc_now()))


def uptimes(site_ids: tuple[int, ...], span: str = "24h", region: str = "", *, age_s: int = 60) -> dict[int, Uptime]:
    """The uptime of each of the sites over one of `WINDOWS`; with a region's key as seen from there."""
    return _uptimes(site_ids, span, region, floor(age_s))


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _detail(site_id: int, since: datetime, until: datetime, rolled: datetime, seen_from: tuple[str, ...]) -> Detail:
    with reading() as connection:
        return history.detail(
            connection, site_id, since=since, until=until, rolled=rolled, regions=seen_from or None
        )  # fmt: skip


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _state_bar(site_id: int, since: datetime, until: datetime, *, ticks: bool) -> pl.DataFrame | None:
    with reading() as connection:
        return state_bars.state_bar(connection, site_id, since=since, until=until, ticks=ticks)


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _overall(
    site_id: int, since: datetime, until: datetime, rolled: datetime, seen_from: tuple[str, ...]
) -> pl.DataFrame:
    with reading() as connection:
        return history.overview(
            connection, site_id, since=since, until=until, rolled=rolled, regions=seen_from or None
        )  # fmt: skip


@st.cache_data(ttl=900, max_entries=50, show_spinner=False)
def _strips(site_ids: tuple[int, ...], span: str, region: str, until: datetime) -> dict[int, Strip]:
    with reading() as connection:
        return history.strips(
            connection, site_ids, since=until - WINDOWS[span], until=until, regions=[region] if region else None
        )


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _spans(site_ids: tuple[int, ...], since: datetime, until: datetime) -> pl.DataFrame:
    with reading() as connection:
        return series.state_spans(connection, site_ids, since=since, until=until)


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _uptimes(site_ids: tuple[int, ...], span: str, region: str, until: datetime) -> dict[int, Uptime]:
    with reading() as connection:
        there = overview.region_id(connection, region)
        return uptime_of(connection, site_ids, until - WINDOWS[span], until, there)
