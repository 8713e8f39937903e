"""Sites: find, add, paste, pause, delete."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import data
from app.components import site_table
from pipeline.judge.verdict import Standing
from pipeline.store.engine import plain_dsn
from pipeline.store.overview import Seen
from pipeline.store.rollups import roll
from pipeline.store.sites import all_sites
from pipeline.vocabulary import Outcome, Region, Site, State
from tests.app.conftest import Workbench
from tests.harness import now, writing

Said = Callable[[AppTest], str]
CHECKBOX = 33
SIDEBAR_AND_PADDING = 210 + 2 * 39


def sites_of(workbench: Workbench) -> dict[str, Site]:
    with writing(workbench.dsn) as connection:
        return {site.key: site for site in all_sites(connection)}


def names(app: AppTest) -> list[str]:
    assert not app.exception, app.exception
    return [name.split(" ")[0] for name in app.dataframe[0].value["Site"]]


def select(app: AppTest, rows: list[int]) -> AppTest:
    selection: dict[str, Any] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    key = app.dataframe[0].key
    assert key is not None
    app.session_state[key] = selection
    return app.run()


def test_it_lists_failing_sites_first_with_state_in_words(workbench: Workbench) -> None:
    good, bad = workbench.add("good", "bad")
    workbench.tick(good)
    workbench.tick(bad, Outcome.TIMEOUT)
    app = workbench.open("sites")
    assert names(app) == ["Bad", "Good"]
    assert [list(state) for state in app.dataframe[0].value["State"]] == [["✕ down"], ["● up"]]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"q": "shop eu"}, ["Shop-Eu"]),
        ({"state": "down"}, ["Blog"]),
        ({"state": ["down", "up"], "sort": "by name"}, ["Blog", "Shop-Eu", "Shop-Us"]),
        ({"tag": "team-b"}, ["Blog"]),
        ({"sort": "newest first"}, ["Blog", "Shop-Us", "Shop-Eu"]),
        ({"q": "100%"}, []),
        ({"state": "nonsense"}, ["Blog", "Shop-Eu", "Shop-Us"]),
    ],
)
def test_the_url_holds_what_is_wanted(workbench: Workbench, wanted: dict[str, Any], found: list[str]) -> None:
    shops = workbench.add("shop-eu", "shop-us", tags=["team-a"])
    (blog,) = workbench.add("blog", tags=["team-b"])
    for shop in shops:
        workbench.tick(shop)
    workbench.tick(blog, Outcome.REFUSED)
    app = workbench.open("sites", **wanted)
    assert (names(app) if found else []) == found


def test_many_regions_are_counted_and_the_failing_ones_come_first() -> None:
    up, down = (Standing(state=state) for state in (State.UP, State.DOWN))
    keys = ("a", "b", "c", "d")
    seen = [Seen(Region(i, key, key), State.UP, up) for i, key in enumerate(keys)]
    assert site_table.regions(seen[:2]) == "● a  ● b"
    assert site_table.regions([*seen, Seen(Region(9, "e", "e"), State.DOWN, down)]) == "✕ e  ● a  +3"


def test_it_pages(workbench: Workbench) -> None:
    workbench.add(*(f"site-{number:03}" for number in range(60)))
    app = workbench.open("sites", sort="by name")
    assert len(names(app)) == 50
    app.pagination(key="page").set_value(2).run()
    assert names(app)[0] == "Site-050"
    assert len(names(app)) == 10


def test_it_explains_bad_input_at_the_field(workbench: Workbench, said: Said) -> None:
    app = workbench.open("sites")
    app.button(key="open-add").click().run()
    app.text_input(key="site-url").set_value("example.com")
    app.number_input(key="site-interval_s").set_value(0)
    app.text_input(key="site-expect").set_value("teapot")
    app.text_area(key="site-headers").set_value("X y: 1")
    app.button(key="site-submit").click().run()
    words = said(app)
    assert "✕ the scheme is missing: write https://example.com or http://example.com" in words
    assert "✕ at least 1 second]" in words
    assert "✕ 'teapot' is no status or range" in words
    assert "✕ 'X y' is no name of a header" in words
    assert not sites_of(workbench)
    assert app.text_input(key="site-url").value == "example.com"  # what was typed stays


def test_it_adds_a_site(workbench: Workbench) -> None:
    app = workbench.open("sites")
    app.button(key="open-add").click().run()
    app.text_input(key="site-url").set_value("https://example.com/health")
    app.multiselect(key="site-regions").set_value(["local-b"])
    app.text_area(key="site-headers").set_value("Accept: text/html")
    app.text_input(key="site-expect").set_value("200, 300-399")
    app.button(key="site-submit").click().run()
    assert not app.exception
    site = sites_of(workbench)["example-com-health"]
    assert (site.regions, site.headers, site.interval_s) == (["local-b"], {"Accept": "text/html"}, 180)
    assert site.expect == {"status": ["200", "300-399"]}
    assert "example-com-health is added" in app.toast[0].value.replace("\\", "")


def test_it_says_that_a_url_is_watched_already(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    app = workbench.open("sites")
    app.button(key="open-add").click().run()
    app.text_input(key="site-url").set_value("https://shop.example.com/")
    app.button(key="site-submit").click().run()
    assert "this is watched already as 'shop'" in said(app)


def test_it_previews_pasted_lines_and_adds_the_new_ones(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    app = workbench.open("sites")
    app.button(key="open-paste").click().run()
    text = "https://shop.example.com/\nhttps://new.example.com\n\nhttps://new.example.com\nhttps://a b"
    app.text_area(key="many-text").set_value(text).run()
    assert "line 5 `https://a b` :gray[a URL has no spaces in it" in said(app)
    preview = app.dataframe[-1].value
    assert list(preview[""]) == ["◌ watched", "● new", "◌ repeats"]
    assert list(preview["Line"]) == [1, 2, 4]
    assert preview["Key"][0] == "shop"
    assert app.button(key="many-add").label == "Watch 1 site"
    app.button(key="many-add").click().run()
    assert set(sites_of(workbench)) == {"shop", "new-example-com"}


def test_it_pauses_and_resumes_what_is_selected(workbench: Workbench) -> None:
    workbench.add("a", "b", "c")
    app = select(workbench.open("sites", sort="by name"), [0, 2])
    app.button(key="pause").click().run()
    assert [site.paused for site in sites_of(workbench).values()] == [True, False, True]
    app = select(workbench.open("sites", sort="by name"), [0])
    app.button(key="resume").click().run()
    assert [site.paused for site in sites_of(workbench).values()] == [False, False, True]


def test_it_deletes_only_after_a_yes(workbench: Workbench, said: Said) -> None:
    workbench.add("a", "b")
    app = select(workbench.open("sites", sort="by name"), [1])
    app.button(key="delete").click().run()
    assert "Stop checking **b**?" in said(app)
    app.button(key="delete-no").click().run()
    assert set(sites_of(workbench)) == {"a", "b"}
    app.button(key="delete").click().run()
    app.button(key="delete-yes").click().run()
    assert set(sites_of(workbench)) == {"a"}


def test_a_name_is_shown_as_it_is_written(workbench: Workbench) -> None:
    (site,) = workbench.add("odd")
    data.change_site("odd", {"name": "*bold* [link](https://evil.example) :red[x]"})
    workbench.tick(site, Outcome.TLS)
    label = next(link.label for link in workbench.open().page_link if "bold" in link.label)
    assert label.startswith("**\\*bold\\* \\[link\\]\\(")


def test_the_url_holds_the_region_that_sites_are_seen_from(workbench: Workbench, said: Said) -> None:
    both, one = workbench.add("both", "one")
    data.change_site("one", {"regions": ["local-a"]})
    workbench.tick(one, regions=["local-a"])
    workbench.tick(both, regions=["local-a"])
    workbench.tick(both, Outcome.STATUS, at=now() - timedelta(seconds=3), regions=["local-b"])
    st.cache_data.clear()
    app = workbench.open("sites", region="local-b")
    assert names(app) == ["Both"]
    assert [list(state) for state in app.dataframe[0].value["State"]] == [["✕ down"]]
    assert "1 site, as seen from local-b" in said(app)
    app.selectbox(key="region").set_value("local-a").run()
    assert app.query_params["region"] == "local-a"
    assert names(app) == ["Both", "One"]
    assert [list(state) for state in app.dataframe[0].value["State"]] == [["● up"]] * 2


@pytest.mark.parametrize("span", ["24h", "7d", "30d"])
def test_the_url_holds_the_range_of_uptime_and_latency(workbench: Workbench, span: str) -> None:
    (site,) = workbench.add("shop")
    workbench.tick(site, at=now() - timedelta(minutes=10))
    with psycopg.connect(plain_dsn(workbench.dsn), autocommit=True) as raw, raw.transaction():
        roll(raw, before=now() + timedelta(days=1))
    app = workbench.open("sites", range=span)
    assert app.segmented_control(key="range").value == span
    (row,) = app.dataframe[0].value.to_dict("records")
    assert row["p95"] == pytest.approx(97, rel=0.011)
    assert [round(ms) for ms in row["Trend"]] == [round(row["p95"])]
    assert row["States"].startswith("data:image/svg+xml,")
    assert row["Uptime"] == "no failure", "of one check, which is worth no number"


def test_a_click_on_a_name_leads_to_its_site_by_a_link(workbench: Workbench) -> None:
    """A link is one step in the browser's history; `st.switch_page` would be two, the first of them without filters."""
    workbench.add("shop", "blog")
    app = workbench.open("sites", sort="by name", tag=[])
    app.session_state["open"] = {"row": 1, "label": "Shop"}
    app.run()
    (link,) = [link for link in app.page_link if link.label == "Open Shop"]
    assert link.proto.query_string == "site=shop"
    assert not app.exception


