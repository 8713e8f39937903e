"""Real servers for every test that asks: one Postgres and one Valkey a session, a fresh database a module."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from pipeline.store.engine import migrate
from tests.harness import fresh_database
from workers import embedded, streams
from workers.embedded import Servers


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The embedded servers on a data dir of their own."""
    with embedded.running(tmp_path_factory.mktemp("data")) as running:
        yield running


@pytest.fixture(scope="session")
def template(servers: Servers) -> str:
    """The name of a migrated database to copy."""
    migrate(servers.database_url)
    return "betterstack"


@pytest.fixture(scope="module")
def dsn(servers: Servers, template: str) -> Iterator[str]:
    """A fresh, migrated database."""
    with fresh_database(servers, template) as url:
        yield url


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """An empty Valkey."""
    with Redis.from_url(servers.redis_url, **streams.options()) as client:
        client.flushall()
    return servers.redis_url


@pytest.fixture(scope="module")
def module_redis_url(servers: Servers) -> str:
    """An empty Valkey for a module whose fleet lives as long."""
    with Redis.from_url(servers.redis_url, **streams.options()) as client:
        client.flushall()
    return servers.redis_url


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users reach, which pytest's own is not."""
    folder = Path(tempfile.mkdtemp(prefix="workbench-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
