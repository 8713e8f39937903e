"""The house itself in a real browser: a region is edited from its live card, and Health says how our parts are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.house import PATIENCE_MS, Windows, started
from tests.harness import Target, add_sites, count, eventually


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    folder: Path = tmp_path_factory.mktemp("parts")
    with started(folder) as (url, dsn), Target() as target:
        add_sites(dsn, [f"{target.url}/one"], interval_s=5)
        sampled = "select count(distinct region_id) from region_samples where probers > 0"
        eventually(lambda: count(dsn, sampled) == 2, what="a sample of each region")
        yield url, dsn


@pytest.fixture
def windows(house: tuple[str, str], browser: Browser) -> Iterator[Windows]:
    windows = Windows(browser, house[0])
    yield windows
    windows.close()
    assert windows.elsewhere == []


def test_a_region_is_edited_from_its_live_card(windows: Windows, house: tuple[str, str]) -> None:
    """Its buttons are in a part that draws itself: a click there must open the page's dialog all the same."""
    page = windows.open("regions")
    expect(page.get_by_text("● probing").first).to_be_visible(timeout=PATIENCE_MS)
    page.locator(".st-key-edit-local-a button").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    for field, value in (("min_probers", "3"), ("max_probers", "2")):
        dialog.locator(f".st-key-region-{field} input").fill(value)
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.get_by_text("is below “Probers at least” (3)")).to_be_visible()
    dialog.locator(".st-key-region-min_probers input").fill("2")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_hidden()
    eventually(lambda: count(house[1], "select count(*) from decisions where after = 2"), what="a decision")
    expect(page.get_by_text("2 of 2")).to_be_visible(timeout=PATIENCE_MS)


def test_range_and_region_are_in_the_url_and_come_back_from_it(windows: Windows) -> None:
    page = windows.open("regions")
    page.get_by_role("radio", name="6h").click()
    page.get_by_role("button", name="local-b", exact=True).click()
    expect(page).to_have_url(f"{windows.url}/regions?range=6h&region=local-b")
    again = windows.open("regions?range=6h&region=local-b")
    expect(again.get_by_role("radio", name="6h")).to_be_checked()
    # A sample that is younger than what is cached appears with the next refresh.
    expect(again.locator("[data-testid=stVegaLiteChart]").first).to_be_visible(timeout=30_000)


def test_health_says_that_all_is_well(windows: Windows) -> None:
    page = windows.open("health")
    expect(page.get_by_text("● well").first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_text("All our parts are well.")).to_be_visible(timeout=PATIENCE_MS)
