"""Site over time: the address holds the window and the regions, and each way to change them is a step."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import text
from streamlit.testing.v1 import AppTest

from app.windows import following, read, written
from pipeline.charts.overview import WINDOW
from pipeline.store.engine import plain_dsn
from pipeline.store.rollups import roll
from tests.app.conftest import Workbench
from tests.harness import now, writing

Said = Callable[[AppTest], str]
CHARTS = ("overview", "states", "latency", "phases")


@pytest.fixture
def shop(workbench: Workbench) -> Workbench:
    """A site that is a week old, checked in its last hour."""
    (site,) = workbench.add("shop")
    with writing(workbench.dsn) as connection:
        for table, column in (("sites", "created_at"), ("revisions", "effective_at")):
            connection.execute(text(f"update {table} set {column} = {column} - interval '7 days'"))
    for minutes in range(1, 30):
        workbench.tick(site, at=now() - timedelta(minutes=minutes))
    with psycopg.connect(plain_dsn(workbench.dsn), autocommit=True) as raw, raw.transaction():
        roll(raw, before=now() + timedelta(days=1))
    return workbench


def drawn(app: AppTest) -> dict[str, dict[str, Any]]:
    """The specs of the charts over the window, by their names."""
    assert not app.exception, app.exception
    specs = [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]
    return dict(zip(CHARTS, specs[:-1], strict=False))  # the last is the waterfall of the policies


def brush(app: AppTest) -> Any:
    params = drawn(app)["overview"]["params"]
    return next(param.get("value") for param in params if param["name"] == WINDOW)


def minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


@pytest.mark.parametrize("span", ["1h", "6h", "24h", "7d", "30d", "90d"])
def test_the_address_holds_the_range(shop: Workbench, span: str) -> None:
    app = shop.open("site", site="shop", range=span)
    assert app.segmented_control(key="range").value == span
    assert brush(app) is None  # it follows now
    assert len(drawn(app)) == (3 if span in {"30d", "90d"} else 4)  # phases are kept by single checks


def test_the_address_holds_a_window_and_the_brush_shows_it(shop: Workbench, said: Said) -> None:
    until = minute(now()) - timedelta(minutes=5)
    since = until - timedelta(minutes=20)
    app = shop.open("site", **{"site": "shop", "from": written(since), "to": written(until)})
    assert brush(app) == {"x": [since.timestamp() * 1000, until.timestamp() * 1000]}
    assert app.segmented_control[0].value is None
    words = said(app)
    assert f"{until:%H:%M} UTC" in words
    assert "20 min" in words
    domain = drawn(app)["states"]["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert domain == [since.timestamp() * 1000, until.timestamp() * 1000]


def test_a_pick_is_written_into_the_address_and_takes_the_window_out(shop: Workbench) -> None:
    app = shop.open("site", **{"site": "shop", "from": "2026-03-01T10:00Z", "to": "2026-03-01T11:00Z"})
    app.segmented_control[0].set_value("24h").run()
    assert app.query_params == {"site": "shop", "range": "24h"}
    app.pills[0].set_value(["local-b"]).run()
    assert app.query_params == {"site": "shop", "range": "24h", "region": "local-b"}


def test_a_widget_shows_what_the_address_has_come_to_say(shop: Workbench) -> None:
    """As after *back*: the browser still sends what its widget shows, and that must not undo the step."""
    app = shop.open("site", site="shop", range="24h", region="local-a")
    app.query_params = {"site": "shop", "range": "1h"}
    app.run()
    assert app.segmented_control[0].value == "1h"
    assert app.pills[0].value == []
    assert app.query_params == {"site": "shop", "range": "1h"}


def test_zoom_out_earlier_later_live_and_clear(shop: Workbench) -> None:
    until = minute(now()) - timedelta(days=2)
    start = {"from": written(until - timedelta(hours=2)), "to": written(until)}
    app = shop.open("site", **{"site": "shop", "range": "7d"} | start)
    app.button(key="window-earlier").click().run()
    assert app.query_params["to"] == start["from"]
    app.button(key="window-later").click().run()
    assert {name: app.query_params[name] for name in start} == start
    app.button(key="window-zoom-out").click().run()
    window = read("", str(app.query_params["from"]), str(app.query_params["to"]), "6h")
    assert window.length == timedelta(hours=6)
    app.button(key="window-clear").click().run()
    assert app.query_params == {"site": "shop", "range": "7d"}
    app = shop.open("site", **{"site": "shop"} | start)
    app.button(key="window-live").click().run()
    assert app.query_params == {"site": "shop", "range": "2h"}
    app.button(key="window-zoom-out").click().run()
    assert app.query_params == {"site": "shop", "range": "6h"}


@pytest.mark.parametrize(
    ("said_so", "message"),
    [
        ({"range": "soon"}, "'soon' is no length: write 1h, 6h"),
        ({"from": "then", "to": "now"}, "'then' is no time: write it in UTC"),
    ],
)
def test_an_address_that_means_nothing_is_explained(
    shop: Workbench, said: Said, said_so: dict[str, str], message: str
) -> None:
    app = shop.open("site", site="shop", **said_so)
    words = said(app)
    assert message in words
    assert "Shown is the last 6h" in words
    assert len(drawn(app)) == 4


def test_a_window_whose_ticks_are_gone_is_drawn_of_hours_and_says_so(shop: Workbench, said: Said) -> None:
    with writing(shop.dsn) as connection:
        connection.execute(text("delete from ticks"))
    app = shop.open("site", site="shop", range="1h")
    assert "single checks of that time are no longer kept" in said(app)


def test_the_overview_is_of_the_regions_that_are_picked(shop: Workbench) -> None:
    both, one = (shop.open("site", site="shop", **more) for more in ({}, {"region": "local-a"}))
    frames = [app.get("vega_lite_chart")[0].proto for app in (both, one)]
    assert frames[0].datasets != frames[1].datasets


def test_a_window_that_follows_now_says_which_it_is(shop: Workbench, said: Said) -> None:
    since, until = following(timedelta(hours=24)).bounds(now())
    words = said(shop.open("site", site="shop", range="24h"))
    assert "the last 1 d" in words
    assert "live" in words
    assert f"{since:%d %b}" in words
    assert f"{until:%d %b}" in words


def test_a_window_of_another_year_says_which(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    since, until = "2025-03-01T10:00Z", "2025-03-01T14:00Z"
    assert "01 Mar 2025 10:00 to 14:00 UTC" in said(workbench.open("site", site="shop", **{"from": since, "to": until}))


def test_a_window_in_the_future_is_explained(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    address = {"from": "2099-03-01T10:00Z", "to": "2099-03-01T14:00Z"}
    assert "in the future" in said(workbench.open("site", site="shop", **address))
