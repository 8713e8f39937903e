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
from msgspec import Struct
from sqlalchemy import Connection, Engine

from app import outbound
from app.windows import RANGES, Window, floored, following
from pipeline import analysis, answers, frames
from pipeline.analysis.boxes import NEEDS as EXPLAINED_NEEDS
from pipeline.analysis.boxes import Box, counted
from pipeline.checkup import checkup as judge_vitals
from pipeline.declared import Declared, RegionIn, SiteIn, parse
from pipeline.declared_objectives import ObjectiveIn
from pipeline.errors import UnavailableError
from pipeline.health import Health, unreachable
from pipeline.naming import suggest_key
from pipeline.objectives import Objective
from pipeline.report import html
from pipeline.report import sla as reports
from pipeline.report.figures import Figures, figures, keys_of
from pipeline.report.periods import period_of
from pipeline.ring import Ring
from pipeline.secret_key import held, ring_where_ours
from pipeline.settings import Settings
from pipeline.sitemaps import Sitemap
from pipeline.store import (
    demo,
    fleet_series,
    history,
    kept_snapshots,
    medians,
    overview,
    regions,
    series,
    sites,
    snapshots,
    state_bars,
)
from pipeline.store import engine as engines
from pipeline.store import heat as heatmaps
from pipeline.store import objectives as promises
from pipeline.store.apply import apply
from pipeline.store.budgets import Budgeted, budgeted, burn_rates
from pipeline.store.edits import lock_edits
from pipeline.store.explained import explained
from pipeline.store.fleet import RegionFacts, region_facts
from pipeline.store.histories import history_of_site
from pipeline.store.history import Detail, Strip
from pipeline.store.newest import Place
from pipeline.store.overview import Change, Counts, Found, SiteRow, Wanted
from pipeline.store.snapshots import Sighting
from pipeline.store.uptime import Uptime, uptime_of
from pipeline.store.vitals import disk_of, read_vitals
from pipeline.understood import Understood
from pipeline.vocabulary import Region, Site
from pipeline.workbench import Workbench

ACTOR = "app"  # until there is sign-in
FLEET_PIECE_S = 300
SETTLES = timedelta(minutes=2)  # after that few ticks are still on their way; those show when the cache is made anew
# Buckets of the fleet's samples: some 180 to 340 points a region, which is what a chart has pixels for.
SAMPLED_EVERY_S = {"1h": 20, "6h": 120, "24h": 300, "7d": 1800}
WINDOWS = {name: RANGES[name] for name in ("24h", "7d", "30d")}  # over which uptimes are told
# Open hours are rolled up once a minute: what is newer than this is yet to come, and not unknown.
ROLLED_AFTER = timedelta(seconds=90)
TICKS_BACK = timedelta(days=8)
ADDRESSES_BACK = timedelta(minutes=30)  # by then each site was checked, but for those that are checked seldom
EXPLAINED_OF = [*EXPLAINED_NEEDS, "status"]


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
    _history.clear()


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
        since = now - kept_snapshots.KEPT
        return snapshots.find(connection, site_id, since=since, before=Place(now), limit=limit).items


def detail(site_id: int, window: Window, seen_from: tuple[str, ...] = ()) -> Detail:
    """States, latency and phases of a site over a window, of ticks or of rollups."""
    since, until = window.bounds(utc_now())
    return _detail(site_id, since, until, min(until, _rolled()), seen_from)


def state_bar(site_id: int, window: Window, *, ticks: bool) -> pl.DataFrame | None:
    """States of a site over a window, the vote of its regions first; None where they are too many to draw."""
    since, until = window.bounds(utc_now())
    return _state_bar(site_id, since, until if ticks else min(until, _rolled()), ticks=ticks)


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
def _state_bar(site_id: int, since: datetime, until: datetime, *, ticks: bool) -> pl.DataFrame | None:
    with _reading() as connection:
        return state_bars.state_bar(connection, site_id, since=since, until=until, ticks=ticks)


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


# --- what the questions answer ----------------------------------------------------------------------------------------


