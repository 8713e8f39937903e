"""Regions: what the fleet does in each; add, edit, remove."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest

from app import data
from app.data import connections
from pipeline.store import beats
from pipeline.store.regions import list_regions
from tests.app.conftest import Workbench
from tests.harness import now, raw, writing

Said = Callable[[AppTest], str]


def keys(workbench: Workbench) -> list[str]:
    with writing(workbench.dsn) as connection:
        return [region.key for region in list_regions(connection)]


def test_it_says_who_probes_and_what_waits(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    workbench.beat()
    with writing(workbench.dsn) as connection:
        beats.note_backlogs(raw(connection), [beats.Backlog(workbench.regions[0].id, now(), 7, 2, 12.5, 0.5, 3)])
    words = said(workbench.open("regions"))
    assert "▲ probing, late" in words
    assert "● probing" in words
    assert "**7**" in words
    assert "oldest 12.5 s" in words


def test_it_says_when_nobody_probes(workbench: Workbench, said: Said) -> None:
    words = said(workbench.open("regions"))
    assert "✕ no prober" in words
    assert "last seen never" in words


def test_it_adds_a_region(workbench: Workbench) -> None:
    app = workbench.open("regions")
    app.button(key="open-region").click().run()
    app.text_input(key="region-key").set_value("eu-west")
    app.text_area(key="region-resolvers").set_value("9.9.9.9\n1.1.1.1:53")
    app.button(key="region-submit").click().run()
    assert not app.exception
    assert keys(workbench) == ["eu-west", "local-a", "local-b"]
    region = next(region for region in data.all_regions() if region.key == "eu-west")
    assert region.network.resolvers == ("9.9.9.9", "1.1.1.1:53")


def test_it_explains_bad_input_at_the_field(workbench: Workbench, said: Said) -> None:
    app = workbench.open("regions")
    app.button(key="open-region").click().run()
    app.text_input(key="region-key").set_value("EU west")
    app.text_input(key="region-source_address").set_value("here")
    app.text_input(key="region-proxy").set_value("socks://x")
    app.button(key="region-submit").click().run()
    words = said(app)
    assert "✕ use a-z, 0-9 and -" in words
    assert "✕ 'here' is not an IP address" in words
    assert "✕ write the proxy as http://host:port" in words
    assert keys(workbench) == ["local-a", "local-b"]


def test_it_edits_a_region(workbench: Workbench) -> None:
    app = workbench.open("regions")
    app.button(key="edit-local-a").click().run()
    app.text_input(key="region-name").set_value("The cellar")
    app.button(key="region-submit").click().run()
    assert not app.exception
    assert data.all_regions()[0].name == "The cellar"


def test_it_removes_a_region_after_a_yes_unless_a_site_needs_it(workbench: Workbench, said: Said) -> None:
    workbench.add("shop")
    data.change_site("shop", {"regions": ["local-b"]})
    app = workbench.open("regions")
    app.button(key="remove-local-b").click().run()
    app.button(key="region-delete-yes").click().run()
    assert "shop would be checked from nowhere" in said(app)
    app.button(key="region-delete-no").click().run()
    app.button(key="remove-local-a").click().run()
    app.button(key="region-delete-yes").click().run()
    assert keys(workbench) == ["local-b"]


def measured(workbench: Workbench, minutes_ago: int = 2, probers: int = 1) -> None:
    """A sample of each region, and a decision about the first."""
    at = now() - timedelta(minutes=minutes_ago)
    first = workbench.regions[0].id
    with writing(workbench.dsn) as connection:
        for region in workbench.regions:
            sample = beats.Sample(region.id, at, probers, 2, 100, 3.0, 42.0, 50.0, 1.0, 4, 1, 2.5, 6)
            beats.note_samples(raw(connection), [sample])
        beats.note_decisions(raw(connection), [beats.Decision(first, at, 1, 2, "checks start 912 ms late")])


def test_it_shows_the_fleet_over_time_and_why_it_was_scaled(workbench: Workbench, said: Said) -> None:
    measured(workbench)
    app = workbench.open("regions")
    words = said(app)
    for title in ("Probers", "Lateness", "Checks waiting", "Oldest check", "Ticks waiting", "Decisions"):
        assert f"##### {title}" in words
    assert len(app.get("vega_lite_chart")) == 5
    [decided] = app.dataframe
    assert decided.value[["region", "probers", "reason"]].to_numpy().tolist() == [
        ["local-a", "1 → 2", "checks start 912 ms late"]
    ]


def test_range_and_regions_come_from_the_url(workbench: Workbench, said: Said) -> None:
    measured(workbench, minutes_ago=120)
    assert "◌ Nothing measured in this time" in said(workbench.open("regions"))
    app = workbench.open("regions", range="6h", region="local-b")
    assert len(app.get("vega_lite_chart")) == 5
    assert "◌ None in this time: the probers there were enough" in said(app)  # the decision is about local-a
    assert 'up.fleet_samples(start="-6h", regions=["local-b"])' in "\n".join(code.value for code in app.code)


def test_before_the_first_sample_it_says_where_to_look(workbench: Workbench, said: Said) -> None:
    words = said(workbench.open("regions"))
    assert "takes a sample of each region every ten seconds" in words
    assert "Health of our own parts" in words


def test_a_region_without_a_prober_says_what_to_do_next(workbench: Workbench, said: Said) -> None:
    data.change_region("local-b", {"managed": False})
    words = said(workbench.open("regions"))
    assert "**No prober gives a sign of life.** The supervisor starts one within seconds" in words
    assert "◌ waits for a prober elsewhere" in words
    assert "`betterstack region join-command local-b`" in words


def test_how_many_probers_a_region_may_have_is_edited_and_checked(workbench: Workbench, said: Said) -> None:
    app = workbench.open("regions")
    app.button(key="edit-local-a").click().run()
    app.number_input(key="region-min_probers").set_value(0)
    app.number_input(key="region-max_probers").set_value(99)
    app.button(key="region-submit").click().run()
    words = said(app)
    assert words.count("✕ must be") == 2
    app.number_input(key="region-min_probers").set_value(3)
    app.number_input(key="region-max_probers").set_value(2)
    app.button(key="region-submit").click().run()
    assert "“Probers at most” (2) is below “Probers at least” (3)" in said(app)
    app.number_input(key="region-max_probers").set_value(5)
    app.button(key="region-submit").click().run()
    assert not app.exception
    region = data.all_regions()[0]
    assert (region.min_probers, region.max_probers) == (3, 5)


def test_with_the_database_away_it_says_so(workbench: Workbench, said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETTERSTACK_DATABASE_URL", "postgresql://nobody@/nowhere?host=/nowhere&port=1")
    connections.database.clear()
    workbench_away = said(workbench.open("regions"))
    assert "The store is away" in workbench_away
    assert "betterstack up" in workbench_away
