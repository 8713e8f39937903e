"""`betterstack report sla` on a small store: what it refuses, and that a file is whole or not there."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pipeline.declared import SiteIn
from pipeline.report import html, sla
from pipeline.store.sites import create_sites
from tests.integration.conftest import Run

NOW = datetime.now(UTC)


@pytest.fixture
def shop(store: Engine) -> str:
    with store.begin() as connection:
        create_sites(connection, [SiteIn(key="shop", url="https://shop.example/", tags=["web"])], now=NOW, actor="test")
    return "shop"


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--site", "nix"], "there is no site 'nix'"),
        (["--tag", "nix"], "no site has the tag 'nix'"),
        (["--site", "shop", "--tag", "web"], "--site, --tag: name a site or a tag, not both"),
        (["--month", "2026-13"], "--month: '2026-13' is no month; write it as in 2026-10"),
        (["--month", "2199-01"], "--month: '2199-01' has not begun yet in UTC"),
        (["--tz", "Mars/Olympus"], "--tz: there is no time zone 'Mars/Olympus'"),
        (["--policy", "nobody"], "there is no policy 'nobody'"),
    ],
)
def test_what_cannot_be_reported_is_said_and_no_file_is_left(
    run: Run, words: list[str], told: str, tmp_path: Path
) -> None:
    result = run("report", "sla", *words, "--out", str(tmp_path / "report.html"), status=2)
    assert told in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("store")
def test_without_a_site_there_is_nothing_to_report_on(run: Run) -> None:
    assert "there is no site to report on" in run("report", "sla", "--format", "ipynb", status=2).stderr


def test_without_what_draws_charts_it_says_what_to_install(
    run: Run, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "can_draw", lambda: False)
    assert "make report" in run("report", "sla", "--site", shop, status=2).stderr


def test_the_notebook_needs_no_more_than_the_runtime(
    run: Run, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(html, "can_draw", lambda: False)
    out = tmp_path / "report.ipynb"
    run("report", "sla", "--tag", "web", "--month", f"{NOW:%Y-%m}", "--format", "ipynb", "--out", str(out))
    words = out.read_text()
    assert json.loads(words)["nbformat"] == 4
    assert shop in words
    assert "1 sites" not in words


def test_a_report_that_fails_leaves_the_file_before_it(
    run: Run, shop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "report.html"
    out.write_text("the last one")

    def broken(*_: object) -> str:
        raise RuntimeError("in the middle")

    monkeypatch.setattr(sla, "run", broken)
    with pytest.raises(RuntimeError, match="in the middle"):
        run("report", "sla", "--site", shop, "--month", f"{NOW:%Y-%m}", "--out", str(out))
    assert out.read_text() == "the last one"
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_folder_that_is_not_there_is_said(run: Run, shop: str, tmp_path: Path) -> None:
    out = tmp_path / "nowhere" / "report.html"
    result = run("report", "sla", "--site", shop, "--month", f"{NOW:%Y-%m}", "--out", str(out), status=2)
    assert "cannot be written: No such file or directory" in result.stderr


def test_a_site_that_nobody_has_checked_yet_claims_nothing(run: Run, shop: str, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    run("report", "sla", "--site", shop, "--month", f"{NOW:%Y-%m}", "--out", str(out))
    assert "Nothing is known of this time." in out.read_text()
