"""Site: its uptime as others count it, and its states by the vote of its regions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import polars.testing
import psycopg
import pytest
import streamlit as st
from sqlalchemy import text
from streamlit.testing.v1 import AppTest

import pipeline
from app import data
from app.data import counted
from app.windows import following
from pipeline import analysis
from pipeline.analysis.policies import POLICIES
from pipeline.charts.voted import ALL
from pipeline.store.engine import plain_dsn
from pipeline.store.rollups import roll
from pipeline.vocabulary import Outcome, Site
from tests.app.conftest import Workbench
from tests.harness import now, writing

Said = Callable[[AppTest], str]
HOUR = timedelta(hours=1)


def add(workbench: Workbench, *, failing: bool = True) -> Site:
    """A site that was checked for an hour, and for five minutes was down from both regions."""
    (site,) = workbench.add("shop")
    began = now()
    for minutes in range(2, 60):
        outcome = Outcome.STATUS if failing and 20 <= minutes < 25 else Outcome.OK
        workbench.tick(site, outcome, at=began - timedelta(minutes=minutes))
    with psycopg.connect(plain_dsn(workbench.dsn), autocommit=True) as raw, raw.transaction():
        roll(raw, before=now() + timedelta(days=1))
    st.cache_data.clear()
    return site


def test_ours_comes_with_what_is_known_and_between_what_the_downtime_lies(workbench: Workbench, said: Said) -> None:
    add(workbench)
    words = said(workbench.open("site", site="shop", range="1h")).split("Uptime, as others count it")[1]
    assert "5 min" in words
    assert "between 4 min and 6 min, by the checks around it" in words
    assert "of the time that was called for" in words
    assert "if the unknown was down, or up" in words


def test_where_nothing_failed_it_claims_no_more_than_at_least(workbench: Workbench, said: Said) -> None:
    add(workbench, failing=False)
    words = said(workbench.open("site", site="shop", range="1h")).split("Uptime, as others count it")[1]
    assert "#### ≥ 9" in words
    assert "shorter than the interval can be missed" in words
    assert "#### 100 %" not in words


def test_the_address_holds_the_policy_and_its_rule_and_source_are_said(workbench: Workbench, said: Said) -> None:
    add(workbench)
    app = workbench.open("site", site="shop", range="1h")
    assert app.selectbox(key="policy").value == "kuma"
    app.selectbox(key="policy").set_value("gatus").run()
    assert app.query_params["policy"] == "gatus"
    words = said(app)
    assert POLICIES["gatus"].about in words
    assert POLICIES["gatus"].source in words
    assert "From ours to gatus" in words
    app = workbench.open("site", site="shop", range="1h", policy="default")
    assert "This is our own. Pick another" in said(app)


def test_all_policies_stand_beside_each_other(workbench: Workbench) -> None:
    add(workbench)
    table = workbench.open("site", site="shop", range="1h", policy="datadog").dataframe[-1].value
    assert [name.removeprefix("▸ ") for name in table["Policy"]] == list(POLICIES)
    assert [name for name in table["Policy"] if name.startswith("▸")] == ["▸ datadog"]


def test_before_the_roller_has_come_it_says_that_nothing_is_known(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    assert "nobody has anything to count" in said(workbench.open("site", site="shop", range="1h"))


@pytest.mark.parametrize("seen_from", [(), ("local-a",)])
def test_what_is_shown_is_what_the_notebook_says(workbench: Workbench, seen_from: tuple[str, ...]) -> None:
    add(workbench)
    window = following(HOUR)
    found = data.accounts("shop", window, seen_from)
    with pipeline.connect(workbench.dsn) as up:
        history = up.history(["shop"], *counted._counted(window), list(seen_from) or None)
    polars.testing.assert_frame_equal(found, analysis.by_policy(history), categorical_as_str=True)


@pytest.mark.parametrize("edit", [lambda: data.pause(["shop"], paused=True), data.remove_demo])
def test_the_history_that_all_policies_count_is_forgotten_after_an_edit(
    workbench: Workbench, edit: Callable[[], object]
) -> None:
    add(workbench)
    until = now()
    asked = ("shop", until - HOUR, until, ())
    seen = counted._history(*asked)
    assert counted._history(*asked) is seen
    edit()
    assert counted._history(*asked) is not seen


@pytest.mark.parametrize("ticks", [True, False])
def test_the_bar_has_the_vote_first_and_what_overrides_it(workbench: Workbench, ticks: bool) -> None:
    site = add(workbench)
    with writing(workbench.dsn) as connection:
        connection.execute(
            text(
                "insert into periods (kind, site_id, since, until, reason, actor) values"
                " ('maintenance', :site, :since, :until, 'a move', 'test')"
            ),
            {"site": site.id, "since": now() - timedelta(minutes=40), "until": now() - timedelta(minutes=30)},
        )
    st.cache_data.clear()
    bar = data.state_bar(site.id, following(HOUR), ticks=ticks)
    assert bar is not None
    assert bar["label"].unique(maintain_order=True).to_list() == [ALL, "local-a", "local-b"]
    for label in (ALL, "local-a"):
        states = bar.filter(label=label)["state"].to_list()
        assert [state for state in states if state != "unknown"] == ["up", "maintenance", "up", "down", "up"]
