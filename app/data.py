"""What the pages ask and do: the only caches, the only connections, the only clock of the pages.

Reads are cached for a moment, so that ten open windows cost what one does; after an edit the caches are dropped.
Everything raises `pipeline.errors`: what Postgres throws is explained in `pipeline.store.explained`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import streamlit as st
from sqlalchemy import Connection, Engine

from app import outbound
from app.windows import RANGES, Window, floored, following
from pipeline.checkup import checkup as judge_vitals
from pipeline.declared import Declared, RegionIn, SiteIn, parse
from pipeline.errors import UnavailableError
from pipeline.health import Health, unreachable
from pipeline.naming import suggest_key
from pipeline.ring import Ring
from pipeline.secret_key import held, ring_where_ours
from pipeline.settings import Settings
from pipeline.sitemaps import Sitemap
from pipeline.store import engine as engines
from pipeline.store import fleet_series, history, overview, regions, series, sites, snapshots
from pipeline.store.apply import apply
from pipeline.store.edits import lock_edits
from pipeline.store.explained import explained
from pipeline.store.fleet import RegionFacts, region_facts
from pipeline.store.history import Detail, Strip
from pipeline.store.newest import Place
from pipeline.store.overview import Change, Counts, Found, SiteRow, Wanted
from pipeline.store.snapshots import Sighting
from pipeline.store.uptime import Uptime, uptime_of
from pipeline.store.vitals import disk_of, read_vitals
from pipeline.understood import Understood
from pipeline.vocabulary import Region, Site

ACTOR = "app"  # until there is sign-in
FLEET_PIECE_S = 300
SETTLES = timedelta(minutes=2)  # after that few ticks are still on their way; those show when the cache is made anew
# Buckets of the fleet's samples: some 180 to 340 points a region, which is what a chart has pixels for.
SAMPLED_EVERY_S = {"1h": 20, "6h": 120, "24h": 300, "7d": 1800}
WINDOWS = {name: RANGES[name] for name in ("24h", "7d", "30d")}  # over which uptimes are told
# Open hours are rolled up once a minute: what is newer than this is yet to come, and not unknown.
ROLLED_AFTER = timedelta(seconds=90)
TICKS_BACK = timedelta(days=8)
SEEN_BACK = timedelta(days=30)  # they are kept no longer


def utc_now() -> datetime:
    return datetime.now(UTC)


# --- connections ------------------------------------------------------------------------------------------------------


@st.cache_resource(show_spinner=False)
def _engine(dsn: str, *, read_only: bool) -> Engine:
    return engines.engine(dsn, read_only=read_only, name="betterstack app")


@st.cache_data(ttl=10, show_spinner=False)
def _database() -> str:
    """Reading the settings takes longer than most reads of the store."""
    return Settings().database


@contextmanager
def _reading() -> Iterator[Connection]:
    with explained(), _engine(_database(), read_only=True).begin() as connection:
        yield connection


@contextmanager
def _writing() -> Iterator[Connection]:
    """One transaction; what the pages saw before it is forgotten when it ends."""
    with explained(), _engine(_database(), read_only=False).begin() as connection:
        yield connection
    st.cache_data.clear()


# --- what is now ------------------------------------------------------------------------------------------------------


@st.cache_data(ttl=1, max_entries=20, show_spinner=False)
def counts(region: str = "") -> Counts:
    """Sites by state, as of now; with a region's key those checked from there, as seen there."""
    with _reading() as connection:
        return overview.count_states(connection, utc_now(), region)


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


@st.cache_data(ttl=2, show_spinner=False)
def checkup() -> Health:
    """All our own parts. Where Postgres is away, that; it never raises."""
    try:
        with _reading() as connection:
            vitals = read_vitals(connection, utc_now, held(Settings()))
    except UnavailableError as error:
        return unreachable(str(error), since=_answered().get("at"))
    _answered()["at"] = vitals.at
    return judge_vitals(vitals, disk_of(Settings()))


@st.cache_resource(show_spinner=False)
def _answered() -> dict[str, datetime]:
    """When Postgres last answered `checkup`."""
    return {}


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


def region(key: str) -> Region:
    """A region with all its settings. Errors: NotFoundError."""
    with _reading() as connection:
        return regions.get_region(connection, key)


