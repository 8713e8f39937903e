"""Networks of their own on this machine: a target in one namespace, reached from two others over wires of their own.

Every address lies in a namespace that is made here, so the machine's own network is as before.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PREFIX = "bsw-test-"
NAMED = Path("/run/netns")
CLONE_NEWNET = 0x40000000
TARGET = "10.213.0.1"


class Place(NamedTuple):
    """A namespace, and the address that its packets come from."""

    namespace: str
    address: str

    def command(self, *command: str) -> list[str]:
        """The same command, run there; the process keeps its id."""
        return ["ip", "netns", "exec", self.namespace, *command]


class NotAllowedError(Exception):
    """This machine makes no namespaces for us; the message says why."""


@contextmanager
def places(count: int) -> Iterator[tuple[socket.socket, list[Place]]]:
    """A listener that all the places reach at one address. Errors: NotAllowedError."""
    if shutil.which("ip") is None:
        raise NotAllowedError("iproute2 is not installed")
    _sweep()
    names = [f"{PREFIX}{os.getpid()}-{number}" for number in range(count + 1)]
    try:
        yield _built(names[0], names[1:])
    finally:
        for name in names:  # its wires, addresses and routes go with it
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def _built(middle: str, names: list[str]) -> tuple[socket.socket, list[Place]]:
    ip("netns", "add", middle)
    ip("-n", middle, "link", "set", "lo", "up")
    ip("-n", middle, "address", "add", f"{TARGET}/32", "dev", "lo")
    found = []
    for number, name in enumerate(names, start=1):
        near, far = f"10.213.{number}.2", f"10.213.{number}.1"
        ip("netns", "add", name)
        ip("-n", middle, "link", "add", f"to{number}", "type", "veth", "peer", "name", "out", "netns", name)
        for namespace, device, address in ((middle, f"to{number}", far), (name, "out", near)):
            ip("-n", namespace, "address", "add", f"{address}/30", "dev", device)
            ip("-n", namespace, "link", "set", device, "up")
        ip("-n", name, "route", "add", TARGET, "via", far)
        found.append(Place(name, near))
    return _listening(middle), found


def ip(*words: str) -> None:
    """The command of that name. Errors: NotAllowedError."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotAllowedError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _listening(namespace: str) -> socket.socket:
    """A listener in there. A socket stays where it was made, a thread may go there alone."""
    made: list[socket.socket] = []

    def make() -> None:
        with (NAMED / namespace).open("rb") as entry:
            if ctypes.CDLL(None).setns(entry.fileno(), CLONE_NEWNET) == 0:
                made.append(socket.create_server((TARGET, 0)))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if not made:
        raise NotAllowedError(f"this process may not enter {namespace}")
    return made[0]


def _sweep() -> None:
    """What a run that was killed left behind."""
    for left in NAMED.glob(f"{PREFIX}*"):
        if not Path("/proc", left.name.removeprefix(PREFIX).partition("-")[0]).exists():
            subprocess.run(["ip", "netns", "delete", left.name], capture_output=True, check=False)
