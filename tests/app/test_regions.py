"""Regions: what the fleet does in each; add, edit, remove."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from app import data
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