@st.cache_data(ttl=2, show_spinner=False)
def facts() -> list[RegionFacts]:
    """The regions and what their part of the fleet does."""
    with _reading() as connection:
        return region_facts(connection, utc_now())


# --- the fleet over time ----------------------------------------------------------------------------------------------


def samples(span: str) -> pl.DataFrame:
    """How each region's probers fared over one of `RANGES`; columns of `charts.scaling.SAMPLED`."""
    return _samples(span, _until(span))


def decisions(span: str) -> pl.DataFrame:
    """Frame DECISIONS over one of `RANGES`, the newest first."""
    return _decisions(span, _floor(2))


@st.cache_data(ttl=300, max_entries=20, show_spinner=False)
def _samples(span: str, until: datetime) -> pl.DataFrame:
    with _reading() as connection:
        width_s = SAMPLED_EVERY_S[span]
        return fleet_series.samples_over_time(connection, since=until - RANGES[span], until=until, width_s=width_s)


@st.cache_data(ttl=300, max_entries=20, show_spinner=False)
def _decisions(span: str, until: datetime) -> pl.DataFrame:
    with _reading() as connection:
        return fleet_series.decisions_over_time(connection, since=until - RANGES[span], until=until)


# --- one site over time -----------------------------------------------------------------------------------------------


@st.cache_data(ttl=5, max_entries=100, show_spinner=False)
def site(key: str) -> Site:
    """A site with all its settings. Errors: NotFoundError."""
    with _reading() as connection:
        return sites.get_site(connection, key)


