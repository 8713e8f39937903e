"""What the pages ask and do: the only caches, the only connections, the only clock of the pages.

Reads are cached for a moment, so that ten open windows cost what one does; after an edit the caches are dropped.
Everything raises `pipeline.errors`: what Postgres throws is explained in `pipeline.store.explained`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import streamlit as st
from sqlalchemy import Connection, Engine

from pipeline.declared import RegionIn, SiteIn, parse
from pipeline.health import Health
from pipeline.settings import Settings
from pipeline.store import engine as engines
from pipeline.store import overview, regions, series, sites
from pipeline.store.explained import explained
from pipeline.store.overview import Change, Counts, Found, RegionFacts, SiteRow, Wanted
from pipeline.store.uptime import Uptime, uptime_of
from pipeline.vocabulary import Region, Site

ACTOR = "app"  # until there is sign-in
RANGES = {"1h": timedelta(hours=1), "6h": timedelta(hours=6), "24h": timedelta(hours=24), "7d": timedelta(days=7)}
# How old a chart may be: a share of its range that nobody sees.
CHART_AGE_S = {"1h": 5, "6h": 15, "24h": 30, "7d": 120}
WINDOWS = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
TICKS_BACK = timedelta(days=8)


def utc_now() -> datetime:
    return datetime.now(UTC)


# --- connections ------------------------------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def _engine(dsn: str, *, read_only: bool) -> Engine:
    return engines.engine(dsn, read_only=read_only, name="betterstack app")


@contextmanager
def _reading() -> Iterator[Connection]:
    with explained(), _engine(Settings().database, read_only=True).begin() as connection:
        yield connection


@contextmanager
def _writing() -> Iterator[Connection]:
    """One transaction; what the pages saw before it is forgotten when it ends."""
    with explained(), _engine(Settings().database, read_only=False).begin() as connection:
        yield connection
    st.cache_data.clear()


# --- what is now ------------------------------------------------------------------------------------------------------


@st.cache_data(ttl=1, show_spinner=False)
def counts() -> Counts:
    """Sites by state, as of now."""
    with _reading() as connection:
        return overview.count_states(connection, utc_now())


@st.cache_data(ttl=1, max_entries=100, show_spinner=False)
def find(wanted: Wanted) -> Found:
    """One page of sites."""
    with _reading() as connection:
        return overview.find_sites(connection, wanted, utc_now())


@st.cache_data(ttl=1, max_entries=100, show_spinner=False)
def row(key: str) -> SiteRow:
    """One site as of now. Errors: NotFoundError."""
    with _reading() as connection:
        return overview.site_row(connection, key, utc_now())


@st.cache_data(ttl=1, max_entries=100, show_spinner=False)
def rows(keys: tuple[str, ...]) -> list[SiteRow]:
    """The named sites, as of now; those that do not exist are left out."""
    with _reading() as connection:
        return overview.site_rows(connection, keys, utc_now())


@st.cache_data(ttl=1, show_spinner=False)
def health() -> Health:
    """Whether the workbench itself is well."""
    with _reading() as connection:
        return overview.our_health(connection, utc_now())


@st.cache_data(ttl=5, show_spinner=False)
def changes(limit: int = 8) -> list[Change]:
    """The last changes of verdict."""
    with _reading() as connection:
        return overview.last_changes(connection, limit=limit)


@st.cache_data(ttl=10, show_spinner=False)
def tags() -> dict[str, int]:
    """Tags in use, with how many sites carry each."""
    with _reading() as connection:
        return overview.count_tags(connection)


@st.cache_data(ttl=5, show_spinner=False)
def all_regions() -> list[Region]:
    with _reading() as connection:
        return regions.list_regions(connection)


@st.cache_data(ttl=2, show_spinner=False)
def facts() -> list[RegionFacts]:
    """The regions and what their part of the fleet does."""
    with _reading() as connection:
        return overview.region_facts(connection, utc_now())


# --- one site over time -----------------------------------------------------------------------------------------------


@st.cache_data(ttl=5, max_entries=100, show_spinner=False)
def site(key: str) -> Site:
    """A site with all its settings. Errors: NotFoundError."""
    with _reading() as connection:
        return sites.get_site(connection, key)


@st.cache_data(ttl=1, max_entries=100, show_spinner=False)
def ticks(site_id: int, limit: int = 60, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """The newest ticks of a site."""
    with _reading() as connection:
        return series.recent_ticks(
            connection, site_id, since=utc_now() - TICKS_BACK, limit=limit, regions=seen_from or None
        )


def latency(site_id: int, span: str, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Median and 95th percentile by region over one of `RANGES`."""
    return _latency(site_id, span, seen_from, _until(span))


