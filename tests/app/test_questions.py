"""Explain and Changes: each finds what was planted, keeps what is picked in its address, and says what to do next."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from math import inf
from random import Random
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from streamlit.testing.v1 import AppTest

from app import boxes
from pipeline.analysis import Box
from pipeline.store.engine import plain_dsn
from pipeline.store.rollups import roll
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Outcome, Phases, Site, Tick
from tests.app.conftest import Workbench
from tests.harness import now, writing

Said = Callable[[AppTest], str]
DAYS = 12
STEP = timedelta(days=5)  # so long ago, the site became slower from the second region


def stored(workbench: Workbench, site: Site, since: datetime, until: datetime, every: timedelta) -> None:
    """Ticks at about 100 ms; from the second region 160 ms since the step, all of it in the first byte."""
    random, ticks, at = Random(site.id), [], since
    while at < until:
        for region in workbench.regions[:2]:
            slow = region.key == "local-b" and at > now() - STEP
            ttfb_ms = (123.0 if slow else 63.0) * random.lognormvariate(0, 0.05)
            phases = Phases(dns_ms=2, connect_ms=10, tls_ms=20, ttfb_ms=ttfb_ms, transfer_ms=5)
            ticks.append(
                Tick(site.id, region.id, at, 0, at, Outcome.OK, True, 600, 1, f"{region.key}-1", phases=phases,
                     latency_ms=37 + ttfb_ms, error_ms=0.1, status=200, ip=f"10.0.0.{region.id}")
            )  # fmt: skip
        at += every
    with psycopg.connect(plain_dsn(workbench.dsn)) as connection:
        ensure_partitions(connection, {tick.scheduled_at.date() for tick in ticks})
        store_ticks(connection, ticks)
    with psycopg.connect(plain_dsn(workbench.dsn), autocommit=True) as raw, raw.transaction():
        roll(raw, before=now() + timedelta(days=1))
        raw.execute(
            "insert into phases_hour (at, site_id, region_id, ttfb_p50_ms)"
            " select date_trunc('hour', scheduled_at, 'UTC'), site_id, region_id, max(ttfb_ms) from ticks"
            " group by 1, 2, 3"
            " on conflict do nothing"  # where the roller came first
        )


@pytest.fixture
def shop(workbench: Workbench) -> Workbench:
    """A site that is twelve days old and became slower from one region five days ago."""
    (site,) = workbench.add("shop", interval_s=600)
    with writing(workbench.dsn) as connection:
        for table, column in (("sites", "created_at"), ("revisions", "effective_at")):
            connection.execute(text(f"update {table} set {column} = {column} - interval '{DAYS} days'"))
    end = now().replace(second=0, microsecond=0)
    stored(workbench, site, end - timedelta(days=DAYS), end, timedelta(hours=1))
    return workbench


def charts_of(app: AppTest) -> list[dict[str, Any]]:
    assert not app.exception, app.exception
    return [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]


def test_explain_asks_for_a_site_where_its_address_names_none(shop: Workbench, said: Said) -> None:
    app = shop.open("explain")
    assert "Pick a site" in said(app)
    app.selectbox[0].set_value("shop").run()
    assert app.query_params["site"] == "shop"
    assert "Explain Shop" in said(app)


def test_explain_of_nothing_says_where_to_begin(workbench: Workbench, said: Said) -> None:
    assert "There is no site yet" in said(workbench.open("explain"))
    workbench.add("young")
    assert "Nothing was measured in this time" in said(workbench.open("explain", site="young"))


def test_explain_of_a_site_that_is_not_there_says_so(workbench: Workbench) -> None:
    assert "nowhere" in workbench.open("explain", site="nowhere").warning[0].value


@pytest.mark.parametrize(("span", "of"), [("6h", "single checks"), ("7d", "hours"), ("90d", "UTC days")])
def test_the_heatmap_says_what_it_is_of(shop: Workbench, said: Said, span: str, of: str) -> None:
    app = shop.open("explain", site="shop", range=span)
    words = said(app)
    assert f"of {of}; drag a box" in words
    assert "Drag a box over what you wonder about" in words
    (chart,) = charts_of(app)
    assert [param["name"] for param in chart["params"]] == ["box"]


def test_a_box_in_the_address_is_answered(shop: Workbench, said: Said) -> None:
    until = now().replace(second=0, microsecond=0)
    box = boxes.say(Box(until - timedelta(days=4), until - timedelta(days=1), 140.0, 300.0))
    app = shop.open("explain", site="shop", range="7d", box=box)
    words = said(app)
    assert "Region **local-b** is 100 % of the box" in words
    assert "phase **first byte** takes" in words
    assert "held against" in words
    heat, *answers = charts_of(app)
    (param,) = heat["params"]
    assert param["value"]["y"] == [140.0, 300.0]
    assert len(answers) == 2


def test_a_suggested_box_is_taken_with_a_button_and_cleared_with_another(shop: Workbench, said: Said) -> None:
    app = shop.open("explain", site="shop", range="7d")
    app.button(key="box-slowest").click().run()
    assert "box" in app.query_params
    assert "local-b" in said(app)
    app.button(key="box-clear").click().run()
    assert "box" not in app.query_params


def test_a_box_without_checks_says_what_to_do(shop: Workbench, said: Said) -> None:
    until = now().replace(second=0, microsecond=0)
    box = boxes.say(Box(until - timedelta(hours=4), until - timedelta(hours=1), 4000.0, 9000.0))
    assert "There is no single check in this box" in said(shop.open("explain", site="shop", range="24h", box=box))


def test_a_box_that_means_nothing_is_explained(shop: Workbench) -> None:
    app = shop.open("explain", site="shop", box="yesterday")
    assert "is no box: write it as" in app.warning[0].value.replace("\\", "")
    assert len(charts_of(app)) == 1


def test_changes_finds_the_site_that_became_slower(shop: Workbench, said: Said) -> None:
    app = shop.open("changes")
    words = said(app)
    (row,) = app.dataframe[0].value.to_dict("records")
    assert (row["Site"], row["Region"]) == ("shop", "local-b")
    assert row["Change"].startswith("▲ +")
    assert 50 <= int(row["Change"].split("+")[1].split(" ")[0]) <= 70
    assert "Of 2 series" in words
    assert "Pick a row" in words


def test_a_site_in_the_address_shows_its_series_before_and_after(shop: Workbench, said: Said) -> None:
    app = shop.open("changes", site="shop", region="local-b")
    words = said(app)
    assert "local-b since" in words
    assert "h before" in words
    assert "most of it first byte, ▲ +" in words
    assert "Explain" in words
    (alt_text,) = [chart.proto.alt for chart in app.get("vega_lite_chart") if "Hourly medians" in chart.proto.alt]
    assert "changes: 1, the last ▲" in alt_text
    assert "against the same hour" in words


def test_a_range_is_kept_in_the_address(shop: Workbench) -> None:
    app = shop.open("changes", range="30d")
    assert app.segmented_control[0].value == "30d"
    app.segmented_control[0].set_value("90d").run()
    assert app.query_params["range"] == "90d"


def test_changes_of_nothing_says_when_there_will_be_some(workbench: Workbench, said: Said) -> None:
    words = said(workbench.open("changes"))
    assert "Nothing was measured yet" in words
    assert "No site was down" in words


def test_sites_that_fail_together_are_told_with_what_they_share(workbench: Workbench, said: Said) -> None:
    workbench.add("one", "two", tags=["cdn"])
    workbench.add("other", "another", "third")
    with psycopg.connect(plain_dsn(workbench.dsn), autocommit=True) as raw:
        raw.execute(
            "insert into spans_site (since, until, at, site_id, state, down, known, regions)"
            " select now() - interval '3 hours', now() - interval '2 hours',"
            " date_trunc('day', now() - interval '3 hours', 'UTC'), id, 2, 2, 2, 2"
            " from sites where key in ('one', 'two')"
        )
    words = said(workbench.open("changes"))
    assert "1 · one, two" in words.replace("*", "")
    assert "all share the tag cdn" in words.replace(":gray[", "").replace("]", "")
    assert "and no other does" in words


@pytest.mark.parametrize(
    "box",
    [
        Box(datetime.fromisoformat("2026-03-01T10:00Z"), datetime.fromisoformat("2026-03-01T12:30Z"), 120.0, 480.0),
        Box(datetime.fromisoformat("2026-03-01T10:00Z"), datetime.fromisoformat("2026-03-02T12:30Z"), 0.5, inf, True),
        Box(datetime.fromisoformat("2026-03-01T10:00Z"), datetime.fromisoformat("2026-03-02T12:30Z"), inf, inf, True),
    ],
)
def test_an_address_brings_back_the_box_that_it_was_made_of(box: Box) -> None:
    assert boxes.read(boxes.say(box)) == box


def test_a_drag_becomes_whole_minutes_and_takes_failures_where_it_reaches_them() -> None:
    at = datetime.fromisoformat("2026-03-01T10:00Z").timestamp() * 1000
    plain = boxes.dragged(at + 1000, at + 61_000, 123.456, 400.0, failures_from=500.0)
    assert boxes.say(plain) == "2026-03-01T10:00Z~2026-03-01T10:02Z~123~400"
    assert boxes.say(boxes.dragged(at, at, 123.0, 600.0, 500.0)) == "2026-03-01T10:00Z~2026-03-01T10:01Z~123~failed"
    assert boxes.dragged(at, at, 510.0, 600.0, 500.0).low_ms == inf
