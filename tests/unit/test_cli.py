"""What the command line refuses before it starts anything, and what it hands to a shell."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.errors import WorkbenchError
from pipeline.settings import Settings
from workers import cli
from workers.commands.env import exported
from workers.commands.up import free_port, refuse_exposed
from workers.readiness import what_is_missing

HEAVY = ("polars", "sqlalchemy", "psycopg", "altair", "streamlit", "typer", "rich", "pyarrow", "pandas", "numpy")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in exported(Settings(database_url="postgresql://", redis_url="redis://")):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_it_listens_on_a_loopback_address(host: str) -> None:
    refuse_exposed(host, insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org", ""])
def test_it_refuses_to_let_others_in_unless_told_to(host: str) -> None:
    with pytest.raises(WorkbenchError, match="--insecure"):
        refuse_exposed(host, insecure=False)
    refuse_exposed(host, insecure=True)


def test_a_port_that_is_taken_is_refused_with_a_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(WorkbenchError, match=rf"port {port} .*--port 8600"):
            free_port("127.0.0.1", port)
    assert free_port("127.0.0.1", port) == port


def test_port_zero_takes_a_free_one() -> None:
    assert free_port("127.0.0.1", 0) > 0


@pytest.mark.parametrize(("named", "missing"), [("DATABASE", "REDIS"), ("REDIS", "DATABASE")])
def test_one_server_without_the_other_is_refused(named: str, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"BETTERSTACK_{named}_URL", "somewhere")
    with pytest.raises(WorkbenchError, match=f"BETTERSTACK_{missing}_URL is not"):
        cli.read_settings()


def test_a_setting_that_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETTERSTACK_PORT", "many")
    with pytest.raises(WorkbenchError, match=r"BETTERSTACK_PORT: .*integer"):
        cli.read_settings()


def test_env_prints_lines_that_a_shell_reads_back(tmp_path: Path) -> None:
    data_dir = tmp_path / "it's $HOME"
    result = CliRunner().invoke(cli.command_line(), ["env", "--data-dir", str(data_dir)])
    assert result.exit_code == 0
    words = [shlex.split(line) for line in result.stdout.splitlines()]
    assert {word[0] for word in words} == {"export"}
    told = dict(word[1].split("=", 1) for word in words)
    assert told["BETTERSTACK_DATA_DIR"] == str(data_dir)
    assert told["BETTERSTACK_REDIS_URL"] == Settings(data_dir=data_dir, redis_url=None).redis


def test_what_the_app_reports_missing_is_said_in_words() -> None:
    roller = {"name": "roller", "ok": False, "message": "not seen yet"}
    tables = {"name": "tables", "ok": True, "message": "of this version"}
    assert what_is_missing(json.dumps({"ok": False, "parts": [tables, roller]})) == "roller: not seen yet"
    assert what_is_missing("<html>") == ""
    assert what_is_missing('{"detail": "Not ready"}') == ""


def test_what_a_role_loads_before_its_own_module_is_light() -> None:
    script = f"""
import sys
from workers import cli
cli.import_module = lambda name: sys.exit(repr([name, *(heavy for heavy in {HEAVY} if heavy in sys.modules)]))
sys.argv = ["betterstack", "prober", "--region", "eu"]
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == "['workers.prober']"


@pytest.mark.parametrize(
    ("typed", "left"),
    [
        ("sites list --data-dir /there", ["sites", "list"]),
        ("--data-dir=/there apply -", ["apply", "-"]),
        ("pusher --data-dir /there", ["pusher"]),
        ("restore dump --data-dir /there", ["restore", "--data-dir", "/there", "dump"]),
        ("--data-dir /there up", ["up", "--data-dir", "/there"]),
    ],
)
def test_every_command_takes_a_data_dir_wherever_it_stands(
    typed: str, left: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BETTERSTACK_DATA_DIR", "/elsewhere")
    words = ["betterstack", *typed.split()]
    cli.take_data_dir(words)
    assert words == ["betterstack", *left]
    assert os.environ["BETTERSTACK_DATA_DIR"] == "/there"


@pytest.mark.parametrize("typed", ["sites add x -- --data-dir /there", "sites list --data-dir", "sites list"])
def test_what_names_no_data_dir_is_left_alone(typed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETTERSTACK_DATA_DIR", "/elsewhere")
    words = typed.split()
    cli.take_data_dir(words)
    assert words == typed.split()
    assert os.environ["BETTERSTACK_DATA_DIR"] == "/elsewhere"
