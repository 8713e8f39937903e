"""The embedded servers, with real binaries: they start, keep what was committed, and leave nobody behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from pipeline.errors import UnavailableError
from pipeline.settings import LONGEST_SOCKET_FOLDER, Settings, socket_folder
from tests.harness import eventually
from workers import embedded
from workers.embedded import Servers, identity

ROOT = Path(__file__).parents[2]
NOBODY = 65534
AS_ROOT = os.geteuid() == 0
PATHS = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])}
HOLDER = """
import sys
from pathlib import Path
from workers import embedded
with embedded.running(Path(sys.argv[1])) as servers:
    print(servers.database_url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(data_dir: Path, python: str = sys.executable, user: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs the servers until its input ends."""
    command = [python, "-c", HOLDER, str(data_dir)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=PATHS, **as_user(user)) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("postgresql://")
        yield process


def as_user(user: int | None) -> dict[str, Any]:
    return {} if user is None else {"user": user, "group": user, "extra_groups": [], "cwd": "/"}


def python_for(user: int) -> str:
    """An interpreter of our version which that user may run: ours may lie in somebody's home."""
    system = shutil.which("python3", path=os.defpath) or sys.executable
    for python in (sys.executable, system):
        trial = [python, "-c", f"import sys, psycopg; assert sys.version_info[:2] == {sys.version_info[:2]}"]
        with suppress(OSError):
            if subprocess.run(trial, check=False, capture_output=True, env=PATHS, **as_user(user)).returncode == 0:
                return python
    pytest.skip("no interpreter here that another user may run")


def count(servers: Servers) -> tuple[int, int]:
    """Add one to either server; what they hold then."""
    with psycopg.connect(servers.database_url) as connection:
        connection.execute("create table if not exists marks (at timestamptz default now())")
        connection.execute("insert into marks default values")
        marks = connection.execute("select count(*) from marks").fetchone()
    client = redis.Redis.from_url(servers.redis_url)
    counted = client.incr("marks")
    client.close()
    assert marks is not None
    return int(marks[0]), int(str(counted))


def family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_it_starts_where_the_settings_say_and_keeps_what_was_written(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", database_url=None, redis_url=None)
    with embedded.running(settings.data_dir) as servers:
        assert (servers.database_url, servers.redis_url) == (settings.database, settings.redis)
        assert count(servers) == (1, 1)
    with embedded.running(settings.data_dir) as servers:
        assert count(servers) == (2, 2)


def test_it_listens_on_no_network_and_lets_nobody_else_in(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with embedded.running(data_dir) as servers:
        for daemon in (servers.postgres, servers.valkey):
            assert [
                connection for process in family(daemon.pid) for connection in process.net_connections("inet")
            ] == []
        folders = [path for path in data_dir.iterdir() if path.is_dir()]
        assert {path.name for path in folders} == {"logs", "postgres", "run", "valkey"}
        assert {mode(path) for path in (data_dir, *folders)} == {0o700}


def test_it_is_durable(tmp_path: Path) -> None:
    with embedded.running(tmp_path / "data") as servers:
        with psycopg.connect(servers.database_url) as connection:
            assert connection.execute("select current_setting('fsync'), current_setting('timezone')").fetchone() == (
                "on",
                "UTC",
            )
        client = redis.Redis.from_url(servers.redis_url, decode_responses=True)
        policy = client.config_get("*a[pz][pp]*")
        client.close()
        assert policy["appendonly"] == "yes"
        assert policy["appendfsync"] == "everysec"


def test_nobody_survives_a_parent_that_was_killed(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with embedded.running(data_dir) as servers:
        count(servers)
    with holder(data_dir) as process:
        started = family(process.pid)
        assert len(started) > 5  # Postgres has a family of its own
        process.kill()
        _, alive = psutil.wait_procs(started[1:], timeout=20)
        assert alive == []
    with embedded.running(data_dir) as servers:
        assert count(servers) == (2, 2)


def test_a_start_right_after_a_kill_waits_for_the_servers_left_behind(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with holder(data_dir) as process:
        process.kill()
        process.wait()
        with embedded.running(data_dir) as servers:
            assert count(servers) == (1, 1)


def test_a_server_that_was_killed_comes_back_with_every_committed_row(tmp_path: Path) -> None:
    with embedded.running(tmp_path / "data") as servers:
        assert count(servers) == (1, 1)
        killed = psutil.Process(servers.postgres.pid)
        killed.kill()
        killed.wait(10)
        assert servers.revive() == ["Postgres"]
        # What the killed one left behind may hold its memory for a moment; then the next one is started, as in `up`.
        eventually(lambda: not servers.revive() and embedded.postgres.ready(servers.postgres), what="Postgres")
        assert count(servers) == (2, 2)


def test_a_stale_pid_file_that_names_a_living_stranger_is_no_hindrance(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    pid_file = data_dir / "postgres" / "postmaster.pid"
    with embedded.running(data_dir):
        lines = pid_file.read_text().splitlines()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
        with embedded.running(data_dir) as servers:
            assert count(servers) == (1, 1)
        assert stranger.poll() is None
        stranger.kill()


def test_a_second_start_is_refused_and_names_the_first(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with (
        embedded.running(data_dir) as servers,
        pytest.raises(UnavailableError, match=rf"running on .* already \(pid {os.getpid()}\)"),
        embedded.running(data_dir),
    ):
        pass
    assert not servers.postgres.alive()


def test_a_deep_data_dir_has_its_sockets_in_the_temporary_folder(tmp_path: Path) -> None:
    data_dir = tmp_path.joinpath(*["deep"] * (LONGEST_SOCKET_FOLDER // 5)) / "data, of 'mine'"
    sockets = socket_folder(data_dir)
    with embedded.running(data_dir) as servers:
        assert sockets.parent == Path(tempfile.gettempdir())
        assert mode(sockets) == 0o700
        assert count(servers) == (1, 1)
    assert not sockets.exists()


def test_a_socket_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    data_dir = tmp_path.joinpath(*["deep"] * (LONGEST_SOCKET_FOLDER // 5))
    sockets = socket_folder(data_dir)
    sockets.symlink_to(tmp_path, target_is_directory=True)
    try:
        with pytest.raises(UnavailableError, match="belongs to somebody else"), embedded.running(data_dir):
            pass
    finally:
        sockets.unlink()


def test_a_first_start_that_was_interrupted_is_done_again(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    half_done = data_dir / "postgres.new"
    half_done.mkdir(parents=True)
    (half_done / "PG_VERSION").write_text("18\n")
    (data_dir / "lock").touch()
    with embedded.running(data_dir) as servers:
        assert count(servers) == (1, 1)
    assert not half_done.exists()


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").touch()
    before = mode(tmp_path)
    with pytest.raises(UnavailableError, match="holds something else"), embedded.running(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    assert mode(tmp_path) == before


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("format 2\npostgres 18\n", r"newer Workbench \(format 2, this one knows 1\)"),
        ("format 1\npostgres 17\n", r"older Workbench \(postgres 17, this one needs 18\)"),
        ("", r"older Workbench \(format 0"),
    ],
)
def test_data_of_another_version_is_not_touched(tmp_path: Path, version: str, message: str) -> None:
    (tmp_path / "lock").touch()
    (tmp_path / "VERSION").write_text(version)
    with pytest.raises(UnavailableError, match=message), embedded.running(tmp_path):
        pass
    assert not (tmp_path / "postgres").exists()


def test_a_server_that_cannot_start_shows_the_end_of_its_log(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with embedded.running(data_dir):
        pass
    with (data_dir / "postgres" / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(UnavailableError, match="no_such_setting"), embedded.running(data_dir):
        pass


@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user runs all the other tests already")
def test_an_ordinary_user_can_run_it(open_folder: Path) -> None:
    os.chown(open_folder, NOBODY, NOBODY)
    with holder(open_folder / "data", python_for(NOBODY), NOBODY) as process:
        assert {member.uids().effective for member in family(process.pid)} == {NOBODY}
        process.send_signal(signal.SIGINT)
    assert (open_folder / "data" / "postgres").stat().st_uid == NOBODY


@pytest.mark.skipif(not AS_ROOT, reason="only root has to become somebody else")
def test_root_without_user_namespaces_becomes_another_user(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_dir = open_folder / "data"
    with embedded.running(data_dir) as servers:
        count(servers)
        assert (data_dir / "postgres").stat().st_uid == 0
    with monkeypatch.context() as patch:
        patch.setattr(identity, "namespaces_work", lambda _identity: False)
        with embedded.running(data_dir) as servers:
            assert count(servers) == (2, 2)
            owner = (data_dir / "postgres").stat().st_uid
            assert owner != 0
            assert {member.uids().effective for member in family(servers.postgres.pid)} == {owner}
            assert mode(data_dir) == 0o711
            assert {mode(path) for path in data_dir.iterdir() if path.is_dir()} == {0o700}
    with embedded.running(data_dir) as servers:
        assert count(servers) == (3, 3)
        assert (data_dir / "postgres").stat().st_uid == 0


@pytest.mark.skipif(not AS_ROOT, reason="only root has to become somebody else")
def test_another_user_who_cannot_pass_a_parent_says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "namespaces_work", lambda _identity: False)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(UnavailableError, match="May not enter /") as caught, embedded.running(closed / "data"):
        pass
    assert re.search(r"Run as that user", str(caught.value))
    assert mode(closed) == 0o700
