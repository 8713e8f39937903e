"""`betterstack regions edit` and `betterstack region join-command`, in words: what is done, and what to do instead."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from pipeline.declared import RegionIn
from pipeline.store.regions import create_region
from tests.harness import now, rows_of, writing
from workers.cli import command_line

Run = Callable[..., Result]
SECRET = "a-secret-key-that-is-long-enough-for-tests"


@pytest.fixture
def run(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `betterstack …` in this process on servers of one's own; a traceback fails the test."""
    monkeypatch.setenv("BETTERSTACK_DATABASE_URL", dsn)
    monkeypatch.setenv("BETTERSTACK_REDIS_URL", "rediss://default:our-own-password@redis.example.org:6380")
    monkeypatch.setenv("BETTERSTACK_SECRET_KEY", SECRET)

    def run(*words: str, status: int = 0) -> Result:
        result = CliRunner().invoke(command_line(), words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    return run


@pytest.fixture(scope="module", autouse=True)
def regions(dsn: str) -> None:
    with writing(dsn) as connection:
        create_region(connection, RegionIn(key="eu", managed=False), now=now(), actor="test")
        create_region(connection, RegionIn(key="here"), now=now(), actor="test")


def test_what_is_printed_is_a_script_that_a_shell_reads(run: Run) -> None:
    printed = run("region", "join-command", "eu").stdout
    words = shlex.split(printed, comments=True)
    exports = dict(word.split("=", 1) for before, word in itertools.pairwise(words) if before == "export")
    told = json.loads(run("regions", "join-command", "eu", "--json").stdout)
    assert exports == told["environment"]
    assert exports["BETTERSTACK_REDIS_URL"].startswith("rediss://region-eu:")
    assert exports["BETTERSTACK_REDIS_URL"].endswith("@redis.example.org:6380")
    assert words[-4:] == told["command"] == ["betterstack", "prober", "--region", "eu"]
    assert f"# {shlex.join(told['container'])}" in printed
    assert "our-own-password" not in printed
    assert SECRET not in printed


def test_a_rotation_gives_another_set_and_is_written_down(run: Run, dsn: str) -> None:
    before = json.loads(run("region", "join-command", "eu", "--json").stdout)
    rotated = run("region", "join-command", "eu", "--rotate", "--json")
    after = json.loads(rotated.stdout)
    assert after["generation"] == before["generation"] + 1
    assert not set(after["environment"].values()) & set(before["environment"].values())
    assert "useless within seconds" in rotated.stderr
    audited = rows_of(dsn, "select actor, subject from audit where action = 'region_access_rotated'")
    assert audited == [("cli", "eu")]


def test_what_cannot_be_joined_is_refused_with_a_way_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = run("region", "join-command", "atlantis", status=2).stderr
    assert "there is no region 'atlantis'; there are: eu, here" in refused
    refused = run("region", "join-command", "here", status=2).stderr
    assert "betterstack regions edit here --elsewhere" in refused
    monkeypatch.setenv("BETTERSTACK_PUBLIC_REDIS_URL", "redis://redis.example.org")
    generation = json.loads(run("region", "join-command", "eu", "--insecure", "--json").stdout)["generation"]
    refused = run("region", "join-command", "eu", "--rotate", status=2).stderr
    assert "serve Redis over TLS" in refused
    monkeypatch.delenv("BETTERSTACK_SECRET_KEY")
    refused = run("region", "join-command", "eu", "--rotate", "--insecure", status=2).stderr
    assert "set BETTERSTACK_SECRET_KEY" in refused
    monkeypatch.setenv("BETTERSTACK_SECRET_KEY", SECRET)
    still = json.loads(run("region", "join-command", "eu", "--insecure", "--json").stdout)["generation"]
    assert still == generation, "what was refused has rotated nothing"


def test_a_region_is_moved_elsewhere_and_back_and_scaled(run: Run) -> None:
    moved = run("regions", "edit", "here", "--elsewhere", "--proxy=http://p:1", "--resolver=1.1.1.1").stdout
    assert "What to run there: betterstack region join-command here" in moved
    run("region", "join-command", "here")
    before = json.loads(run("region", "join-command", "here", "--insecure", "--json").stdout)["generation"]
    back = ("--here", "--proxy=", "--resolver=", "--min-probers=2", "--max-probers=8", "--json")
    found = json.loads(run("regions", "edit", "here", *back).stdout)
    assert found == {
        "key": "here",
        "name": "here",
        "managed": True,
        "source_address": None,
        "proxy": None,
        "resolvers": [],
        "references": [],
        "min_probers": 2,
        "max_probers": 8,
    }
    run("regions", "edit", "here", "--elsewhere")
    again = json.loads(run("region", "join-command", "here", "--insecure", "--json").stdout)["generation"]
    assert again > before, "who could sign in when it was elsewhere before cannot any more"
    run("regions", "edit", "here", "--here")
    assert "raise the one or lower the other" in run("regions", "edit", "here", "--max-probers=1", status=2).stderr
    assert "--max-probers: " in run("regions", "edit", "here", "--max-probers=99", status=2).stderr
    assert "name what is to change" in run("regions", "edit", "here", status=2).stderr


def test_the_second_name_of_the_group_is_not_listed_twice(run: Run) -> None:
    listed = [line.split()[1] for line in run("--help").stdout.splitlines() if line.startswith("│ region")]
    assert listed == ["regions"]