def heat(site_id: int, window: Window, seen_from: tuple[str, ...] = ()) -> heatmaps.Heat:
    """How many checks of a site fell where, over time and latency."""
    since, until = window.bounds(utc_now())
    return _heat(site_id, since, until, seen_from)


def explained_box(site_id: int, key: str, box: Box, window: Window, seen_from: tuple[str, ...] = ()) -> Answer:
    """What is different about the checks of a box."""
    since, until = window.bounds(utc_now())
    return _explained_box(site_id, key, box, since, until, seen_from)


def shifted(span: str) -> Shifted:
    """The changes of all sites over one of `RANGES`."""
    return _shifted(span, _floor(600))


def hours(site_id: int, span: str, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Frame MEDIANS of a site over one of `RANGES` and five weeks before, in which its rhythm shows."""
    return _hours(site_id, span, seen_from, _floor(300))


def site_changes(site_id: int, span: str, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Frame CHANGES of a site, of all that `hours` has."""
    return _site_changes(site_id, span, seen_from, _floor(300))


def phase_changes(site_id: int, span: str, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Frame CHANGES of a site's phases, over the time that `hours` has; they are kept of hours that are over."""
    return _phase_changes(site_id, span, seen_from, _floor(300))


def site_anomalies(site_id: int, span: str, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Frame ANOMALIES of a site over one of `RANGES`, the strangest first."""
    return _site_anomalies(site_id, span, seen_from, _floor(300))


def failing_together(span: str) -> Joint:
    """Which sites were down at the same times over one of `RANGES`, and what they share."""
    return _failing_together(span, _floor(300))


class Answer(Struct, frozen=True):
    """Frame EXPLAINED, of how many checks in the box, against how many of [since, until)."""

    found: pl.DataFrame
    inside: int
    outside: int
    since: datetime
    until: datetime


class Shifted(Struct, frozen=True):
    """Frame CHANGES of [since, until), the greatest first; how many series were looked at by the hour, of how many."""

    found: pl.DataFrame
    since: datetime
    until: datetime
    looked_at: int
    series: int


class Joint(Struct, frozen=True):
    """Down times [site, state, since, until] of [since, until), frame TOGETHER and frame SHARED of them."""

    spans: pl.DataFrame
    groups: pl.DataFrame
    shared: pl.DataFrame
    since: datetime
    until: datetime


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _heat(site_id: int, since: datetime, until: datetime, seen_from: tuple[str, ...]) -> heatmaps.Heat:
    with _reading() as connection:
        return heatmaps.heat(connection, site_id, since=since, until=until, regions=seen_from or None)


@st.cache_data(ttl=300, max_entries=50, show_spinner=False)
def _explained_box(
    site_id: int, key: str, box: Box, since: datetime, until: datetime, seen_from: tuple[str, ...]
) -> Answer:
    with _reading() as connection:
        first, last = heatmaps.compared_with(connection, site_id, box, since, until)
    with explained(), Workbench(_database(), clock=utc_now) as up:
        ticks = up.ticks([key], first, last, regions=list(seen_from) or None).select(EXPLAINED_OF).collect()
        seen = up.snapshots([key], box.since, box.until, regions=list(seen_from) or None)
    inside, outside = counted(ticks, box)
    return Answer(analysis.explain(ticks, box, seen if box.failed else None), inside, outside, first, last)


@st.cache_data(ttl=1800, max_entries=10, show_spinner=False)
def _shifted(span: str, until: datetime) -> Shifted:
    since = until - RANGES[span]
    with _reading() as connection:
        screened = medians.worth_a_look(connection, since=since, until=until)
    found = analysis.changes(screened.medians).filter(pl.col("at") >= since)
    looked_at = screened.medians.select("site", "region").n_unique()
    ordered = found.sort(pl.col("ratio").log().abs(), descending=True)
    return Shifted(ordered, since, until, looked_at, screened.series)


@st.cache_data(ttl=900, max_entries=50, show_spinner=False)
def _hours(site_id: int, span: str, seen_from: tuple[str, ...], until: datetime) -> pl.DataFrame:
    since = floored(until - RANGES[span] - medians.HISTORY, 3600)
    with _reading() as connection:
        return medians.of_site(connection, site_id, since=since, until=until, regions=seen_from or None)


@st.cache_data(ttl=900, max_entries=50, show_spinner=False)
def _site_changes(site_id: int, span: str, seen_from: tuple[str, ...], until: datetime) -> pl.DataFrame:
    return analysis.changes(_hours(site_id, span, seen_from, until))


@st.cache_data(ttl=900, max_entries=50, show_spinner=False)
def _phase_changes(site_id: int, span: str, seen_from: tuple[str, ...], until: datetime) -> pl.DataFrame:
    since = floored(until - RANGES[span] - medians.HISTORY, 3600)
    with _reading() as connection:
        found = medians.of_site(
            connection, site_id, since=since, until=until, regions=seen_from or None, phases=True
        )  # fmt: skip
    return analysis.changes(found.filter(pl.col("phase") != "total"))


@st.cache_data(ttl=900, max_entries=50, show_spinner=False)
def _site_anomalies(site_id: int, span: str, seen_from: tuple[str, ...], until: datetime) -> pl.DataFrame:
    return analysis.anomalies(_hours(site_id, span, seen_from, until), since=until - RANGES[span])


@st.cache_data(ttl=900, max_entries=10, show_spinner=False)
def _failing_together(span: str, until: datetime) -> Joint:
    since = until - RANGES[span]
    with _reading() as connection:
        spans = medians.down_spans(connection, since=since, until=until)
    groups = analysis.together(spans)
    nothing = pl.DataFrame(schema=frames.schema(answers.SHARED))
    if groups.is_empty():
        return Joint(spans, groups, nothing, since, until)
    with explained(), Workbench(_database(), clock=utc_now) as up:
        seen = up.ticks(start=until - ADDRESSES_BACK, end=until).select("site", "ip").unique().collect()
        facts = analysis.facts_of(up.sites(), seen)
    return Joint(spans, groups, analysis.shared(groups, facts), since, until)


# --- the uptime as others count it ------------------------------------------------------------------------------------


def own_account(key: str, window: Window, seen_from: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """The row of frame UPTIME of a site over a window, by the vote of its regions; None where nothing is called for."""
    return _own_account(key, *_counted(window), seen_from)


def accounts(key: str, window: Window, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Frame ACCOUNT of a site over a window, a row a policy; without any where nothing was called for."""
    return _accounts(key, *_counted(window), seen_from)


def policy_waterfall(key: str, window: Window, policy: str, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Frame WATERFALL from the default to the policy, of a site over a window."""
    return _policy_waterfall(key, *_counted(window), policy, seen_from)


def _counted(window: Window) -> tuple[datetime, datetime]:
    """The window by whole minutes, as far as there are spans."""
    since, until = (floored(at, 60) for at in window.bounds(utc_now()))
    return since, max(since, min(until, _rolled()))


@st.cache_data(ttl=900, max_entries=100, show_spinner=False)
def _own_account(key: str, since: datetime, until: datetime, seen_from: tuple[str, ...]) -> dict[str, Any] | None:
    with explained(), Workbench(_database(), clock=utc_now) as up:
        spans = up.spans([key], since, until, list(seen_from) or None, level="global").collect()
    return next(analysis.uptime(spans, by=["site"]).iter_rows(named=True), None)


@st.cache_resource(ttl=300, max_entries=6, show_spinner=False)  # nobody writes to it, and a copy would be megabytes
def _history(key: str, since: datetime, until: datetime, seen_from: tuple[str, ...]) -> analysis.History:
    with _reading() as connection:
        return history_of_site(connection, sites.get_site(connection, key).id, since, until, seen_from or None)


@st.cache_data(ttl=900, max_entries=100, show_spinner=False)
def _accounts(key: str, since: datetime, until: datetime, seen_from: tuple[str, ...]) -> pl.DataFrame:
    return analysis.by_policy(_history(key, since, until, seen_from))


@st.cache_data(ttl=900, max_entries=100, show_spinner=False)
def _policy_waterfall(
    key: str, since: datetime, until: datetime, policy: str, seen_from: tuple[str, ...]
) -> pl.DataFrame:
    return analysis.waterfall(_history(key, since, until, seen_from), "default", policy)


# --- what was promised ------------------------------------------------------------------------------------------------


@st.cache_data(ttl=5, show_spinner=False)
def objectives() -> list[Objective]:
    """All objectives by key, each with the sites that it is about."""
    with _reading() as connection:
        return promises.list_objectives(connection)


def objective(key: str) -> Objective:
    """Errors: NotFoundError."""
    with _reading() as connection:
        return promises.get_objective(connection, key)


@st.cache_data(ttl=5, show_spinner=False)
def burnings() -> dict[int, str]:
    """What each objective's budget called for last, by its id."""
    with _reading() as connection:
        return promises.last_burning(connection)


def budget(objective: Objective) -> Budgeted:
    """What of an objective's budget is spent and left, as of the last whole minute."""
    return _budget(objective, _floor(60))


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _budget(objective: Objective, until: datetime) -> Budgeted:
    with explained(), Workbench(_database(), clock=lambda: until) as up:
        return budgeted(objective, up.spans, now=until)


def rates(objective: Objective) -> pl.DataFrame:
    """Frame BURN of an objective over the last days, as of the last whole minute."""
    return _rates(objective, _floor(60))


@st.cache_data(ttl=300, max_entries=100, show_spinner=False)
def _rates(objective: Objective, until: datetime) -> pl.DataFrame:
    with explained(), Workbench(_database(), clock=lambda: until) as up:
        return burn_rates(objective, up.spans, now=until)


def report(wanted: reports.Wanted) -> Figures:
    """The numbers of a report, as of the last ten minutes. Errors: NotFoundError, InvalidInputError."""
    return _report(wanted, _floor(600))


@st.cache_data(ttl=600, max_entries=40, show_spinner=False)
def _report(wanted: reports.Wanted, until: datetime) -> Figures:
    with explained(), Workbench(_database(), clock=lambda: until) as up:
        period = period_of(wanted.month, wanted.tz, until)
        return figures(up, keys_of(up, wanted.site, wanted.tag), period, wanted.policy)


@st.cache_data(ttl=600, max_entries=10, show_spinner=False)
def report_page(wanted: reports.Wanted) -> str:
    """The report as one HTML file. Errors: WorkbenchError where what draws its charts is not installed."""
    with explained():
        return reports.report(wanted)


def report_notebook(wanted: reports.Wanted) -> str:
    """The report's notebook with these parameters, not run."""
    return reports.notebook(wanted)


def can_draw() -> bool:
    """Whether what draws the charts of an HTML report is installed."""
    return html.can_draw()


@st.cache_data(ttl=10, show_spinner=False)
def site_keys() -> list[str]:
    """Keys of all sites, for picking one."""
    with _reading() as connection:
        return sorted(sites.taken_keys(connection))


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


@st.cache_data(ttl=10, show_spinner=False)
def is_demo() -> bool:
    """Whether what is watched is the demo's."""
    with _reading() as connection:
        return demo.is_loaded(connection)


def remove_demo() -> int:
    """Take the demo out; returns how many sites it had."""
    with explained():
        sites_gone = demo.purge(_engine(_database(), read_only=False), now=utc_now())
    st.cache_data.clear()
    return sites_gone


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


def add_objective(fields: dict[str, Any]) -> Objective:
    with _writing() as connection:
        return promises.create_objective(connection, parse(ObjectiveIn, fields), now=utc_now(), actor=ACTOR)


def change_objective(key: str, fields: dict[str, Any], check: Callable[[Objective], None] | None = None) -> Objective:
    """The same for an objective."""
    with _writing() as connection:
        lock_edits(connection)
        if check is not None:
            check(promises.get_objective(connection, key))
        return promises.update_objective(connection, key, fields, now=utc_now(), actor=ACTOR)


def delete_objective(key: str) -> None:
    with _writing() as connection:
        promises.delete_objective(connection, key, now=utc_now(), actor=ACTOR)
