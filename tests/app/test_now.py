"""Now: what is broken."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import psycopg
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from app import data
from app.components.rows import LABEL, labelled
from pipeline.declared import RegionIn
from pipeline.store.engine import plain_dsn
from pipeline.store.regions import create_region
from pipeline.store.sites import pause_sites
from pipeline.store.ticks import store_ticks
from pipeline.vocabulary import Outcome, Tick
from tests.app.conftest import Workbench
from tests.harness import now, writing

Said = Callable[[AppTest], str]


def test_it_shows_failures_first_with_their_cause(workbench: Workbench, said: Said) -> None:
    good, bad, half = workbench.add("good", "bad", "half")
    workbench.beat()
    workbench.tick(good)
    workbench.tick(bad, Outcome.STATUS, detail="expected 200-399, got 503")
    workbench.tick(half)
    workbench.tick(half, Outcome.DNS, at=now() - timedelta(seconds=4), regions=["local-b"])
    words = said(workbench.open())
    assert words.index("**Bad**") < words.index("**Half**")
    assert "expected 200-399, got 503 · everywhere" in words
    assert "the name did not resolve · local-b" in words
    assert "**Good**" not in words


def test_it_knows_nothing_of_a_site_whose_checks_ran_out(workbench: Workbench, said: Said) -> None:
    (site,) = workbench.add("silent")
    workbench.beat()
    workbench.tick(site, at=now() - timedelta(minutes=10))
    words = said(workbench.open())
    assert "no fresh check from 2 of 2 regions" in words
    assert "sites that we know of are up" not in words


def test_it_says_when_our_own_checks_do_not_run(workbench: Workbench, said: Said) -> None:
    (site,) = workbench.add("shop")
    workbench.tick(site)
    words = said(workbench.open())
    assert "Our checks are not running as they should" in words
    assert "**pusher** no sign of life" in words


def test_it_is_calm_when_all_is_well(workbench: Workbench, said: Said) -> None:
    for site in workbench.add("a", "b"):
        workbench.tick(site)
    workbench.beat()
    app = workbench.open()
    assert "All 2 sites that we know of are up." in said(app)
    assert not app.error
    assert not app.warning


def test_it_says_from_where_nobody_looks(workbench: Workbench, said: Said) -> None:
    with writing(workbench.dsn) as connection:
        create_region(connection, RegionIn(key="eu", managed=False), now=now(), actor="test")
    workbench.add("shop")
    workbench.beat()
    words = said(workbench.open())
    assert "Nobody probes from eu: what its sites look like from there is unknown." in words
    assert "`betterstack region join-command eu` prints what to run there" in words


def test_it_is_not_green_while_a_site_is_unknown(workbench: Workbench, said: Said) -> None:
    good, bad = workbench.add("good", "bad")
    workbench.beat()
    workbench.tick(good)
    at = now() - timedelta(seconds=3)
    first = Tick(bad.id, 1, at, 0, at, Outcome.REFUSED, False, 60, 1, "local-a-1")
    with psycopg.connect(plain_dsn(workbench.dsn)) as connection:
        store_ticks(connection, [first])
    app = workbench.open()
    assert "1 up, 1 not known yet." in said(app)
    assert "first check failed, confirming" in said(app)
    assert not app.success


def test_it_counts_paused_sites_apart(workbench: Workbench) -> None:
    workbench.add("a", "b")
    with writing(workbench.dsn) as connection:
        pause_sites(connection, ["a"], paused=True, now=now(), actor="test")
    workbench.open()
    assert {state.value: count for state, count in data.counts().by_state.items() if count} == {
        "paused": 1,
        "unknown": 1,
    }


@pytest.mark.parametrize("page", ["now", "sites", "site", "regions"])
def test_it_says_what_to_do_when_postgres_is_away(
    page: str, workbench: Workbench, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    workbench.add("shop")
    monkeypatch.setenv("BETTERSTACK_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    st.cache_data.clear()
    words = said(workbench.open(page, site="shop"))
    assert "Postgres does not answer" in words
    assert "`betterstack up`" in words


def test_a_long_name_beside_a_chart_is_cut_and_its_region_is_not(workbench: Workbench) -> None:
    names = {
        "one": "A name that is much too long for a label, one",
        "two": "A name that is much too long for a label, two",
    }
    for site in workbench.add(*names):
        workbench.tick(site, Outcome.DNS)
        data.change_site(site.key, {"name": names[site.key]})
    workbench.add("third")
    data.change_site("third", {"name": "A third name that is too long for it"})
    rows = data.rows(("one", "two", "third"))
    spans = labelled(data.spans(tuple(row.id for row in rows), "1h"), rows)
    labels = set(spans["label"])
    assert {label.split(" · ")[1] for label in labels} == {"local-a", "local-b"}
    assert max(map(len, labels)) <= LABEL
    assert {label.split(" · ")[0] for label in labels} == {"one", "two", "A third name that is to…"}


def test_a_server_s_words_are_no_link_and_a_name_turns_nothing_around(workbench: Workbench, said: Said) -> None:
    (site,) = workbench.add("shop")
    workbench.tick(site, Outcome.REDIRECT, detail="Redirects in a circle, back to http://evil.example/loop")
    data.change_site("shop", {"name": "saved \u202eoga"})
    words = said(workbench.open())
    assert "back to `http://evil.example/loop` · everywhere" in words
    assert "\u202e" not in words
