"""`betterstack lake …`: what lies in the lake, more of it now, and whether it is as it was written."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from pipeline.lake.files import LakeRoot, of_day
from pipeline.settings import Settings
from pipeline.store.ticks import ensure_partitions, store_ticks
from tests.harness import raw
from tests.integration.conftest import Run
from tests.integration.tickmaker import tick
from workers.commands.env import exported

DAY = datetime.now(UTC).date() - timedelta(days=3)


@pytest.fixture
def folder(store: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lake to be, beside one day of ticks."""
    monkeypatch.setenv("BETTERSTACK_LAKE", str(tmp_path))
    noon = datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC)
    with store.begin() as connection:
        ensure_partitions(raw(connection), [DAY])
        store_ticks(raw(connection), [tick(noon + timedelta(minutes=n)) for n in range(30)])
    return tmp_path


def test_the_roles_of_up_know_the_lake_in_its_data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "LAKE"):
        monkeypatch.delenv(f"BETTERSTACK_{name}", raising=False)
    told = exported(Settings(data_dir=tmp_path))
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert Settings().lake_root == LakeRoot.of(tmp_path / "lake")
    assert Settings(lake=None).lake_root is None  # servers of one's own, and no lake named: nothing is archived


def test_a_day_is_archived_listed_and_verified(run: Run, folder: Path) -> None:
    assert "0 days, 0 ticks" in run("lake", "status").stdout
    assert f"{DAY}: 30 ticks" in run("lake", "archive", str(DAY)).stdout
    assert {"sites.parquet", "regions.parquet", "ticks"} <= {path.name for path in folder.iterdir()}
    assert f"{DAY}" in run("lake", "status").stdout
    told = json.loads(run("lake", "status", "--json").stdout)
    assert [(each["day"], each["rows"], each["dropped_at"]) for each in told["days"]] == [(str(DAY), 30, None)]
    assert "1 of 1 days" in run("lake", "verify").stdout


def test_a_file_that_was_touched_is_told(run: Run, folder: Path) -> None:
    run("lake", "archive", str(DAY))
    (folder / of_day(DAY)).unlink()
    told = run("lake", "verify", status=1).stdout
    assert f"{DAY}: The lake at {folder} cannot be used" in told
    assert "0 of 1 days" in told


def test_a_day_that_is_not_over_is_refused(run: Run, folder: Path) -> None:
    assert "is not over yet" in run("lake", "archive", str(datetime.now(UTC).date()), status=2).stderr
    assert not (folder / "ticks").exists()


def test_without_a_lake_it_says_which_setting_names_one(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,  # noqa: ARG001 - a day that could be archived
) -> None:
    monkeypatch.delenv("BETTERSTACK_LAKE")
    assert "BETTERSTACK_LAKE names no lake" in run("lake", "status").stdout
    assert "BETTERSTACK_LAKE does not say where" in run("lake", "archive", status=2).stderr
