"""A newcomer's first minute, in a real browser, on `betterstack up` as a real process."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.house import PATIENCE_MS, Windows, drawn, started, took
from tests.harness import Target

SOON_MS = 5_000  # from the click to the first check's phases


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Windows]:
    with started(tmp_path_factory.mktemp("first")) as (url, _):
        windows = Windows(browser, url)
        yield windows
        windows.close()
        assert windows.elsewhere == []


def test_pasted_urls_are_shown_then_checked_and_their_first_waterfall_is_there_at_once(windows: Windows) -> None:
    page = windows.open()
    drawn(page)
    main = page.get_by_test_id("stMain")
    with Target() as target:
        # No Ctrl+Enter, no click elsewhere: the box reads along.
        page.get_by_role("textbox").first.press_sequentially(f"{target.url}/one\n{target.url}/two\nftp://no.example")
        expect(main.get_by_text("A list of URLs")).to_contain_text("2 new")
        expect(main.get_by_text("A list of URLs")).to_contain_text("1 not usable")
        assert target.requests == 0, "what is only previewed is not checked"
        drawn(page)
        page.get_by_role("button", name="Watch 2 sites").click()
        began = time.monotonic()
        bars = page.get_by_test_id("stVegaLiteChart").locator("svg .mark-rect.role-mark path").first
        expect(bars).to_be_visible(timeout=SOON_MS)
        print(f"seconds from the click to the first waterfall: {took(began):.2f}")
        for region in ("local-a", "local-b"):
            expect(main.get_by_text(region).first).to_be_visible(timeout=PATIENCE_MS)
        expect(main.get_by_text("First checks are in")).to_be_visible(timeout=PATIENCE_MS)
        page.get_by_role("link", name="Sites").first.click()
        expect(main.get_by_text("2 sites")).to_be_visible(timeout=PATIENCE_MS)
        assert target.requests >= 4
