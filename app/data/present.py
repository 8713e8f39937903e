"""What is now: sites by state, regions, our own health."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from app.data.connections import (
    reading,
    utc_now,
)
from pipeline.checkup import checkup as judge_vitals
from pipeline.errors import UnavailableError
from pipeline.health import Health, unreachable
from pipeline.secret_key import held
from pipeline.settings import Settings
from pipeline.store import (
    demo,
    overview,
    regions,
    sites,
)
from pipeline.store.fleet import RegionFacts, region_facts
from pipeline.store.overview import Change, Counts, Found, SiteRow, Wanted
from pipeline.store.vitals import disk_of, read_vitals
from pipeline.vocabulary import Region


@st.cache_data(ttl=1, max_entries=20, show_spinner=False)
def counts(region: str = "") -> Counts:
    """Sites by state, as of now; with a region's key those checked from there, as seen there."""
    with reading() as connection:
        return overview.count_states(connection, utc_now(), region)


@st.cache_data(ttl=1, max_entries=100, show_spinner=False)
def find(wanted: Wanted) -> Found:
    """One page of sites."""
    with reading() as connection:
        return overview.find_sites(connection, wanted, utc_now())


@st.cache_data(ttl=1, max_entries=100, show_spinner=False)
def row(key: str) -> SiteRow:
    """One site as of now. Errors: NotFoundError."""
    with reading() as connection:
        return overview.site_row(connection, key, utc_now())


@st.cache_data(ttl=1, max_entries=100, show_spinner=False)
def rows(keys: tuple[str, ...]) -> list[SiteRow]:
    """The named sites, as of now; those that do not exist are left out."""
    with reading() as connection:
        return overview.site_rows(connection, keys, utc_now())


@st.cache_data(ttl=1, show_spinner=False)
def health() -> Health:
    """Whether the workbench itself is well."""
    with reading() as connection:
        return overview.our_health(connection, utc_now())


@st.cache_data(ttl=2, show_spinner=False)
def checkup() -> Health:
    """All our own parts. Where Postgres is away, that; it never raises."""
    try:
        with reading() as connection:
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
    with reading() as connection:
        return overview.last_changes(connection, limit=limit)


@st.cache_data(ttl=10, show_spinner=False)
def tags() -> dict[str, int]:
    """Tags in use, with how many sites carry each."""
    with reading() as connection:
        return overview.count_tags(connection)


@st.cache_data(ttl=5, show_spinner=False)
def all_regions() -> list[Region]:
    with reading() as connection:
        return regions.list_regions(connection)


def region(key: str) -> Region:
    """A region with all its settings. Errors: NotFoundError."""
    with reading() as connection:
        return regions.get_region(connection, key)


@st.cache_data(ttl=2, show_spinner=False)
def facts() -> list[RegionFacts]:
    """The regions and what their part of the fleet does."""
    with reading() as connection:
        return region_facts(connection, utc_now())


@st.cache_data(ttl=10, show_spinner=False)
def site_keys() -> list[str]:
    """Keys of all sites, for picking one."""
    with reading() as connection:
        return sorted(sites.taken_keys(connection))


@st.cache_data(ttl=10, show_spinner=False)
def is_demo() -> bool:
    """Whether what is watched is the demo's."""
    with reading() as connection:
        return demo.is_loaded(connection)
