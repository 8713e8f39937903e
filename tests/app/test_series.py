"""What the pages draw is what the shown Python draws."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl
import polars.testing
import pytest

import pipeline
from app import data
from app.components import code
from app.windows import DAY, HOUR, between, following
from pipeline import charts
from pipeline.store import series
from pipeline.store.history import Source
from pipeline.store.overview import Wanted, since_unknown, site_row
from pipeline.vocabulary import Outcome, State
from tests.app.conftest import Workbench
from tests.harness import now, writing


@pytest.fixture
def filled(workbench: Workbench) -> Workbench:
    (site,) = workbench.add("shop")
    for minutes in (*range(1, 20), *range(30, 50)):
        outcome = Outcome.DNS if minutes % 7 == 0 else Outcome.OK
        workbench.tick(site, outcome, at=now() - timedelta(minutes=minutes))
    return workbench


def test_sql_and_polars_agree(filled: Workbench) -> None:
    until = now().replace(second=0, microsecond=0)
    with pipeline.connect(filled.dsn) as up, writing(filled.dsn) as connection:
        ticks = up.ticks(["shop"], start=until - timedelta(hours=1), end=until).collect()
        latency = series.latency_over_time(connection, 1, since=until - timedelta(hours=1), until=until)
        phases = series.phases_over_time(connection, 1, since=until - timedelta(hours=1), until=until)
    for found, told in (
        (charts.latency_by(ticks, timedelta(minutes=1)), latency),
        (charts.phases_by(ticks, timedelta(minutes=1)), phases),
    ):
        keys = [name for name in ("region", "at", "phase") if name in told.columns]
        within = told.filter(pl.col("at").is_between(found["at"].min(), found["at"].max()))
        polars.testing.assert_frame_equal(found.sort(keys), within.sort(keys), rel_tol=1e-5)


def test_the_fleet_counts_a_site_once_a_minute_by_its_worst(workbench: Workbench) -> None:
    (often,) = workbench.add("often", interval_s=10)
    (seldom,) = workbench.add("seldom")
    until = now().replace(second=0, microsecond=0)
    minute = until - timedelta(minutes=1)
    for second in range(0, 60, 10):
        outcome = Outcome.DNS if second == 30 else Outcome.OK
        workbench.tick(often, outcome, at=minute + timedelta(seconds=second), regions=["local-a"])
    workbench.tick(seldom, at=minute, regions=["local-a"])
    since = until - timedelta(hours=1)
    with pipeline.connect(workbench.dsn) as up, writing(workbench.dsn) as connection:
        told = series.fleet_minutes(connection, since=since, until=until)
        found = charts.fleet_by(up.ticks(start=since, end=until).collect())
    assert told.height == 60
    assert told.filter(at=minute).select("down", "degraded", "unknown", "up").rows() == [(1, 0, 0, 1)]
    polars.testing.assert_frame_equal(found, told.filter(at=minute))


def test_the_fleet_read_in_pieces_is_the_fleet_read_at_once(workbench: Workbench) -> None:
    (site,) = workbench.add("shop")
    for minutes in range(0, 75, 4):  # and some seconds: what is younger than ten may not be read yet
        outcome = Outcome.DNS if minutes % 3 == 0 else Outcome.OK
        regions = ["local-a", "local-b"] if minutes < 6 else ["local-a"]
        workbench.tick(site, outcome, at=now() - timedelta(minutes=minutes, seconds=11), regions=regions)
    joined = data.fleet()
    first, last = joined["at"].min(), joined["at"].max()
    assert isinstance(first, datetime)
    assert isinstance(last, datetime)
    with writing(workbench.dsn) as connection:
        at_once = series.fleet_minutes(connection, since=first, until=last + timedelta(minutes=1))
    assert joined.height == 2 * 60
    polars.testing.assert_frame_equal(joined, at_once)


def test_the_fleet_s_last_hour_is_an_hour_also_where_the_first_check_is_young(workbench: Workbench) -> None:
    (site,) = workbench.add("shop")
    workbench.tick(site, at=now() - timedelta(seconds=11))
    joined = data.fleet()
    assert joined.height == 2 * 60
    assert joined["up"].sum() == 2


@pytest.mark.parametrize(
    "python",
    [
        lambda: code.states("shop", following(HOUR)),
        lambda: code.shares("shop", following(HOUR), Source.TICKS, 60),
        lambda: code.shares("shop", following(30 * DAY), Source.HOURS, 6 * 3600),
        lambda: code.policies("shop", following(HOUR), ["local-a"]),
        lambda: code.waterfall("shop", following(HOUR), "gatus"),
        lambda: code.latency("shop", following(HOUR), Source.TICKS, 60),
        lambda: code.latency("shop", between(now() - 7 * DAY, now()), Source.HOURS, 3600),
        lambda: code.latency("shop", following(90 * DAY), Source.DAYS, 86400),
        lambda: code.phases("shop", following(6 * HOUR), 300),
        lambda: code.overview("shop", now() - HOUR, now(), 60),
        lambda: code.overview("shop", now() - 30 * DAY, now(), 3600, ["local-a"]),
        lambda: code.ticks("shop"),
        lambda: code.uptime("shop"),
        code.fleet,
        lambda: code.failing(["shop"]),
    ],
)
@pytest.mark.usefixtures("filled")
def test_the_python_that_a_page_shows_runs(python: Callable[[], str]) -> None:
    names: dict[str, object] = {}
    exec(python(), names)
    names["up"].close()  # type: ignore[attr-defined]


def test_a_verdict_runs_out_when_too_few_regions_are_left(workbench: Workbench) -> None:
    (site,) = workbench.add("shop")
    at = now() - timedelta(minutes=30)
    workbench.tick(site, at=at)
    workbench.tick(site, at=at + timedelta(minutes=5), regions=["local-b"])
    with writing(workbench.dsn) as connection:
        row = site_row(connection, "shop", now())
    assert row.state is State.UNKNOWN
    lapsed = since_unknown([seen.standing for seen in row.seen], now())
    assert lapsed == row.seen[0].standing.fresh_until  # two regions, so both have to know


def test_a_page_of_5000_is_one_query_a_page(workbench: Workbench) -> None:
    workbench.add(*(f"s{number}" for number in range(120)))
    found = data.find(Wanted(sort="name", page=3, size=50))
    assert (len(found.rows), found.total) == (20, 120)
    beyond = data.find(Wanted(sort="name", page=99, size=50))
    assert (len(beyond.rows), beyond.total) == (50, 120)
