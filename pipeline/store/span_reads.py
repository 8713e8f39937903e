"""Spans as people read them: days joined, clipped, with what was called for and not held, pauses and periods."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

import polars as pl
import psycopg
from msgspec import Struct
from psycopg import sql

from pipeline.analysis.overlays import called_for, clipped, layered, spread, united
from pipeline.analysis.spans import SERIES, edged, merged
from pipeline.analysis.votes import SITE, overlaid, seen, voted
from pipeline.calendar import day_of
from pipeline.errors import InvalidInputError, Problem
from pipeline.frames import ROLLUPS, SITE_SPANS, SPANS, TIME, schema
from pipeline.store.copies import copied, us
from pipeline.store.rollup_reads import TABLES, Every
from pipeline.store.scans import conditions
from pipeline.store.spans import periods_of, revisions_of, stored_regions, stored_sites
from pipeline.wanted import Names, Wanted

Level = Literal["region", "global"]

EVER = datetime(1970, 1, 1, tzinfo=UTC)
# An edit of many series takes effect spread over some seconds: who fell silent that shortly before, paused with it.
TOGETHER = timedelta(minutes=1)

OVERRIDING = ("suspect", "maintenance")

_SLOTS = ("checks", "unknown")
_DELETED = sql.SQL("select id as site_id, {} from sites where deleted_at is not null")


class Called(Struct, frozen=True):
    """What was asked for in a window: by region, by site, when nothing was though the site was there, what overrides.

    Each [*SERIES, since, until], or [site_id, since, until] for `site_*`.
    """

    called: pl.DataFrame
    paused: pl.DataFrame
    site_paused: pl.DataFrame
    suspect: pl.DataFrame
    maintenance: pl.DataFrame

    @property
    def site_maintenance(self) -> pl.DataFrame:
        return united(self.maintenance.select("site_id", "since", "until"), SITE)


def spans_in(connection: psycopg.Connection, wanted: Wanted, names: Names, level: Level) -> pl.DataFrame:
    """Frame SPANS of the window, or with level "global" frame SITE_SPANS. Errors: InvalidInputError."""
    if level not in ("region", "global"):
        raise InvalidInputError([Problem("level", f'{level!r} is none: "region", or "global" for the vote of regions')])
    if wanted.since >= wanted.until:
        return pl.DataFrame(schema=schema(SPANS if level == "region" else SITE_SPANS))
    return (region_spans if level == "region" else site_spans)(connection, wanted, names)


def region_spans(connection: psycopg.Connection, wanted: Wanted, names: Names) -> pl.DataFrame:
    """Frame SPANS of the window, sorted by series and time."""
    found = edged(_seen(connection, wanted, called_in(connection, wanted)), SERIES)
    return found.with_columns(names.site(), names.region()).select(schema(SPANS).names()).cast(schema(SPANS))


def told_spans(connection: psycopg.Connection, wanted: Wanted, names: Names, asked: Called) -> pl.DataFrame:
    """Frame SPANS of the window as it was found, maintenance or not: for policies that look through it. No pauses."""
    found = edged(_seen(connection, wanted, asked, bare=True), SERIES)
    return found.with_columns(names.site(), names.region()).select(schema(SPANS).names()).cast(schema(SPANS))


def site_spans(connection: psycopg.Connection, wanted: Wanted, names: Names) -> pl.DataFrame:
    """Frame SITE_SPANS of the window, sorted by site and time: the vote of all regions, or of those that are named."""
    asked = called_in(connection, wanted)
    if wanted.region_ids is None:
        rows = stored_sites(connection, _within(wanted))
        told = merged(rows, SITE, ("down", "known", "regions", "began_after"), ("ended_after",))
    else:
        told = voted(_seen(connection, wanted, asked, bare=True))
    found = overlaid(told, asked.called, asked.site_maintenance, asked.site_paused)
    return found.with_columns(names.site()).select(schema(SITE_SPANS).names()).cast(schema(SITE_SPANS))


def called_in(connection: psycopg.Connection, wanted: Wanted) -> Called:
    """What the revisions and periods say of the window, of these sites and regions."""
    sites = None if wanted.site_ids is None else sorted(wanted.site_ids)
    deleted = copied(connection, _DELETED.format(us("deleted_at")), _DELETED_TYPES)
    periods = {kind: periods_of(connection, kind, wanted.since, wanted.until) for kind in OVERRIDING}
    return called_of(revisions_of(connection, sites, wanted.until), deleted, periods, wanted)


def called_of(
    revisions: pl.DataFrame, deleted: pl.DataFrame, periods: Mapping[str, pl.DataFrame], wanted: Wanted
) -> Called:
    """The same of revisions [id, *SERIES, effective_at, active], sites [site_id, deleted_at] that were deleted, and
    periods [*SERIES, since, until] by kind."""
    since, until = wanted.since, wanted.until
    ever = called_for(revisions, EVER, until)
    pauses = _pauses(ever, deleted, until)
    asleep = ever.select(*SERIES, ended="until").join(pauses, on="site_id")
    paused = asleep.filter(pl.col("ended").is_between(pl.col("since") - TOGETHER, pl.col("since"))).drop("ended")
    if wanted.region_ids is not None:
        here = pl.col("region_id").is_in(list(wanted.region_ids))
        ever, paused = ever.filter(here), paused.filter(here)
    return Called(
        clipped(ever, since, until),
        clipped(united(paused, SERIES), since, until),
        clipped(pauses, since, until),
        **{kind: spread(periods[kind], ever, since, until) for kind in OVERRIDING},
    )


def checks_in(connection: psycopg.Connection, wanted: Wanted, names: Names, every: Every) -> pl.DataFrame:
    """[at, site, region, checks, unknown] by series and hour ("1h") or UTC day ("1d"): slots with a tick."""
    types = pl.Schema({"at": TIME, "site_id": pl.Int32(), "region_id": pl.Int32(), **schema(ROLLUPS, _SLOTS)})
    query = sql.SQL("select {}, site_id, region_id, checks, unknown from {} where {}").format(
        us("at"), sql.Identifier(TABLES[every]), conditions(wanted, "at")
    )
    rows = copied(connection, query, types)
    return rows.select("at", names.site(), names.region(), *_SLOTS)


def _seen(connection: psycopg.Connection, wanted: Wanted, asked: Called, *, bare: bool = False) -> pl.DataFrame:
    """Region spans of the window as they count; `bare`: without maintenance and pauses, which have no vote."""
    told = merged(stored_regions(connection, _within(wanted)), SERIES)
    if bare:
        return seen(told, asked.called, asked.suspect)
    return seen(told, asked.called, asked.suspect, asked.maintenance, asked.paused)


def _within(wanted: Wanted) -> sql.Composable:
    """The stored pieces of days that the window touches."""
    parts = [sql.SQL("at >= {} and since < {} and until > {}").format(day_of(wanted.since), wanted.until, wanted.since)]
    if wanted.site_ids is not None:
        parts.append(sql.SQL("site_id = any({}::int[])").format(sorted(wanted.site_ids)))
    return sql.SQL(" and ").join(parts)


def _pauses(called: pl.DataFrame, deleted: pl.DataFrame, until: datetime) -> pl.DataFrame:
    """[site_id, since, until]: when a site was there and nothing was called for, from any region."""
    united_called = united(called.select("site_id", "since", "until"), SITE)
    ends = pl.col("deleted_at").fill_null(pl.lit(until, TIME)).clip(upper_bound=until)
    lives = united_called.group_by("site_id").agg(pl.col("since").min()).join(deleted, on="site_id", how="left")
    life = lives.select("site_id", "since", until=ends).filter(pl.col("since") < pl.col("until"))
    pieces = layered({"life": life, "called": united_called}, SITE)
    return pieces.filter(pl.col("called").is_null()).select("site_id", "since", "until")


_DELETED_TYPES = pl.Schema({"site_id": pl.Int32(), "deleted_at": TIME})
