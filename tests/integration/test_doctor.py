"""`betterstack doctor` against real servers: all well, nothing running, Redis away, Postgres away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pipeline.declared import RegionIn
from pipeline.store.engine import plain_dsn
from pipeline.store.regions import create_region
from tests.harness import Fleet, eventually, now, writing

AWAY = "redis://someone:opensesame@127.0.0.1:1/0"
NOWHERE = "postgresql://someone:opensesame@127.0.0.1:1/x?connect_timeout=2"


@pytest.fixture(scope="module")
def regions(dsn: str) -> None:
    with writing(dsn) as connection:
        create_region(connection, RegionIn(key="eu"), now=now() - timedelta(minutes=1), actor="test")


@pytest.fixture
def house(dsn: str, redis_url: str, regions: None) -> Iterator[Fleet]:  # noqa: ARG001
    """Every role that a workbench needs."""
    with Fleet(dsn, redis_url) as fleet:
        for role in ("pusher", "recorder", "roller", "supervisor"):
            fleet.start(role)
        yield fleet


def doctor(dsn: str, redis_url: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    servers = {"BETTERSTACK_DATABASE_URL": dsn, "BETTERSTACK_REDIS_URL": redis_url}
    return subprocess.run(
        [sys.executable, "-m", "workers.cli", "doctor", *words],
        env={**os.environ, **servers, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def told(dsn: str, redis_url: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit status, and the parts by name."""
    found = doctor(dsn, redis_url, "--json")
    assert not found.stderr
    return found.returncode, {part["name"]: part for part in json.loads(found.stdout)["parts"]}


def test_a_well_house_gets_exit_status_0_and_a_table(dsn: str, redis_url: str, house: Fleet) -> None:
    assert house.running

    def well() -> bool:
        status, parts = told(dsn, redis_url)
        return status == 0 and all(part["grade"] == "well" for part in parts.values())

    eventually(well, seconds=40, what="a well house")
    found = doctor(dsn, redis_url, BETTERSTACK_SECRET_KEY="opensesame")
    assert found.returncode == 0
    assert ": ● well" in found.stdout
    for part in ("postgres", "pusher", "recorder", "roller", "supervisor", "prober eu", "redis", "streams eu"):
        assert f"● well  {part} " in found.stdout
    assert "->" not in found.stdout
    assert "opensesame" not in found.stdout
    assert "BETTERSTACK_SECRET_KEY" in found.stdout


def test_while_nothing_runs_each_part_says_what_to_do(dsn: str, redis_url: str, regions: None) -> None:  # noqa: ARG001
    with psycopg.connect(plain_dsn(dsn)) as connection:
        connection.execute("delete from workers")
        connection.execute("update pusher set beat_at = null")
    status, parts = told(dsn, redis_url)
    assert status == 1
    unwell = {name for name, part in parts.items() if part["grade"] == "unwell"}
    assert unwell >= {"pusher", "recorder", "roller", "prober eu", "streams eu"}
    assert parts["redis"]["grade"] == "well"
    assert "stream checks:{eu}" in parts["streams eu"]["message"]
    assert all(part["todo"] for part in parts.values() if part["grade"] != "well")


def test_with_redis_away_the_rest_is_told_all_the_same(dsn: str, regions: None) -> None:  # noqa: ARG001
    found = doctor(dsn, AWAY)
    assert found.returncode == 1
    assert "✕ redis: does not answer" in found.stdout
    assert "BETTERSTACK_REDIS_URL" in found.stdout
    assert "postgres " in found.stdout
    assert "redis://someone:***@127.0.0.1:1/0" in found.stdout
    assert "opensesame" not in found.stdout + found.stderr


def test_with_postgres_away_redis_is_told_all_the_same(redis_url: str) -> None:
    found = doctor(NOWHERE, redis_url)
    assert found.returncode == 1
    assert "✕ postgres: Postgres does not answer" in found.stdout
    assert "refused" in found.stdout
    assert "● well    redis " in found.stdout
    assert "opensesame" not in found.stdout + found.stderr


def test_on_a_data_dir_where_nothing_ever_ran_it_says_how_to_start_and_makes_nothing(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BETTERSTACK_")}
    command = [sys.executable, "-m", "workers.cli", "doctor", "--data-dir", str(tmp_path / "none")]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1
    assert "-> `betterstack up` starts everything on this machine" in found.stdout
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "none").exists()


def test_tables_that_are_not_there_are_told_with_the_command_that_makes_them(servers: Any, redis_url: str) -> None:
    empty = servers.database_url.replace("/betterstack?", "/postgres?")
    status, parts = told(empty, redis_url)
    assert status == 1
    assert parts["tables"]["message"] == "not there yet"
    assert any("betterstack migrate" in step for step in parts["tables"]["todo"])
