"""What the questions read: medians by the hour, down times, and heatmaps, of what the roller stored."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import psycopg
import pytest
from sqlalchemy import Connection

from pipeline import charts
from pipeline.analysis import Box, changes, together
from pipeline.answers import MEDIANS
from pipeline.declared import RegionIn, SiteIn
from pipeline.frames import check
from pipeline.store import heat, medians
from pipeline.store.engine import engine, plain_dsn
from pipeline.store.history import Source
from pipeline.store.regions import create_region
from pipeline.store.rollups import roll
from pipeline.store.sites import create_sites, delete_sites
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Outcome, Phases, Tick
from tests.harness import writing

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = START + 12 * DAY
SHOP, BLOG, GONE = 1, 2, 3
DOWN = START + 11 * DAY + 3 * HOUR


def ticks(site: int, region: int, *, slower_from: datetime | None = None) -> list[Tick]:
    """A tick each half hour; down for two hours, and slower from some time on."""
    found = []
    for number in range(12 * 48):
        at = START + number * HOUR / 2
        factor = 1.5 if slower_from is not None and at >= slower_from else 1.0
        latency_ms = factor * (100 + number * 7 % 11)
        down = DOWN <= at < DOWN + 2 * HOUR and site != GONE
        found.append(
            Tick(site, region, at, 0, at, Outcome.TIMEOUT if down else Outcome.OK, True, 1800, 1, "p", phases=Phases(),
                 latency_ms=latency_ms)
        )  # fmt: skip
    return found


@pytest.fixture(scope="module")
def filled(dsn: str) -> str:
    with writing(dsn) as connection:
        for key in ("eu", "us"):
            create_region(connection, RegionIn(key=key), now=START, actor="test")
        sites = [SiteIn(key=key, url=f"https://{key}.example", interval_s=1800) for key in ("shop", "blog", "gone")]
        create_sites(connection, sites, now=START, actor="test")
    stored = [
        *ticks(SHOP, 1), *ticks(SHOP, 2, slower_from=START + 8 * DAY), *ticks(BLOG, 1), *ticks(BLOG, 2),
        *ticks(GONE, 1, slower_from=START + 8 * DAY),
    ]  # fmt: skip
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        ensure_partitions(connection, [(START + n * DAY).date() for n in range(12)])
        store_ticks(connection, stored)
        with connection.transaction():
            roll(connection, before=NOW)
    with writing(dsn) as connection:
        delete_sites(connection, ["gone"], now=NOW, actor="test")
    return dsn


@pytest.fixture
def connection(filled: str) -> Iterator[Connection]:
    store = engine(filled, read_only=True, name="test")
    with store.begin() as open_one:
        yield open_one
    store.dispose()


def test_of_all_series_those_that_differ_are_read_by_the_hour(connection: Connection) -> None:
    screened = medians.worth_a_look(connection, since=NOW - 7 * DAY, until=NOW)
    check(screened.medians, MEDIANS)
    assert screened.series == 4  # of sites that are still there
    (row,) = changes(screened.medians).iter_rows(named=True)
    assert (row["site"], row["region"], row["at"]) == ("shop", "us", START + 8 * DAY)
    assert row["ratio"] == pytest.approx(1.5, rel=0.05)


def test_one_sites_medians_are_those_of_its_regions_or_of_the_named_ones(connection: Connection) -> None:
    both = check(medians.of_site(connection, SHOP, since=START, until=NOW), MEDIANS)
    assert both.height == 2 * (12 * 24 - 2)
    assert both["phase"].unique().to_list() == ["total"]
    one = medians.of_site(connection, SHOP, since=START, until=NOW, regions=["us"], phases=True)
    assert one["region"].unique().to_list() == ["us"]


def test_down_times_are_those_of_the_vote_within_the_range_and_outside_of_maintenance(filled: str) -> None:
    store = engine(filled, read_only=False, name="test")
    with store.begin() as connection:
        spans = medians.down_spans(connection, since=DOWN + HOUR, until=NOW)
        assert sorted(spans["site"].cast(pl.String)) == ["blog", "shop"]
        assert spans["since"].unique().to_list() == [DOWN + HOUR]
        assert together(spans)["group"].to_list() == [1, 1]
        connection.exec_driver_sql(
            "insert into periods (kind, site_id, since, until, reason, actor)"
            " values ('maintenance', 2, '2026-03-12', '2026-03-13', 'move', 'test')"
        )
        spans = medians.down_spans(connection, since=START, until=NOW)
        assert spans["site"].cast(pl.String).to_list() == ["shop"]
        connection.rollback()
    store.dispose()


def test_a_heatmap_is_of_ticks_for_a_day_of_hours_for_a_month_and_of_days_beyond(connection: Connection) -> None:
    found = {
        days: heat.heat(connection, SHOP, since=NOW - days * DAY, until=NOW, regions=["us"]) for days in (1, 7, 40)
    }
    assert [each.source for each in found.values()] == [Source.TICKS, Source.HOURS, Source.DAYS]
    for days, each in found.items():
        span = min(days, 12) * 48
        cells = each.cells
        assert cells.filter(~pl.col("failed"))["checks"].sum() == span - 4
        assert cells.filter("failed")["checks"].sum() == 4
        assert charts.heat(cells).to_dict()


def test_a_box_is_held_against_what_is_around_it(connection: Connection) -> None:
    box = Box(NOW - 2 * DAY, NOW - 2 * DAY + 2 * HOUR)
    since, until = heat.compared_with(connection, SHOP, box, START, NOW)
    assert (since, until) == (box.since - 8 * HOUR, box.until + 8 * HOUR)
    assert heat.compared_with(connection, SHOP, box, box.since, box.until) == (box.since, box.until)