def test_a_change_of_what_is_wanted_goes_to_the_first_page_in_one_step(workbench: Workbench) -> None:
    workbench.add(*(f"site-{number:03}" for number in range(60)))
    app = workbench.open("sites", sort="by name", page="2")
    assert names(app)[0] == "Site-050"
    app.pills(key="state").set_value(["unknown"]).run()
    assert app.query_params == {"sort": "by name", "state": "unknown"}
    assert names(app)[0] == "Site-000"


def test_a_link_to_a_page_that_is_no_more_shows_the_first(workbench: Workbench) -> None:
    workbench.add(*(f"site-{number:03}" for number in range(60)))
    app = workbench.open("sites", sort="by name", page="99")
    assert names(app)[0] == "Site-000"
    assert app.pagination(key="page").value == 1


def test_in_a_window_of_1280_pixels_a_name_has_room_and_no_column_about_now_is_cut(workbench: Workbench) -> None:
    workbench.add("shop")
    columns = json.loads(workbench.open("sites").dataframe[0].proto.columns)
    widths = {name: column["width"] for name, column in columns.items() if "width" in column}
    before = list(widths)[: list(widths).index("Checked") + 1]
    assert widths["Site"] >= 220
    assert {"State", "Uptime", "Regions"} <= set(before)
    assert sum(widths[name] for name in before) + CHECKBOX <= 1280 - SIDEBAR_AND_PADDING
