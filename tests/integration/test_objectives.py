"""Objectives in a real store: by command, by API, and a budget that burns is told of once."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any, Literal

import httpx
import polars as pl
import pytest
from sqlalchemy import Engine, text

from app.api import service
from pipeline.declared import SiteIn, parse
from pipeline.declared_objectives import ObjectiveIn
from pipeline.errors import InvalidInputError, NotFoundError
from pipeline.frames import SITE_SPANS, SPANS, schema
from pipeline.store.burns import watch_budgets
from pipeline.store.objectives import (
    create_objective,
    delete_objective,
    get_objective,
    last_burning,
    list_objectives,
    update_objective,
)
from pipeline.store.overview import last_changes
from pipeline.store.sites import create_sites, delete_sites
from pipeline.workbench import Workbench
from tests.harness import now
from tests.integration.conftest import Run
from tests.integration.test_api import served

NOW = now()
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def promise(store: Engine, key: str = "shop-month", **fields: Any) -> None:
    about = {} if fields.get("tag") else {"site": "shop"}
    with store.begin() as connection:
        wanted = parse(ObjectiveIn, {"key": key, "target": 0.999} | about | fields)
        create_objective(connection, wanted, now=NOW, actor="test")


@pytest.fixture
def shop(store: Engine) -> Engine:
    """A store with two sites that share a tag."""
    with store.begin() as connection:
        sites = [SiteIn(key=key, url=f"https://{key}.example.com/", tags=["eu"]) for key in ("shop", "blog")]
        create_sites(connection, sites, now=NOW - DAY, actor="test")
    return store


class Told:
    """Spans made by hand, in the place of `Workbench.spans`: who was down for how long, until when."""

    def __init__(self, **minutes: float) -> None:
        self.minutes = minutes
        self.asked: list[tuple[str, list[str]]] = []
        self.state = "up"

    def __call__(
        self, sites: Collection[str], start: datetime, end: datetime, *, level: Literal["region", "global"]
    ) -> pl.LazyFrame:
        self.asked.append((level, list(sites)))
        rows = []
        for number, site in enumerate(sites, start=1):
            began = end - self.minutes.get(site, 0) * MINUTE
            runs: list[tuple[str, datetime, datetime]] = [(self.state, start, began), ("down", began, end)]
            for state, since, until in runs:
                row = {"site": site, "site_id": number, "state": state, "since": since, "until": until, "checks": 9}
                seen = [row | {"region": f"r{r}", "region_id": r} for r in (1, 2)] if level == "region" else [row]
                rows += seen if since < until else []
        types = schema(SPANS if level == "region" else SITE_SPANS)
        return pl.DataFrame([{name: row.get(name) for name in types} for row in rows], schema=types).lazy()


def burns(store: Engine) -> list[tuple[str, str, str]]:
    """(objective, from, to) of what was told, in its order."""
    with store.connect() as connection:
        query = "select o.key, from_state, to_state from transitions t join objectives o on o.id = t.objective_id"
        return [(a, b, c) for a, b, c in connection.execute(text(f"{query} where t.kind = 'burn' order by t.id"))]


# --- what is promised -----------------------------------------------------------------------------------------------


def test_an_objective_is_about_its_site_or_about_all_with_its_tag(shop: Engine) -> None:
    promise(shop)
    promise(shop, "eu", tag="eu", window_days=None, tz="Europe/Berlin")
    with shop.begin() as connection:
        assert [(each.key, each.sites) for each in list_objectives(connection)] == [
            ("eu", ("blog", "shop")),
            ("shop-month", ("shop",)),
        ]
        delete_sites(connection, ["shop"], now=NOW, actor="test")
        assert [each.sites for each in list_objectives(connection)] == [("blog",), ()]
        assert get_objective(connection, "shop-month").site == "shop", "what it was about stays known"


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"target": 1.0}, "target", "nobody can promise all of the time"),
        ({"target": 99.9}, "target", "write it as a share: 0.999 for 99.9 %"),
        ({"tag": "eu", "site": "shop"}, "", "name either a site or a tag"),
        ({"site": "", "tag": ""}, "", "name either a site or a tag"),
        ({"site": "shp"}, "site", "there is no site 'shp'"),
        ({"tz": "Berlin"}, "tz", "write one such as Europe/Berlin"),
        ({"window_days": 0}, "window_days", "1 or more"),
        ({"policy": "mine"}, "policy", "strict"),
        ({"key": "shop-month"}, "key", "already"),
    ],
)
def test_what_cannot_be_promised_is_said_at_its_field(
    shop: Engine, fields: dict[str, Any], field: str, said: str
) -> None:
    promise(shop)
    with pytest.raises(InvalidInputError) as refused:
        promise(shop, **({"key": "other"} | fields))
    [problem] = refused.value.problems
    assert field in problem.field
    assert said in problem.message


def test_an_edit_changes_what_it_names_and_a_tag_takes_the_place_of_a_site(shop: Engine) -> None:
    promise(shop)
    with shop.begin() as connection:
        changed = update_objective(connection, "shop-month", {"tag": "eu"}, now=NOW, actor="test")
        assert (changed.site, changed.tag, changed.target) == (None, "eu", 0.999)
        changed = update_objective(connection, "shop-month", {"window_days": None}, now=NOW, actor="test")
        assert (changed.window_days, changed.tag) == (None, "eu")
        with pytest.raises(NotFoundError, match="there are: shop-month"):
            update_objective(connection, "other", {"target": 0.9}, now=NOW, actor="test")


def test_commands_add_edit_list_and_remove(shop: Engine, run: Run) -> None:
    said = run("slo", "add", "web", "--site", "shop", "--target", "99.9%").stdout
    assert said.strip() == "web promises 99.9 % over 30 days for shop"
    assert "no site has the tag" in run("slo", "add", "us", "--tag", "us", "--target", "0.95", "--month").stderr
    assert "99.5 % over 7 days" in run("slo", "edit", "web", "--target", "99.5", "--days", "7").stdout
    assert "--target: write it as a share" not in run("slo", "add", "x", "--site", "shop", status=2).stderr
    assert "'soon' is no share" in run("slo", "edit", "web", "--target", "soon", status=2).output
    run("slo", "remove", "us")
    with shop.connect() as connection:
        assert [each.key for each in list_objectives(connection)] == ["web"]
    actions = run_audit(shop)
    assert actions == ["objective_created", "objective_created", "objective_changed", "objective_deleted"]


def run_audit(store: Engine) -> list[str]:
    with store.connect() as connection:
        query = "select action from audit where action like 'objective%' order by id"
        return list(connection.execute(text(query)).scalars())


@pytest.fixture
def client(shop: Engine) -> Iterator[httpx.Client]:
    api = service.create(lambda: NOW)
    api.state.engine = shop
    with served(api) as client:
        yield client


def test_the_api_adds_reads_changes_and_removes(client: httpx.Client) -> None:
    body = {"key": "web", "site": "shop", "target": 0.999}
    created = client.post("/objectives", json=body)
    assert created.status_code == 201
    assert created.json()["sites"] == ["shop"]
    assert client.post("/objectives", json=body).status_code == 422
    assert client.patch("/objectives/web", json={"target": 0.99}).json()["target"] == 0.99
    assert [each["key"] for each in client.get("/objectives").json()["items"]] == ["web"]
    assert client.delete("/objectives/web").status_code == 204
    assert client.get("/objectives/web").status_code == 404


# --- budgets that burn ----------------------------------------------------------------------------------------------


def test_a_budget_that_burns_is_told_of_once_and_once_more_when_it_is_calm(shop: Engine) -> None:
    promise(shop)
    told = Told()
    assert watch_budgets(shop, told, now=NOW) == []
    told.minutes = {"shop": 6}
    assert [each.state for each in watch_budgets(shop, told, now=NOW)] == ["page"]
    assert watch_budgets(shop, told, now=NOW) == []
    told.minutes = {}
    assert [each.state for each in watch_budgets(shop, told, now=NOW)] == ["calm"]
    assert burns(shop) == [("shop-month", "calm", "page"), ("shop-month", "page", "calm")]


def test_what_is_told_says_how_fast_it_burns(shop: Engine) -> None:
    promise(shop)
    watch_budgets(shop, Told(shop=6), now=NOW)
    with shop.connect() as connection:
        row = connection.execute(text("select site_id, delivered_at, votes, detail from transitions")).one()
    assert (row.site_id, row.delivered_at, row.votes) == (None, None, {})
    assert row.detail["target"] == 0.999
    assert [(rate["factor"], round(rate["long_rate"])) for rate in row.detail["rates"]] == [
        (14.4, 100),
        (6, 17),
        (1, 1),
    ]


def test_while_nobody_knows_nothing_is_told(shop: Engine) -> None:
    promise(shop)
    watch_budgets(shop, Told(shop=6), now=NOW)
    blind = Told()
    blind.state = "unknown"
    assert watch_budgets(shop, blind, now=NOW) == []
    assert burns(shop) == [("shop-month", "calm", "page")]


def test_regions_are_asked_for_the_sites_that_were_bad_alone(shop: Engine) -> None:
    promise(shop)
    promise(shop, "eu", tag="eu")
    told = Told(blog=6)
    watch_budgets(shop, told, now=NOW)
    assert told.asked == [("global", ["blog", "shop"]), ("region", ["blog"])]
    assert burns(shop) == [("eu", "calm", "page")]


def test_two_rollers_at_once_tell_it_once(shop: Engine) -> None:
    promise(shop)
    both = threading.Barrier(2)

    def watch() -> None:
        told = Told(shop=6)

        def spans(*args: Any, **kwargs: Any) -> pl.LazyFrame:
            both.wait(10) if kwargs["level"] == "global" else None
            return told(*args, **kwargs)

        watch_budgets(shop, spans, now=NOW)

    threads = [threading.Thread(target=watch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert burns(shop) == [("shop-month", "calm", "page")]


def test_a_promise_that_is_taken_back_burns_no_more(shop: Engine) -> None:
    promise(shop)
    watch_budgets(shop, Told(shop=6), now=NOW)
    with shop.begin() as connection:
        delete_objective(connection, "shop-month", now=NOW, actor="test")
    assert burns(shop)[-1] == ("shop-month", "page", "calm")
    promise(shop)  # the same key, another promise
    with shop.connect() as connection:
        [objective] = list_objectives(connection)
        assert objective.id not in last_burning(connection)


def test_who_reads_verdicts_reads_no_budgets(shop: Engine, dsn: str) -> None:
    promise(shop)
    watch_budgets(shop, Told(shop=6), now=NOW)
    with shop.connect() as connection:
        assert last_changes(connection, limit=9) == []
    with Workbench(dsn) as up:
        assert up.transitions(start=NOW - DAY, end=NOW + DAY).is_empty()
