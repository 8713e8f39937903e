"""A workbench for browsers to visit, and windows on it that leave no request to others unnoticed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, Request, expect

from pipeline.settings import Settings
from tests.harness import up

PAGES = Path(__file__).parents[2] / "app" / "pages"
PATIENCE_MS = 20_000
CRASHED = "[data-testid=stException], [data-testid=stAppViewContainer] >> text=Traceback"


def page_paths(site: str) -> dict[str, str]:
    """Every page that there is, by its name, with the path to open it: a new one is visited without being listed."""
    names = sorted(file.stem for file in PAGES.glob("[a-z]*.py"))
    special = {"now": "", "site": f"site?site={site}"}
    return {name: special.get(name, name) for name in names}


@contextmanager
def started(folder: Path) -> Iterator[tuple[str, str]]:
    """A workbench started as a newcomer starts it; its URL and its database's. It ends as it was told."""
    data_dir = folder / "data"
    with up(data_dir) as (process, url):
        yield url, Settings(data_dir=data_dir.resolve(), database_url=None, redis_url=None).database
    assert process.returncode == 0


@dataclass
class Windows:
    """Browser windows on one workbench. Everything that they ask of anybody else is written down."""

    browser: Browser
    url: str
    elsewhere: list[str] = field(default_factory=list)
    _contexts: list[BrowserContext] = field(default_factory=list)

    def open(self, path: str = "", *, width: int = 1280, height: int = 1000, **wanted: Any) -> Page:
        """A new window, sharing nothing with the others. `wanted` as in Playwright: timezone_id, color_scheme, …"""
        page = self.empty(width=width, height=height, **wanted)
        page.goto(f"{self.url}/{path}", wait_until="commit")  # several windows may load at once
        return page

    def empty(self, *, width: int = 1280, height: int = 1000, **wanted: Any) -> Page:
        """The same, before it went anywhere."""
        context = self.browser.new_context(viewport={"width": width, "height": height}, **wanted)
        context.set_default_timeout(PATIENCE_MS)
        context.on("request", self._asked)
        context.on("page", lambda page: page.on("websocket", lambda socket: self._note(socket.url)))
        self._contexts.append(context)
        return context.new_page()

    def close(self) -> None:
        for context in self._contexts:
            context.close()
        self._contexts.clear()

    def _asked(self, request: Request) -> None:
        self._note(request.url)

    def _note(self, url: str) -> None:
        ours = (self.url, self.url.replace("http", "ws", 1), "data:", "blob:")
        if not url.startswith(ours):
            self.elsewhere.append(url)


def drawn(page: Page) -> None:
    """Wait until a page's script has run and no part of it is an error."""
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=PATIENCE_MS)
    expect(page.get_by_role("heading", level=1).first).to_be_visible(timeout=PATIENCE_MS)
    expect(page.locator("[data-testid=stException]")).to_have_count(0)


def took(began: float) -> float:
    """Seconds since `began` by the monotonic clock."""
    return time.monotonic() - began
