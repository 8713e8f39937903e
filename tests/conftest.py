"""Real servers for every test that asks: one Postgres and one Valkey a session, a fresh database a module."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from redis import Redis

from pipeline.store.engine import migrate
from tests.harness import fresh_database
from workers import embedded, streams
from workers.embedded import Servers

settings.register_profile("house", deadline=None)  # a machine that does three things at once is no slow code
settings.load_profile("house")
# Outside of Streamlit's server a cache is a plain one, and each process that imports the pages says so twenty times.
logging.getLogger("streamlit.runtime.caching.cache_data_api").addFilter(lambda said: "No runtime" not in said.msg)

# Folders whose tests each take a machine for themselves: one process runs them, one after the other.
ALONE = {"browser", "chaos"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For `--dist loadgroup`: a file's tests stay in one process, and so share its database and its servers."""
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group(folder if folder in ALONE else f"{folder}/{item.path.stem}"))


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
