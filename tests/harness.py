"""What tests and benches share: roles as real processes, a target to probe, and the audit of the ledger."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self, TypeVar

import psycopg
import pytest
from sqlalchemy import Connection

from pipeline.declared import SiteIn
from pipeline.schedule import slots
from pipeline.store.engine import engine, plain_dsn
from pipeline.store.schedule import revisions_until
from pipeline.store.sites import create_sites
from workers.embedded import Servers

T = TypeVar("T")
_numbers = itertools.count(1)


def eventually(look: Callable[[], T], *, seconds: float = 20.0, what: str = "it") -> T:
    """The first true value that `look` returns; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"{what} did not come within {seconds} s"
        time.sleep(0.05)
    return found


def now() -> datetime:
    return datetime.now(UTC)


class fresh_database:  # noqa: N801 - reads as a function
    """A copy of the template, dropped at the end whoever is still connected."""

    def __init__(self, servers: Servers, template: str) -> None:
        self._admin = plain_dsn(servers.database_url).replace("/betterstack?", "/postgres?")
        self._template = template
        self._name = f"test_{next(_numbers)}"
        self._url = servers.database_url.replace("/betterstack?", f"/{self._name}?")

    def __enter__(self) -> str:
        self._run(f"create database {self._name} template {self._template}")
        return self._url

    def __exit__(self, *_: object) -> None:
        self._run(f"drop database {self._name} with (force)")

    def _run(self, statement: str) -> None:
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute(statement.encode())


class Fleet:
    """Roles as processes against named servers; ended at the end whatever happens."""

    def __init__(self, dsn: str, redis_url: str, **environment: str) -> None:
        self.dsn, self.redis_url = dsn, redis_url
        self._environment = {
            **os.environ,
            "BETTERSTACK_DATABASE_URL": dsn,
            "BETTERSTACK_REDIS_URL": redis_url,
            "BETTERSTACK_PRIVATE_TARGETS": "allow",  # what tests probe is on this machine
            **environment,
        }
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *role: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a role, such as `start("prober", "--region", "eu")`."""
        command = [sys.executable, "-m", "workers.cli", *role]
        process = subprocess.Popen(command, env={**self._environment, **environment})
        self.running.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes], signum: int = signal.SIGTERM) -> int:
        process.send_signal(signum)
        code = process.wait(timeout=15)
        self.running.remove(process)
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.running:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.running:
            try:
                process.wait(timeout=12)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=5)


@contextmanager
def up(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The product as a newcomer starts it: the process, and the URL that it printed."""
    command = [sys.executable, "-m", "workers.cli", "up", "--data-dir", str(data_dir), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line)
                if "Workbench ready" in line:
                    break
            else:
                pytest.fail("it ended before it was ready: " + "".join(lines))
            yield process, line.split()[-1]
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=20)


class Target:
    """An HTTP server of ours in a thread: 200 for every path, 503 below `/down`, silence below `/hang`."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.requests = 0
        self.port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        server = self._loop.run_until_complete(asyncio.start_server(self._answer, "127.0.0.1", 0, backlog=1024))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        # What was accepted last has to become a connection first: a task that never began leaves its socket open.
        self._loop.run_until_complete(asyncio.sleep(0.01))
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode()
            self.requests += 1
            if path.startswith("/hang"):
                await reader.read()
            status = "503 Unavailable" if path.startswith("/down") or path in self.down else "200 OK"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()


@contextmanager
def writing(dsn: str) -> Iterator[Connection]:
    """A transaction on the store."""
    store = engine(dsn)
    try:
        with store.begin() as connection:
            yield connection
    finally:
        store.dispose()


def raw(connection: Connection) -> psycopg.Connection:
    """The psycopg connection under SQLAlchemy's."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def add_sites(dsn: str, urls: Sequence[str], *, key_prefix: str = "s", **fields: object) -> None:
    """Watch `urls` as `s0`, `s1`, …; further fields as in SiteIn."""
    sites = [SiteIn.model_validate({"key": f"{key_prefix}{n}", "url": url, **fields}) for n, url in enumerate(urls)]
    with writing(dsn) as connection:
        create_sites(connection, sites, now=now(), actor="test")


class Audit(NamedTuple):
    """The ledger over a window: slots called for, those without a tick, and ticks nobody called for."""

    expected: int
    missing: int
    ghosts: int
    by_outcome: dict[str, int]


def audit(dsn: str, since: datetime, until: datetime) -> Audit:
    """Recompute from the revisions what should have happened in [since, until), and hold the ticks against it."""
    from pipeline.vocabulary import Outcome

    outcomes = list(Outcome)
    with psycopg.connect(plain_dsn(dsn)) as connection:
        sites = [row[0] for row in connection.execute("select id from sites")]
        revisions = revisions_until(connection, sites, until)
        wanted = {(s.revision.site_id, s.revision.region_id, s.scheduled_at) for s in slots(revisions, since, until)}
        rows = connection.execute(
            "select site_id, region_id, scheduled_at, outcome from slot_ticks"
            " where scheduled_at >= %s and scheduled_at < %s",
            [since, until],
        ).fetchall()
    found = {(site, region, at) for site, region, at, _ in rows}
    assert len(found) == len(rows), "a slot has two ticks"
    counts: dict[str, int] = {}
    for *_, outcome in rows:
        counts[outcomes[outcome]] = counts.get(outcomes[outcome], 0) + 1
    return Audit(len(wanted), len(wanted - found), len(found - wanted), counts)


def rows_of(dsn: str, query: str, *parameters: object) -> list[tuple[object, ...]]:
    with psycopg.connect(plain_dsn(dsn)) as connection:
        return connection.execute(query.encode(), parameters).fetchall()


def count(dsn: str, query: str, *parameters: object) -> int:
    [(number,)] = rows_of(dsn, query, *parameters)
    assert isinstance(number, int)
    return number


@contextmanager
def printed(result: dict[str, object], *, as_json: bool) -> Iterator[None]:
    """Print a bench's object at the end."""
    yield
    print(json.dumps(result, indent=None if as_json else 2, default=str))
