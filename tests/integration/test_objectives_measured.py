"""Objectives on what was measured: ticks, rolled up, are spans; these spend a budget, and the roller tells of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
from sqlalchemy import Engine, text

from app.api import service
from pipeline.declared import SiteIn
from pipeline.declared_objectives import ObjectiveIn
from pipeline.store.engine import plain_dsn
from pipeline.store.objectives import create_objective
from pipeline.store.rollups import roll
from pipeline.store.sites import create_sites
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Outcome
from pipeline.workbench import Workbench
from tests.harness import Fleet, eventually, now, rows_of
from tests.integration.conftest import Run
from tests.integration.test_api import served
from tests.integration.tickmaker import tick
from workers import budget_watch

MINUTE = timedelta(minutes=1)
# The last whole minute, for what asks the clock itself.
END = now().replace(second=0, microsecond=0)
START = END - timedelta(hours=3)


@pytest.fixture
def shop(store: Engine, dsn: str) -> str:
    """Checked each minute for three hours from `eu` and `us`; down in both for the last six minutes."""
    site = SiteIn(key="shop", url="https://shop.example.com/", interval_s=60, tags=["web"])
    with store.begin() as connection:
        [created] = create_sites(connection, [site], now=START, actor="test")
        objective = ObjectiveIn(key="web", site="shop", target=0.999)
        create_objective(connection, objective, now=START, actor="test")
    measure(dsn, created.id, down_from=END - 6 * MINUTE, until=END)
    return dsn


def measure(dsn: str, site: int, *, down_from: datetime, until: datetime, since: datetime = START) -> None:
    ticks = []
    for number in range(int((until - since) / MINUTE)):
        at = since + number * MINUTE
        outcome = Outcome.STATUS if at >= down_from else Outcome.OK
        ticks += [tick(at, outcome, site=site, region=region) for region in (1, 2)]
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        ensure_partitions(connection, sorted({each.scheduled_at.date() for each in ticks}))
        with connection.transaction():
            store_ticks(connection, ticks)
        while True:
            with connection.transaction():
                if roll(connection, before=datetime.max.replace(tzinfo=UTC)).last is None:
                    break


@pytest.fixture
def client(shop: str, store: Engine) -> Iterator[httpx.Client]:  # noqa: ARG001 - it fills the store
    api = service.create(lambda: END)
    api.state.engine = store
    with served(api) as client:
        yield client


def told(dsn: str) -> list[tuple[object, ...]]:
    return rows_of(dsn, "select from_state, to_state from transitions where kind = 'burn' order by id")


def test_six_minutes_down_are_six_minutes_of_the_budget(shop: str) -> None:
    with Workbench(shop, clock=lambda: END) as up:
        [row] = up.slo().to_dicts()
        objective = up.objective("web")
    assert objective.sites == ("shop",)
    assert (row["spent_s"], row["good_s"]) == (360, 3 * 3600 - 360)
    assert row["coverage"] == 1
    assert row["left"] == pytest.approx(1 - 360 / 2592)
    assert (row["spent_low_s"], row["spent_high_s"]) == (360, 420)  # it goes on, and began after a good slot


def test_the_api_and_the_command_say_the_same(client: httpx.Client, run: Run) -> None:
    answered = client.get("/objectives/web/slo").json()
    assert (answered["spent_s"], answered["sites"]) == (360, 1)
    [listed] = json.loads(run("slo", "list", "--json").stdout)
    assert listed["key"] == "web"
    assert 360 <= listed["spent_s"] <= 360 + 120  # a state is held for two intervals, and the clock goes on
    assert "99.9 % over 30 days" in run("slo", "list").stdout


def test_the_roller_tells_of_it_once_and_of_the_calm_after_it(shop: str) -> None:
    assert budget_watch.watch(shop, END) == 1
    assert budget_watch.watch(shop, END) == 0
    assert told(shop) == [("calm", "page")]
    [(site,)] = rows_of(shop, "select id from sites")
    measure(shop, int(str(site)), since=END, down_from=END + timedelta(days=1), until=END + 40 * MINUTE)
    # Half an hour later no short window of a page sees it any more; the six hours of the ticket do.
    assert budget_watch.watch(shop, END + 40 * MINUTE) == 1
    assert told(shop)[-1] == ("page", "ticket")


def test_a_single_bad_slot_asks_for_nobody(shop: str, store: Engine) -> None:
    with store.begin() as connection:
        site = SiteIn(key="blog", url="https://blog.example.com/", interval_s=60)
        [created] = create_sites(connection, [site], now=START, actor="test")
        connection.execute(text("delete from objectives"))
        create_objective(connection, ObjectiveIn(key="blog", site="blog", target=0.999), now=START, actor="test")
    measure(shop, created.id, down_from=END - MINUTE, until=END)
    assert budget_watch.watch(shop, END) == 0


def test_a_running_roller_looks_by_itself(shop: str, redis_url: str) -> None:
    [(site,)] = rows_of(shop, "select id from sites")
    # It asks the clock, and other tests may have run since this file was read: the outage goes on until now.
    measure(shop, int(str(site)), since=END, down_from=END, until=now() + MINUTE)
    with Fleet(shop, redis_url) as fleet:
        fleet.start("roller")
        eventually(lambda: told(shop), what="what it tells")
    assert told(shop) == [("calm", "page")]


def test_without_a_promise_it_looks_at_nothing(store: Engine, dsn: str) -> None:  # noqa: ARG001 - it is empty
    assert budget_watch.watch(dsn, END) == 0
