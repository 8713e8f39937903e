"""Scheduled exports: each period once, when it is over; what fails says so and is made up for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from sqlalchemy import Engine

from pipeline.declared import SiteIn
from pipeline.store.scheduled_exports import list_exports
from pipeline.store.sites import create_sites
from tests.integration.conftest import Run
from workers.export_clerk import RETRY, SETTLED, make

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)


def dsn_of(store: Engine) -> str:
    return store.url.render_as_string(hide_password=False)


def at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


def test_a_file_a_day_once_the_day_is_over(run: Run, store: Engine, tmp_path: Path) -> None:
    with store.begin() as connection:
        create_sites(connection, [SiteIn(key="shop", url="https://shop.example")], now=datetime.now(UTC), actor="test")
    folder = tmp_path / "daily"
    run("exports", "add", "daily", "--to", str(folder), "--what", "verdicts")
    assert make(dsn_of(store), at(MIDNIGHT + SETTLED - timedelta(seconds=1))) == 0
    assert make(dsn_of(store), at(MIDNIGHT + SETTLED)) == 1
    assert make(dsn_of(store), at(MIDNIGHT + SETTLED)) == 0
    assert make(dsn_of(store), at(MIDNIGHT + timedelta(days=3, hours=1))) == 3
    names = [f"daily-{MIDNIGHT.date() + timedelta(days=n)}.csv" for n in (-1, 0, 1, 2)]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert "site" in pl.read_csv(folder / names[0]).columns
    [listed] = run("exports", "list").stdout.splitlines()[1:]
    assert "daily" in listed


def test_what_fails_says_so_and_is_made_up_for(run: Run, store: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_text("in the way")
    run("exports", "add", "daily", "--to", str(folder), "--what", "ticks", "--format", "parquet")
    late = MIDNIGHT + timedelta(hours=1)
    assert make(dsn_of(store), at(late)) == 0
    with store.begin() as connection:
        [failed] = list_exports(connection)
    assert failed.last_error
    assert failed.last_until is None
    folder.unlink()
    assert make(dsn_of(store), at(late + RETRY - timedelta(seconds=1))) == 0
    assert make(dsn_of(store), at(late + RETRY)) == 1
    with store.begin() as connection:
        [mended] = list_exports(connection)
    assert mended.last_error is None
    assert mended.last_until == MIDNIGHT


def test_bad_ones_are_refused_by_name(run: Run, tmp_path: Path) -> None:
    to = ["--to", str(tmp_path)]
    assert "no time zone" in run("exports", "add", "a", *to, "--tz", "Mars/Base", status=2).output
    assert "no site 'nope'" in run("exports", "add", "a", *to, "--site", "nope", status=2).output
    assert "export rollups" in run("exports", "add", "a", *to, "--format", "openmetrics", status=2).output
    run("exports", "add", "a", *to)
    assert "already" in run("exports", "add", "a", *to, status=2).output
    run("exports", "remove", "a")
    assert "no scheduled export" in run("exports", "remove", "a", status=2).output