def phases(site_id: int, span: str, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Mean phases over one of `RANGES`."""
    return _phases(site_id, span, seen_from, _until(span))


def spans(site_ids: tuple[int, ...], span: str) -> pl.DataFrame:
    """States by site and region over one of `RANGES`."""
    return _spans(site_ids, span, _until(span))


def uptimes(site_ids: tuple[int, ...], span: str = "24h") -> dict[int, Uptime]:
    """The uptime of each of the sites over one of `WINDOWS`."""
    return _uptimes(site_ids, span, _floor(60))


def fleet() -> pl.DataFrame:
    """What each region saw of all sites in the last hour."""
    return _fleet(_floor(10))


def _until(span: str) -> datetime:
    return _floor(CHART_AGE_S[span])


def _floor(step_s: int) -> datetime:
    """Now, cut to how old an answer may be: every window then asks the same, and the cache answers."""
    now = utc_now()
    return now - timedelta(seconds=now.timestamp() % step_s)


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _latency(site_id: int, span: str, seen_from: tuple[str, ...], until: datetime) -> pl.DataFrame:
    with _reading() as connection:
        return series.latency_over_time(
            connection, site_id, since=until - RANGES[span], until=until, regions=seen_from or None
        )


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _phases(site_id: int, span: str, seen_from: tuple[str, ...], until: datetime) -> pl.DataFrame:
    with _reading() as connection:
        return series.phases_over_time(
            connection, site_id, since=until - RANGES[span], until=until, regions=seen_from or None
        )


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _spans(site_ids: tuple[int, ...], span: str, until: datetime) -> pl.DataFrame:
    with _reading() as connection:
        return series.state_spans(connection, site_ids, since=until - RANGES[span], until=until)


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _uptimes(site_ids: tuple[int, ...], span: str, until: datetime) -> dict[int, Uptime]:
    with _reading() as connection:
        return uptime_of(connection, site_ids, until - WINDOWS[span], until)


@st.cache_data(ttl=60, max_entries=4, show_spinner=False)
def _fleet(until: datetime) -> pl.DataFrame:
    with _reading() as connection:
        return series.fleet_minutes(connection, since=until - RANGES["1h"], until=until)


# --- edits: InvalidInputError names the fields, nothing is changed then -----------------------------------------------


def add_sites(wanted: Sequence[SiteIn]) -> list[Site]:
    """Add sites, all or none."""
    with _writing() as connection:
        return sites.create_sites(connection, wanted, now=utc_now(), actor=ACTOR)


def add_site(fields: dict[str, Any]) -> Site:
    """Add one site; without a key it gets one that reads like its URL."""
    if not fields.get("key") and fields.get("url"):
        with _reading() as connection:
            fields = fields | {"key": sites.suggest_key(fields["url"], sites.taken_keys(connection))}
    return add_sites([parse(SiteIn, fields)])[0]


def change_site(key: str, fields: dict[str, Any]) -> Site:
    with _writing() as connection:
        return sites.update_site(connection, key, fields, now=utc_now(), actor=ACTOR)


def pause(keys: Collection[str], *, paused: bool) -> None:
    with _writing() as connection:
        sites.pause_sites(connection, keys, paused=paused, now=utc_now(), actor=ACTOR)


def delete(keys: Collection[str]) -> None:
    with _writing() as connection:
        sites.delete_sites(connection, keys, now=utc_now(), actor=ACTOR)


def test_now(key: str) -> int:
    """Ask for one check from each region; returns how many were asked for."""
    with _writing() as connection:
        return sites.request_check(connection, key, now=utc_now(), actor=ACTOR)


def known(urls: Collection[str]) -> tuple[dict[str, str], set[str]]:
    """Which of these URLs are watched already, by their site's key; and every key that is taken."""
    with _reading() as connection:
        return overview.watched(connection, urls), sites.taken_keys(connection)


def add_region(fields: dict[str, Any]) -> Region:
    with _writing() as connection:
        return regions.create_region(connection, parse(RegionIn, fields), now=utc_now(), actor=ACTOR)


def change_region(key: str, fields: dict[str, Any]) -> Region:
    with _writing() as connection:
        return regions.update_region(connection, key, fields, now=utc_now(), actor=ACTOR)


def delete_region(key: str) -> None:
    with _writing() as connection:
        regions.delete_region(connection, key, now=utc_now(), actor=ACTOR)
