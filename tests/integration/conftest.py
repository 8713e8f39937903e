"""The command line in this process, on a store of its own, for the tests of commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner, Result

from pipeline.declared import RegionIn
from pipeline.ring import Ring
from pipeline.store import tables as t
from pipeline.store.engine import engine
from pipeline.store.regions import create_region
from workers.cli import command_line

Run = Callable[..., Result]
RING = Ring([b"k" * 44])


@pytest.fixture
def store(dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An empty store with the regions `eu` and `us`, which the environment names."""
    monkeypatch.setenv("BETTERSTACK_DATABASE_URL", dsn)
    monkeypatch.setenv("BETTERSTACK_REDIS_URL", "redis://localhost:1")
    monkeypatch.setenv("BETTERSTACK_SECRET_KEY", RING.keys[0].decode())
    opened = engine(dsn)
    emptied = ", ".join(sorted(set(t.metadata.tables) - {"workspaces", "pusher"}))
    with opened.begin() as connection:
        connection.execute(text(f"truncate {emptied} restart identity"))
        for key in ("eu", "us"):
            create_region(connection, RegionIn(key=key), now=datetime.now(UTC), actor="test")
    yield opened
    opened.dispose()


@pytest.fixture
def run(store: Engine) -> Run:  # noqa: ARG001 - it sets the environment
    """Run `betterstack …` in this process; a traceback fails the test."""

    def run(*words: str, typed: str | bytes | None = None, status: int = 0) -> Result:
        result = CliRunner().invoke(command_line(), words, input=typed)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == status, result.output
        return result

    return run


def lines(result: Result) -> list[list[str]]:
    """The table's rows as words, without its head."""
    return [line.split() for line in result.stdout.splitlines()[1:]]
