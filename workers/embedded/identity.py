"""Who Postgres runs as: it refuses root, and its initdb refuses a uid without a name."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pipeline.errors import UnavailableError
from workers import launch

# A dedicated user first. Any of them has a name, and that is all which a namespace needs.
CANDIDATES = ("postgres", "nobody", "daemon")


class Identity(NamedTuple):
    """How the launcher changes itself (`kind`, `uid`, `gid`), and who then owns the files it writes."""

    kind: Literal["same", "namespace", "user"]
    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.uid}:{self.gid}"

    @property
    def owner(self) -> tuple[int, int]:
        return (self.uid, self.gid) if self.kind == "user" else (os.geteuid(), os.getegid())


SAME = Identity("same", 0, 0)


def for_postgres() -> Identity:
    """Ourselves where Postgres accepts us; else ourselves under another number; else, as root, another user."""
    root = os.geteuid() == 0
    if not root and _has_name(os.geteuid()):
        return SAME
    entry = _named_user()
    namespace = Identity("namespace", entry.pw_uid, entry.pw_gid)
    if namespaces_work(namespace):
        return namespace
    return Identity("user", entry.pw_uid, entry.pw_gid) if root else SAME


def namespaces_work(identity: Identity) -> bool:
    """Try it: containers, kernels and security modules each have their own way to forbid user namespaces."""
    if sys.platform != "linux":
        return False
    trial = launched([], Path("/"), signal.SIGTERM, identity)
    return subprocess.run(trial, check=False, capture_output=True).returncode == 0  # noqa: S603 (our own command line)


def launched(command: Sequence[str], folder: Path, stop_signal: signal.Signals, who: Identity) -> list[str]:
    """The command line that becomes `command`, in `folder`, as `who`, and gets `stop_signal` when we end."""
    script = [sys.executable, "-I", "-S", launch.__file__]
    return [*script, str(os.getpid()), str(int(stop_signal)), str(who), str(folder), *command]


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _named_user() -> pwd.struct_passwd:
    for name in CANDIDATES:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise UnavailableError(
        f"Postgres refuses to run as uid {os.geteuid()}, and there is none of the users {', '.join(CANDIDATES)} here. "
        "Add one of them, or run as an ordinary user."
    )
