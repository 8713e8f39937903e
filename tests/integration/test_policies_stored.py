"""Policies over what is stored: the same history, counted as each system would, from the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from msgspec import structs

from pipeline import analysis
from pipeline.answers import ACCOUNT, WATERFALL
from pipeline.declared import RegionIn, SiteIn
from pipeline.errors import NotFoundError
from pipeline.frames import SPANS, check
from pipeline.store.engine import plain_dsn
from pipeline.store.periods import add_period
from pipeline.store.regions import create_region
from pipeline.store.rollups import roll
from pipeline.store.sites import create_sites
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Outcome, Tick
from pipeline.workbench import Workbench
from tests.harness import writing
from tests.integration.tickmaker import tick

START = datetime(2026, 3, 1, 22, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NOW = START + 240 * MINUTE


@pytest.fixture(scope="module")
def bench(dsn: str) -> Iterator[Workbench]:
    """Four hours of a shop, each minute from two regions: `eu` sees it down in 30 to 39, `us` in 35 to 44; minutes 40
    to 49 are maintenance, in minute 60 a failure of `eu` is not confirmed, and the last hour nobody checked."""
    with writing(dsn) as connection:
        for key in ("eu", "us"):
            create_region(connection, RegionIn(key=key), now=START, actor="test")
        sites = [SiteIn(key="shop", url="https://shop.example", interval_s=60)]
        (shop,) = (site.id for site in create_sites(connection, sites, now=START, actor="test"))
        since, until, why = START + 40 * MINUTE, START + 50 * MINUTE, "a new database"
        given = {"reason": why, "actor": "test"}
        add_period(connection, "maintenance", site="shop", since=since, until=until, now=START, **given)
    ticks: list[Tick] = []
    for minute in range(180):
        for region, failing in ((1, range(30, 40)), (2, range(35, 45))):
            at = START + minute * MINUTE
            told = tick(at, Outcome.STATUS if minute in failing else Outcome.OK, site=shop, region=region)
            if minute == 60 and region == 1:
                ticks.append(structs.replace(told, outcome=Outcome.TIMEOUT, final=False))
                told = structs.replace(told, attempt=1)
            ticks.append(told)
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        ensure_partitions(connection, [START.date(), NOW.date()])
        with connection.transaction():
            store_ticks(connection, ticks)
        with connection.transaction():
            roll(connection, before=datetime.max.replace(tzinfo=UTC))
    with Workbench(dsn, clock=lambda: NOW) as bench:
        yield bench


def test_every_policy_counts_the_stored_history_as_worked_by_hand(bench: Workbench) -> None:
    known = 181 * 60  # the last tick is held for two minutes
    expected = {
        # Both down in 35 to 39; 40 to 49 are outside.
        "default": 1 - 300 / (known - 600),
        # 360 slots but for 20 in maintenance, of which 15 were down, and one attempt more that failed.
        "kuma": 1 - 16 / 341,
        "gatus": 1 - 21 / 360,
        "grafana-reachability": 1 - 21 / 360,
        "grafana-uptime": 1 - 5 / 180,
        # Any down from 30 to 44, looking through maintenance; what nobody knows is up.
        "datadog": 1 - 900 / (240 * 60),
        "kener": 1 - 16 / 360,
        # Partial in 30 to 34; the rest of the window is up.
        "statuspage": 1 - (300 + 0.3 * 300) / (240 * 60),
        "seed": 1.0,
    }
    for name, uptime in expected.items():
        row = check(bench.account(start=START, policy=name), {"site": SPANS["site"], **ACCOUNT}).row(0, named=True)
        assert row["uptime"] == pytest.approx(uptime), name
    assert set(expected) == set(analysis.POLICIES)


def test_the_default_is_the_uptime_of_the_site_s_spans(bench: Workbench) -> None:
    spans = bench.spans(start=START, level="global").collect()
    voted = analysis.uptime(spans, ["site"]).row(0, named=True)
    found = bench.account(start=START).row(0, named=True)
    for name in ("site", "uptime", "low", "high", "coverage", "down_s"):
        assert found[name] == pytest.approx(voted[name]), name
    assert voted["down_least_s"] <= voted["down_s"] <= voted["down_most_s"]
    (outage,) = analysis.outages(spans, bench.ticks(start=START).collect()).iter_rows(named=True)
    assert (outage["since"], outage["down_s"]) == (START + 35 * MINUTE, 300)
    assert outage["detected_s"] == pytest.approx(300, abs=1), "one region had seen it for five minutes"


def test_one_history_serves_many_questions(bench: Workbench) -> None:
    told = bench.history(["shop"], start=START)
    found = analysis.by_policy(told)
    assert found["policy"].to_list() == list(analysis.POLICIES)
    assert analysis.account(told, by=["site", "region"])["region"].to_list() == ["eu", "us"]
    days = bench.account(start=START, every="1d", tz="Asia/Tokyo")
    assert days["at"].to_list() == [datetime(2026, 3, 1, 15, tzinfo=UTC)], "a single day there, cut at 15:00 UTC"
    assert bench.account(start=START, every="1d")["at"].to_list() == [START - 22 * 60 * MINUTE, START + 120 * MINUTE]


def test_the_waterfall_of_stored_history_adds_up(bench: Workbench) -> None:
    steps = check(bench.waterfall(start=START, first="default", second="datadog"), WATERFALL)
    assert steps["step"].to_list() == ["default", "regions", "unknown", "maintenance", "datadog"]
    assert steps["change"].sum() == pytest.approx(steps["uptime"][-1] - steps["uptime"][0])
    with pytest.raises(NotFoundError, match="no policy 'pingdom'"):
        bench.waterfall(start=START, second="pingdom")


def test_policies_of_seconds_read_no_ticks(bench: Workbench) -> None:
    assert bench.history(start=START, ticks=False).ticks is None
