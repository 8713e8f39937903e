"""Windows for journeys. A module has one workbench; a journey may open as many windows as it likes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.chromium import found, launch
from tests.browser.house import PATIENCE_MS

expect.set_options(timeout=PATIENCE_MS)  # others share the machine; what is there at once is waited for no longer


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, as long as a module: its event loop must be gone before others start theirs in this thread."""
    if found() is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright, launch(playwright) as browser:
        yield browser
