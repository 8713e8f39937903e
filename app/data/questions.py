"""What the questions answer: when and what differs, what shifted, who fails together."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import streamlit as st
from msgspec import Struct

from app.data.connections import (
    database,
    floor,
    reading,
    utc_now,
)
from app.windows import RANGES, Window, floored
from pipeline import analysis, answers, frames
from pipeline.analysis.boxes import NEEDS as EXPLAINED_NEEDS
from pipeline.analysis.boxes import Box, counted
from pipeline.store import heat as heatmaps
from pipeline.store import (
    medians,
)
from pipeline.store.explained import explained
from pipeline.workbench import Workbench

ADDRESSES_BACK = timedelta(minutes=30)  # by then each site was checked, but for those that are checked seldom
EXPLAINED_OF = [*EXPLAINED_NEEDS, "status"]


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
    return _shifted(span, floor(600))


def hours(site_id: int, span: str, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Frame MEDIANS of a site over one of `RANGES` and five weeks before, in which its rhythm shows."""
    return _hours(site_id, span, seen_from, floor(300))


def site_changes(site_id: int, span: str, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Frame CHANGES of a site, of all that `hours` has."""
    return _site_changes(site_id, span, seen_from, floor(300))


def phase_changes(site_id: int, span: str, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Frame CHANGES of a site's phases, over the time that `hours` has; they are kept of hours that are over."""
    return _phase_changes(site_id, span, seen_from, floor(300))


def site_anomalies(site_id: int, span: str, seen_from: tuple[str, ...] = ()) -> pl.DataFrame:
    """Frame ANOMALIES of a site over one of `RANGES`, the strangest first."""
    return _site_anomalies(site_id, span, seen_from, floor(300))


def failing_together(span: str) -> Joint:
    """Which sites were down at the same times over one of `RANGES`, and what they share."""
    return _failing_together(span, floor(300))


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
    with reading() as connection:
        return heatmaps.heat(connection, site_id, since=since, until=until, regions=seen_from or None)


@st.cache_data(ttl=300, max_entries=50, show_spinner=False)
def _explained_box(
    site_id: int, key: str, box: Box, since: datetime, until: datetime, seen_from: tuple[str, ...]
) -> Answer:
    with reading() as connection:
        first, last = heatmaps.compared_with(connection, site_id, box, since, until)
    with explained(), Workbench(database(), clock=utc_now) as up:
        ticks = up.ticks([key], first, last, regions=list(seen_from) or None).select(EXPLAINED_OF).collect()
        seen = up.snapshots([key], box.since, box.until, regions=list(seen_from) or None)
    inside, outside = counted(ticks, box)
    return Answer(analysis.explain(ticks, box, seen if box.failed else None), inside, outside, first, last)


@st.cache_data(ttl=1800, max_entries=10, show_spinner=False)
def _shifted(span: str, until: datetime) -> Shifted:
    since = until - RANGES[span]
    with reading() as connection:
        screened = medians.worth_a_look(connection, since=since, until=until)
    found = analysis.changes(screened.medians).filter(pl.col("at") >= since)
    looked_at = screened.medians.select("site", "region").n_unique()
    ordered = found.sort(pl.col("ratio").log().abs(), descending=True)
    return Shifted(ordered, since, until, looked_at, screened.series)


@st.cache_data(ttl=900, max_entries=50, show_spinner=False)
def _hours(site_id: int, span: str, seen_from: tuple[str, ...], until: datetime) -> pl.DataFrame:
    since = floored(until - RANGES[span] - medians.HISTORY, 3600)
    with reading() as connection:
        return medians.of_site(connection, site_id, since=since, until=until, regions=seen_from or None)


@st.cache_data(ttl=900, max_entries=50, show_spinner=False)
def _site_changes(site_id: int, span: str, seen_from: tuple[str, ...], until: datetime) -> pl.DataFrame:
    return analysis.changes(_hours(site_id, span, seen_from, until))


@st.cache_data(ttl=900, max_entries=50, show_spinner=False)
def _phase_changes(site_id: int, span: str, seen_from: tuple[str, ...], until: datetime) -> pl.DataFrame:
    since = floored(until - RANGES[span] - medians.HISTORY, 3600)
    with reading() as connection:
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
    with reading() as connection:
        spans = medians.down_spans(connection, since=since, until=until)
    groups = analysis.together(spans)
    nothing = pl.DataFrame(schema=frames.schema(answers.SHARED))
    if groups.is_empty():
        return Joint(spans, groups, nothing, since, until)
    with explained(), Workbench(database(), clock=utc_now) as up:
        seen = up.ticks(start=until - ADDRESSES_BACK, end=until).select("site", "ip").unique().collect()
        facts = analysis.facts_of(up.sites(), seen)
    return Joint(spans, groups, analysis.shared(groups, facts), since, until)
