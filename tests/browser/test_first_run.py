"""A newcomer's first minute, in a real browser, on `betterstack up` as a real process."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests.browser.chromium import found, launch
from tests.harness import Target

pytestmark = pytest.mark.skipif(found() is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, launch(playwright) as browser:
        yield browser


@pytest.fixture(scope="module")
def workbench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a workbench that was started as a newcomer starts it."""
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        port = chosen.getsockname()[1]
    folder: Path = tmp_path_factory.mktemp("up")
    command = [sys.executable, "-m", "workers.cli", "up", "--data-dir", str(folder / "data"), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Workbench ready" in line:
                break
        else:
            pytest.fail("it ended before it was ready")
        yield f"http://127.0.0.1:{port}"
        process.terminate()
        process.stdout.read()
        assert process.wait(timeout=12) == 0


def test_paste_urls_and_see_them_checked_from_two_regions(workbench: str, browser: Browser) -> None:
    elsewhere: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.on("request", lambda request: elsewhere.append(request.url) if not _ours(request.url, workbench) else None)
    with Target() as target:
        page.goto(workbench)
        page.get_by_role("textbox").first.fill(f"{target.url}/one\n{target.url}/two")
        page.get_by_role("textbox").first.press("Control+Enter")
        page.get_by_role("button", name=re.compile("Watch|Add|Start", re.IGNORECASE)).first.click()
        expect(page.get_by_text("local-a").first).to_be_visible(timeout=20_000)
        expect(page.get_by_text("local-b").first).to_be_visible(timeout=20_000)
        expect(page.get_by_text(re.compile(r"\d ms")).first).to_be_visible(timeout=20_000)
        page.goto(f"{workbench}/sites")
        expect(page.get_by_text("2 sites")).to_be_visible(timeout=20_000)
        assert target.requests >= 4
    assert elsewhere == []
    page.close()


def _ours(url: str, workbench: str) -> bool:
    return url.startswith((workbench, workbench.replace("http", "ws", 1), "data:", "blob:"))
