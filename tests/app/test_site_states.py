"""Site and Sites where there is little to see: each reason looks its own, and says what to do next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import streamlit as st
from sqlalchemy import text
from streamlit.testing.v1 import AppTest

from app import data
from tests.app.conftest import Workbench
from tests.harness import now, writing

Said = Callable[[AppTest], str]


def change(workbench: Workbench, statement: str) -> None:
    with writing(workbench.dsn) as connection:
        connection.execute(text(statement))
    st.cache_data.clear()


def test_an_empty_list_says_how_to_fill_it(workbench: Workbench, said: Said) -> None:
    app = workbench.open("sites")
    assert "◌ No sites yet" in said(app)
    assert {button.key for button in app.button} >= {"open-add", "open-paste"}
    assert not app.dataframe


def test_a_list_without_a_match_says_so_and_takes_the_filters_away(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    workbench.beat()
    app = workbench.open("sites", state="down", region="local-b", q="nothing")
    words = said(app)
    assert "◌ No site is like that" in words
    assert "among those that local-b checks" in words
    app.button(key="clear").click().run()
    assert "state" not in app.query_params
    assert "region" not in app.query_params
    assert app.text_input(key="q").value == ""
    assert len(app.dataframe) == 1


def test_a_list_says_when_nobody_checks(workbench: Workbench, said: Said) -> None:
    (site,) = workbench.add("shop")
    workbench.tick(site, at=now() - timedelta(minutes=30))
    app = workbench.open("sites")
    assert "Our checks are not running as they should" in said(app)
    assert [list(state) for state in app.dataframe[0].value["State"]] == [["◌ unknown"]]


def test_a_paused_site_says_how_to_go_on(workbench: Workbench, said: Said) -> None:
    (site,) = workbench.add("shop")
    workbench.beat()
    workbench.tick(site, at=now() - timedelta(minutes=30))
    data.pause(["shop"], paused=True)
    change(workbench, "update revisions set effective_at = effective_at - interval '20 min' where not active")
    app = workbench.open("site", site="shop")
    words = said(app)
    assert "‖ Paused" in words
    assert "*Resume* goes on at once" in words
    assert "not running" not in words
    states = str(app.get("vega_lite_chart")[1].proto.spec)
    assert " paused" in states  # since then, and not unknown


def test_a_new_site_says_that_its_first_check_is_on_its_way(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    workbench.beat()
    words = said(workbench.open("site", site="shop"))
    assert "◌ Waiting for the first check" in words
    assert "◌ No check yet." in words
    assert "◌ No check answered in this time" in words


def test_a_site_says_when_our_own_checks_do_not_run(workbench: Workbench, said: Said) -> None:
    (site,) = workbench.add("shop")
    workbench.tick(site, at=now() - timedelta(minutes=30))
    words = said(workbench.open("site", site="shop"))
    assert "Our checks are not running as they should" in words
    assert "Health of our own parts" in words


def test_a_site_says_which_region_nobody_probes_from_and_what_to_run_there(workbench: Workbench, said: Said) -> None:
    (site,) = workbench.add("shop")
    workbench.beat()
    workbench.tick(site, at=now() - timedelta(minutes=30))
    change(workbench, "update regions set managed = false where key = 'local-b'")
    change(workbench, "delete from workers where role = 'prober' and region_id = 2")
    words = said(workbench.open("site", site="shop"))
    assert "◌ Nobody probes from local-b" in words
    assert "`betterstack region join-command local-b`" in words
    assert "Nobody probes from local-a" not in words


def test_a_site_that_no_region_checks_says_so(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    workbench.beat()
    change(workbench, "delete from series")
    words = said(workbench.open("site", site="shop"))
    assert "◌ No region checks it" in words
    assert "Pick regions in *Settings*" in words


def test_a_site_that_too_few_know_says_what_to_do(workbench: Workbench, said: Said) -> None:
    (site,) = workbench.add("shop")
    workbench.beat()
    workbench.tick(site, at=now() - timedelta(minutes=30))
    words = said(workbench.open("site", site="shop"))
    assert "◌ Not known" in words
    assert "*Test now* asks all of them at once" in words


@pytest.mark.parametrize("page", ["site", "sites"])
def test_without_the_store_it_says_that_and_nothing_of_the_site(
    page: str, workbench: Workbench, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    workbench.add("shop")
    monkeypatch.setenv("BETTERSTACK_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    st.cache_data.clear()
    app = workbench.open(page, site="shop")
    words = said(app)
    assert "The store is away" in words
    assert "unknown" not in words
    assert not app.dataframe
    assert not app.get("vega_lite_chart")


def test_a_page_of_no_site_leads_to_the_list(workbench: Workbench, said: Said) -> None:
    words = said(workbench.open("site"))
    assert "Pick one from the list of sites." in words
    assert "All sites" in words


def test_what_takes_its_time_shows_where_it_will_be(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both pages hold the place of what they wait for, and nothing stays of it."""
    (site,) = workbench.add("shop")
    workbench.tick(site)
    heights: list[int | None] = []
    skeleton = st.skeleton

    def noted(height: int | None = None) -> object:
        heights.append(height)
        return skeleton(height)

    monkeypatch.setattr(st, "skeleton", noted)
    for page in ("site", "sites"):
        app = workbench.open(page, site="shop")
        assert not app.exception
        assert not app.get("skeleton")
    assert all(heights)
    assert len(heights) == 5  # uptime, overview, charts and policies of the one, the table of the other
