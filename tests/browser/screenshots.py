"""Pictures of the pages for the README: `make screenshots`, while a workbench runs on the port given."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.chromium import launch
from tests.browser.house import drawn

FOLDER = Path("app/screenshots")
# Each page by its path and the height that it needs.
PAGES = {
    "now": ("", 1000),
    "sites": ("sites", 800),
    "site": ("site?site={site}&range=1h", 1750),
    "regions": ("regions", 1500),
    "health": ("health", 900),
}


def main(base: str, site: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright, launch(playwright) as browser:
        for name, (path, height) in PAGES.items():
            page = browser.new_page(viewport={"width": 1280, "height": height}, color_scheme="light")
            page.goto(f"{base}/{path.format(site=site)}")
            drawn(page)
            page.wait_for_timeout(3_000)  # charts animate in
            page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
