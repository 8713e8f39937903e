"""Debian's Chromium for Playwright, or whichever is on the PATH."""

from __future__ import annotations

import shutil

from playwright.sync_api import Browser, Playwright

ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run"]


def found() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def launch(playwright: Playwright) -> Browser:
    """Errors: RuntimeError where there is no Chromium."""
    path = found()
    if path is None:
        raise RuntimeError("no Chromium on the PATH: install it as `chromium`")
    return playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
