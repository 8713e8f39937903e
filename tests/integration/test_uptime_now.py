"""Uptime in the middle of things: what a state is believed for beyond now, or beyond a pause, is nobody's yet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from msgspec import structs

from pipeline.declared import RegionIn, SiteIn
from pipeline.store.engine import engine, plain_dsn
from pipeline.store.regions import create_region
from pipeline.store.rollups import roll
from pipeline.store.sites import create_sites, pause_sites
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.store.uptime import Uptime, uptime_of
from pipeline.vocabulary import Outcome
from pipeline.workbench import Workbench
from tests.harness import writing
from tests.integration.tickmaker import tick

START = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


@pytest.fixture(scope="module")
def sites(dsn: str) -> dict[str, int]:
    """Checked each half hour since 10:00 from `eu`: all were up at 10:00, and `shop` is down since 10:30. `rest` was up
    at 10:30 and paused a minute later. `both` is called for from `us`, too, and nobody checks it there."""
    with writing(dsn) as connection:
        for key in ("eu", "us"):
            create_region(connection, RegionIn(key=key), now=START, actor="test")
        wanted = [
            SiteIn(key=key, url=f"https://{key}.example", interval_s=1800, regions=None if key == "both" else ["eu"])
            for key in ("shop", "blog", "rest", "both")
        ]
        ids = {site.key: site.id for site in create_sites(connection, wanted, now=START, actor="test")}
        later = START + HALF_HOUR + timedelta(minutes=1)
        pause_sites(connection, ["rest"], paused=True, now=later, actor="test")
    ticks = [tick(START, interval_s=1800, site=site) for site in ids.values()]
    for key, site in ids.items():
        outcome = Outcome.STATUS if key == "shop" else Outcome.OK
        ticks.append(tick(START + HALF_HOUR, outcome, interval_s=1800, site=site))
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        ensure_partitions(connection, [START.date()])
        with connection.transaction():
            store_ticks(connection, ticks)
        with connection.transaction():
            roll(connection, before=datetime.max.replace(tzinfo=UTC))
    return ids


def listed(dsn: str, sites: dict[str, int], now: datetime) -> dict[str, Uptime]:
    """As a list shows it; and a notebook says the same."""
    store = engine(dsn)
    with store.connect() as connection:
        found = uptime_of(connection, list(sites.values()), START, now)
    store.dispose()
    with Workbench(dsn, clock=lambda: now) as bench:
        rows = {row["site"]: row for row in bench.uptime(start=START).iter_rows(named=True)}
    for key, number in sites.items():
        said = {name: getattr(found[number], name) for name in structs.asdict(found[number])}
        assert said == pytest.approx({name: rows[key][name] for name in said}), key
    return {key: found[number] for key, number in sites.items()}


def test_a_failure_counts_from_when_it_was_seen_to_now_and_no_longer(dsn: str, sites: dict[str, int]) -> None:
    shop = listed(dsn, sites, START + HALF_HOUR + timedelta(seconds=6))["shop"]
    assert shop.down_s == pytest.approx(6)
    assert shop.uptime == pytest.approx(1800 / 1806)


def test_one_region_of_two_cannot_speak_for_both(dsn: str, sites: dict[str, int]) -> None:
    found = listed(dsn, sites, START + HALF_HOUR + timedelta(seconds=6))
    coverage = dict.fromkeys(sites, 1.0) | {"both": 0.0}
    assert {key: uptime.coverage for key, uptime in found.items()} == pytest.approx(coverage)
    assert found["both"].uptime is None
    assert found["both"].checks == 2


def test_an_hour_later_it_is_the_same_and_a_pause_ended_what_was_held(dsn: str, sites: dict[str, int]) -> None:
    found = listed(dsn, sites, START + timedelta(hours=1, minutes=10))
    assert found["shop"].down_s == pytest.approx(40 * 60)
    assert found["shop"].uptime == pytest.approx(30 / 70)
    assert found["rest"].uptime == 1
    assert found["rest"].coverage == 1
