"""A site over long ranges: what the page draws is what the shown Python draws, and ticks that are gone are no gap."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import polars.testing
import psycopg
import pytest
from sqlalchemy import Connection

from pipeline import charts
from pipeline.declared import RegionIn, SiteIn
from pipeline.store import history, series
from pipeline.store.engine import engine, plain_dsn
from pipeline.store.history import Source
from pipeline.store.overview import Wanted, count_states, find_sites
from pipeline.store.regions import create_region
from pipeline.store.rollups import roll
from pipeline.store.sites import create_sites, pause_sites
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.store.uptime import uptime_of
from pipeline.vocabulary import Outcome, State
from pipeline.workbench import Workbench
from tests.harness import writing
from tests.integration.tickmaker import tick

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 3, 1, 6, tzinfo=UTC)
NOW = START + 50 * HOUR
EVERY_S = 300
SHOP, BLOG, LATER = 1, 2, 3


@pytest.fixture(scope="module")
def filled(dsn: str) -> str:
    """`shop` from two regions for two days, down for an hour in one, silent for an hour in both; `blog` is paused after
    a day. `later` came when all of that was over."""
    with writing(dsn) as connection:
        for key in ("eu", "us"):
            create_region(connection, RegionIn(key=key), now=START, actor="test")
        sites = [SiteIn(key=key, url=f"https://{key}.example", interval_s=EVERY_S) for key in ("shop", "blog")]
        create_sites(connection, sites, now=START, actor="test")
        create_sites(connection, [SiteIn(key="later", url="https://later.example")], now=NOW - HOUR, actor="test")
        pause_sites(connection, ["blog"], paused=True, now=START + DAY, actor="test")
    slots = [START + timedelta(seconds=EVERY_S * n) for n in range(50 * 12)]
    down, silent = (START + 10 * HOUR, START + 11 * HOUR), (START + 20 * HOUR, START + 21 * HOUR)
    ticks = [
        tick(at, _outcome(at, down, region), interval_s=EVERY_S, site=SHOP, region=region)
        for at in slots
        if not silent[0] <= at < silent[1]
        for region in (1, 2)
    ]
    blog = (at for at in slots if at < START + DAY)
    ticks += [tick(at, interval_s=EVERY_S, site=BLOG, region=region) for at in blog for region in (1, 2)]
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        ensure_partitions(connection, [(START + n * DAY).date() for n in range(3)])
        with connection.transaction():
            store_ticks(connection, ticks)
        with connection.transaction():
            roll(connection, before=datetime.max.replace(tzinfo=UTC))
    return dsn


def _outcome(at: datetime, down: tuple[datetime, datetime], region: int) -> Outcome:
    return Outcome.STATUS if region == 2 and down[0] <= at < down[1] else Outcome.OK


@pytest.fixture
def store(filled: str) -> Iterator[Connection]:
    found = engine(filled, read_only=True)
    with found.connect() as connection:
        yield connection
    found.dispose()


@pytest.fixture
def up(filled: str) -> Iterator[Workbench]:
    with Workbench(filled, clock=lambda: NOW) as bench:
        yield bench


def detail(store: Connection, since: datetime, until: datetime = NOW, site: int = SHOP, **more: Any) -> history.Detail:
    return history.detail(store, site, since=since, until=until, rolled=until, **more)


def test_days_of_hours_are_those_of_the_notebook(store: Connection, up: Workbench) -> None:
    told = detail(store, START)
    rollup = up.rollup("1h", sites=["shop"], start=START).collect()
    assert told.source is Source.HOURS
    polars.testing.assert_frame_equal(told.latency, charts.latency_of(rollup))
    polars.testing.assert_frame_equal(told.states, charts.shares_of(rollup))
    whole = history.overview(store, SHOP, since=START, until=NOW, rolled=NOW)
    polars.testing.assert_frame_equal(whole, charts.overview_of(rollup))


def test_an_outage_and_a_silence_are_told_apart(store: Connection) -> None:
    states = detail(store, START).states.filter(region="us")
    at = {row["at"]: row for row in states.iter_rows(named=True)}
    assert at[START + 10 * HOUR]["down"] == 3600
    assert at[START + 20 * HOUR]["unknown"] == pytest.approx(3600 - EVERY_S)  # the last tick is held for two intervals
    assert at[START + 20 * HOUR]["down"] == 0


def test_more_than_a_month_is_drawn_of_days(store: Connection, up: Workbench) -> None:
    told = detail(store, NOW - 40 * DAY)
    assert told.source is Source.DAYS
    assert told.phases is None
    assert told.states["at"].n_unique() == 41
    rollup = up.rollup("1d", sites=["shop"], start=START).collect()
    mine = told.latency.filter(pl.col("at") >= rollup["at"].min())
    polars.testing.assert_frame_equal(mine, charts.latency_of(rollup))


def test_a_short_window_is_drawn_of_ticks_while_they_are_kept_and_then_of_hours(filled: str) -> None:
    since, until = START + 9 * HOUR, START + 12 * HOUR
    with writing(filled) as connection:
        assert detail(connection, since, until).source is Source.TICKS
        connection.exec_driver_sql("alter table ticks rename to kept")
        connection.exec_driver_sql("create table ticks (like kept including all)")  # their partitions were dropped
        told = detail(connection, since, until)
        connection.rollback()
    assert told.source is Source.HOURS
    assert told.states.filter(region="us")["down"].to_list() == [0, 3600, 0]


def test_a_pause_is_not_unknown_and_before_a_site_there_is_nothing(store: Connection) -> None:
    spans = series.state_spans(store, [BLOG], since=START + 20 * HOUR, until=START + 30 * HOUR)
    assert spans.filter(region="eu")["state"].to_list() == ["up", "paused"]
    young = series.state_spans(store, [LATER], since=NOW - 5 * HOUR, until=NOW)
    assert young.filter(region="eu").select("at", "state").rows() == [(NOW - HOUR, "unknown")]
    long = detail(store, START, site=BLOG).states.filter(pl.col("at") >= START + DAY + HOUR)
    assert long.select("down", "degraded", "unknown", "up").sum().row(0) == (0, 0, 0, 0)


def test_a_young_site_is_seen_whole_from_its_ticks(store: Connection, up: Workbench) -> None:
    since, until = START, START + 12 * HOUR
    told = history.overview(store, SHOP, since=since, until=until, rolled=until)
    ticks = up.ticks(["shop"], start=since - HOUR, end=until).collect()
    found = charts.overview_by(ticks, timedelta(seconds=EVERY_S), since, until)
    polars.testing.assert_frame_equal(told, found, rel_tol=1e-6)
    assert told.filter(at=START + 10 * HOUR)["down"][0] == EVERY_S


@pytest.mark.parametrize("region", ["", "us"])
def test_a_list_tells_what_the_notebook_tells(store: Connection, up: Workbench, region: str) -> None:
    regions = [region] if region else None
    told = history.strips(store, [BLOG, SHOP], since=NOW - 2 * DAY, until=NOW, regions=regions)
    since = (NOW - 2 * DAY).replace(minute=0)
    rollup = up.rollup("1h", sites=["shop"], start=since, regions=regions).collect()
    found = charts.overview_of(rollup)
    assert told[SHOP].p95s_ms == found["p95_ms"].to_list()
    assert [sum(bucket) for bucket in told[SHOP].seconds] == pytest.approx(
        found.select(pl.sum_horizontal("down", "degraded", "unknown", "up")).to_series().to_list()
    )
    assert told[BLOG].seconds[-1] == (0, 0, 0, 0)
    assert told[BLOG].p95s_ms[-1] is None


def test_uptime_as_seen_from_one_region(store: Connection, up: Workbench) -> None:
    for number, key in ((1, "eu"), (2, "us")):
        found = uptime_of(store, [SHOP], START, NOW, number)[SHOP]
        (row,) = up.uptime(start=START, sites=["shop"], regions=[key]).to_dicts()
        assert found.uptime == pytest.approx(row["uptime"])
        assert found.coverage == pytest.approx(row["coverage"])


def test_a_region_sees_its_own_states_and_only_the_sites_that_it_checks(filled: str) -> None:
    with writing(filled) as connection:
        at = {"fresh": NOW + HOUR, "at": NOW}
        for region, state in ((1, "up"), (2, "down")):
            connection.exec_driver_sql(
                "update series set state = %(state)s, outcome = null, since = %(at)s, slot_at = %(at)s,"
                " fresh_until = %(fresh)s where site_id = 1 and region_id = %(region)s",
                {"state": state, "region": region, **at},
            )
        connection.exec_driver_sql("update sites set all_regions = false where key = 'later'")
        connection.exec_driver_sql("delete from links where site_id = 3")
        connection.exec_driver_sql("insert into links (site_id, region_id) values (3, 1)")
        here = {key: find_sites(connection, Wanted(region=key), NOW) for key in ("", "eu", "us")}
        counts = count_states(connection, NOW, "us")
        connection.rollback()
    seen = {key: {row.key: row.state for row in found.rows} for key, found in here.items()}
    assert seen["eu"]["shop"] is State.UP
    assert seen["us"]["shop"] is State.DOWN
    assert seen[""]["shop"] is State.DEGRADED
    assert [row.since for row in here["us"].rows if row.key == "shop"] == [NOW]
    assert set(seen["us"]) == {"shop", "blog"}  # the paused one is meant to be checked from there
    assert counts.by_state[State.DOWN] == counts.by_state[State.PAUSED] == 1
    assert counts.total == here["us"].total == 2
