"""The data dir: ours alone, one supervisor at a time, and of a format that we know."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import UnavailableError
from pipeline.settings import socket_folder
from workers.embedded import version
from workers.embedded.daemon import Claim
from workers.embedded.identity import Identity

LEFTOVER_PATIENCE_S = 60.0  # a fast shutdown of Postgres writes a checkpoint first
POLL_S = 0.02
SAY_EVERY_S = 5.0


@contextmanager
def claimed(data_dir: Path, who: Identity, say: Callable[[str], None]) -> Iterator[Claim]:
    """Make the data dir ready and hold its lock; the servers are to inherit its descriptor."""
    _make(data_dir, who)
    lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _acquire(lock, data_dir, say)
        version.check(data_dir)
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        for name in ("logs", "valkey"):
            (data_dir / name).mkdir(mode=0o700, exist_ok=True)
        with _sockets_in(socket_folder(data_dir), who):
            yield Claim(data_dir, lock)
    finally:
        os.close(lock)


def _make(data_dir: Path, who: Identity) -> None:
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (data_dir / "lock").exists() and any(data_dir.iterdir()):
        raise UnavailableError(
            f"{data_dir} holds something else than the data of a Workbench. Choose a new or an empty --data-dir."
        )
    owner = data_dir.stat().st_uid
    if owner != os.geteuid():
        raise UnavailableError(
            f"{data_dir} belongs to uid {owner}, and you are uid {os.geteuid()}. "
            "Run as its owner, or choose another --data-dir."
        )
    # Another user's Postgres has to pass through to its own folder. It may pass, not look; each part is 0700.
    data_dir.chmod(0o711 if who.kind == "user" else 0o700)


def _acquire(lock: int, data_dir: Path, say: Callable[[str], None]) -> None:
    """The servers of a supervisor that was killed hold the lock until they have stopped: wait for those."""
    began = time.monotonic()
    said = began - SAY_EVERY_S + 1.0
    while not _try_lock(lock):
        holder = os.pread(lock, 20, 0).decode() or "unknown"
        now = time.monotonic()
        if _lives(holder) or now - began > LEFTOVER_PATIENCE_S:
            raise UnavailableError(
                f"A Workbench is running on {data_dir} already (pid {holder}). "
                "Stop it first, or choose another --data-dir."
            )
        if now - said >= SAY_EVERY_S:
            said = now
            say(f"Waiting for the servers of the run before (pid {holder}) to finish")
        time.sleep(POLL_S)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ProcessLookupError, ValueError):
        return False
    return True


@contextmanager
def _sockets_in(folder: Path, who: Identity) -> Iterator[None]:
    """It may lie in the temporary folder, where anybody could have been first: then nobody else's will do."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), who.owner[0]):
        raise UnavailableError(f"{folder} belongs to somebody else. Choose a --data-dir with a shorter path.")
    os.chown(folder, *who.owner, follow_symlinks=False)
    folder.chmod(0o700)
    yield
    with suppress(OSError):  # a server that had to be killed leaves its socket there
        folder.rmdir()