@st.cache_data(ttl=0.5, max_entries=100, show_spinner=False)
def ticks(site_id: int, limit: int = 60, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """The newest ticks of a site."""
    with _reading() as connection:
        return series.recent_ticks(
            connection, site_id, since=utc_now() - TICKS_BACK, limit=limit, regions=seen_from or None
        )


@st.cache_data(ttl=2, max_entries=100, show_spinner=False)
def sightings(site_id: int, limit: int = 20) -> list[Sighting]:
    """What the newest failures of a site saw, newest first."""
    now = utc_now()
    with _reading() as connection:
        return snapshots.find(connection, site_id, since=now - SEEN_BACK, before=Place(now), limit=limit).items


def detail(site_id: int, window: Window, seen_from: tuple[str, ...] = ()) -> Detail:
    """States, latency and phases of a site over a window, of ticks or of rollups."""
    since, until = window.bounds(utc_now())
    return _detail(site_id, since, until, min(until, _rolled()), seen_from)


def overall(site_id: int, since: datetime, until: datetime, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Availability and latency of a site over all of a long range, for the strip that windows are picked from."""
    return _overall(site_id, since, until, min(until, _rolled()), seen_from)


def strips(site_ids: tuple[int, ...], span: str, region: str = "") -> dict[int, Strip]:
    """States and latency of each of the sites over one of `WINDOWS`, for a list."""
    return _strips(site_ids, span, region, floored(_rolled(), 300 if span == "24h" else 600))


def spans(site_ids: tuple[int, ...], span: str) -> pl.DataFrame:
    """States by site and region over one of `RANGES` up to a day."""
    return _spans(site_ids, *following(RANGES[span]).bounds(utc_now()))


def uptimes(site_ids: tuple[int, ...], span: str = "24h", region: str = "", *, age_s: int = 60) -> dict[int, Uptime]:
    """The uptime of each of the sites over one of `WINDOWS`; with a region's key as seen from there."""
    return _uptimes(site_ids, span, region, _floor(age_s))


def fleet() -> pl.DataFrame:
    """What each region saw of all sites in the last hour.

    Read in pieces: of 5 000 sites an hour has hundreds of thousands of ticks, and of them the last minutes' are new.
    """
    until = _floor(10)
    since, settled = until - RANGES["1h"], floored(until - SETTLES, FLEET_PIECE_S)
    cuts = [settled]
    while cuts[0] > since:
        cuts.insert(0, cuts[0] - timedelta(seconds=FLEET_PIECE_S))
    return series.fleet_joined([_fleet(*ends) for ends in pairwise([*cuts, until])], since, until)


def _until(span: str) -> datetime:
    return following(RANGES[span]).bounds(utc_now())[1]


def _floor(step_s: int) -> datetime:
    """Now, cut to how old an answer may be: every window then asks the same, and the cache answers."""
    return floored(utc_now(), step_s)


def _rolled() -> datetime:
    """Up to when there are rollups, if the roller is well."""
    return floored(utc_now() - ROLLED_AFTER, 60)


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _detail(site_id: int, since: datetime, until: datetime, rolled: datetime, seen_from: tuple[str, ...]) -> Detail:
    with _reading() as connection:
        return history.detail(
            connection, site_id, since=since, until=until, rolled=rolled, regions=seen_from or None
        )  # fmt: skip


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _overall(
    site_id: int, since: datetime, until: datetime, rolled: datetime, seen_from: tuple[str, ...]
) -> pl.DataFrame:
    with _reading() as connection:
        return history.overview(
            connection, site_id, since=since, until=until, rolled=rolled, regions=seen_from or None
        )  # fmt: skip


@st.cache_data(ttl=900, max_entries=50, show_spinner=False)
def _strips(site_ids: tuple[int, ...], span: str, region: str, until: datetime) -> dict[int, Strip]:
    with _reading() as connection:
        return history.strips(
            connection, site_ids, since=until - WINDOWS[span], until=until, regions=[region] if region else None
        )


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _spans(site_ids: tuple[int, ...], since: datetime, until: datetime) -> pl.DataFrame:
    with _reading() as connection:
        return series.state_spans(connection, site_ids, since=since, until=until)


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _uptimes(site_ids: tuple[int, ...], span: str, region: str, until: datetime) -> dict[int, Uptime]:
    with _reading() as connection:
        there = overview.region_id(connection, region)
        return uptime_of(connection, site_ids, until - WINDOWS[span], until, there)


@st.cache_data(ttl=600, max_entries=40, show_spinner=False)
def _fleet(since: datetime, until: datetime) -> pl.DataFrame:
    with _reading() as connection:
        return series.fleet_minutes(connection, since=since, until=until)


# --- edits: InvalidInputError names the fields, nothing is changed then -----------------------------------------------


def _ring() -> Ring:
    """The secret keys as they are now: a rotation may have ended since the last edit."""
    return ring_where_ours(Settings())


def add_sites(wanted: Sequence[SiteIn]) -> list[Site]:
    """Add sites, all or none."""
    with _writing() as connection:
        return sites.create_sites(connection, wanted, now=utc_now(), actor=ACTOR, ring=_ring)


def add_site(fields: dict[str, Any]) -> Site:
    """Add one site; without a key it gets one that reads like its URL."""
    if not fields.get("key") and fields.get("url"):
        with _reading() as connection:
            fields = fields | {"key": suggest_key(fields["url"], sites.taken_keys(connection))}
    return add_sites([parse(SiteIn, fields)])[0]


def add_understood(understood: Understood) -> list[str]:
    """Add what was pasted, all of it or nothing, regions of a declared file first; returns the keys of the sites."""
    if not understood.regions:
        return [site.key for site in add_sites(understood.sites)]
    with _writing() as connection:
        declared = Declared(regions=understood.regions, sites=understood.sites)
        apply(connection, declared, now=utc_now(), actor=ACTOR, ring=_ring)
    return [site.key for site in understood.sites]


def read_sitemap(url: str) -> Sitemap:
    """The pages of somebody's sitemap, by the address rule in force. Errors: InvalidInputError."""
    return outbound.sitemap(url, Settings().targets)


def change_site(key: str, fields: dict[str, Any], check: Callable[[Site], None] | None = None) -> Site:
    """Change the named fields. `check` sees the site as it is before, and no other edit comes between the two."""
    with _writing() as connection:
        lock_edits(connection)
        if check is not None:
            check(sites.get_site(connection, key))
        return sites.update_site(connection, key, fields, now=utc_now(), actor=ACTOR, ring=_ring)


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
        return regions.create_region(connection, parse(RegionIn, fields), now=utc_now(), actor=ACTOR, ring=_ring)


def change_region(key: str, fields: dict[str, Any], check: Callable[[Region], None] | None = None) -> Region:
    """The same for a region."""
    with _writing() as connection:
        lock_edits(connection)
        if check is not None:
            check(regions.get_region(connection, key))
        return regions.update_region(connection, key, fields, now=utc_now(), actor=ACTOR, ring=_ring)


def delete_region(key: str) -> None:
    with _writing() as connection:
        regions.delete_region(connection, key, now=utc_now(), actor=ACTOR)
