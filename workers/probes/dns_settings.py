"""What this machine says of names: its resolvers and search domains (`resolv.conf`), and its own table (`hosts`).

Read anew where a file was changed. Not asked are other sources that `nsswitch.conf` may name (mDNS for `.local`,
`myhostname`, LDAP): they are no DNS, and blocking calls into the C library.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Generic, NamedTuple, TypeVar

RESOLV_CONF, HOSTS = Path("/etc/resolv.conf"), Path("/etc/hosts")
LOOKED_AT_EVERY_S = 1.0
MOST_SERVERS = 3  # as in the C library: who is down must not keep everybody waiting for a fourth
MOST_DOMAINS = 6
MOST_DOTS = 15
LARGEST_FILE = 4 << 20  # of a table of names: a block list is no longer
PORT = 53

SocketAddress = tuple[str, int] | tuple[str, int, int, int]
T = TypeVar("T")


class Server(NamedTuple):
    """A resolver: its address as a socket takes it."""

    family: socket.AddressFamily
    address: SocketAddress

    def __str__(self) -> str:
        host, port = self.address[:2]
        return host if port == PORT else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Settings(NamedTuple):
    """What a `resolv.conf` says, as far as we take it.

    Not taken are `timeout` and `attempts`, whole seconds made for those who give up: we ask anew sooner, and the
    check's deadline ends it. `use_tcp` is `use-vc`, `dots` is `ndots`.
    """

    servers: tuple[Server, ...]
    domains: tuple[str, ...] = ()
    dots: int = 1
    rotate: bool = False
    use_tcp: bool = False


def server(text: str) -> Server | None:
    """A resolver that is written `ip`, `ip:port` or `[ip]:port`, with `%zone` where it needs one; None otherwise."""
    host, port = text, str(PORT)
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":") or str(PORT)
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not port.isdecimal() or not 0 < int(port) <= 65_535:
        return None
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    try:
        ipaddress.ip_address(host)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=flags)
    except (ValueError, OSError):
        return None
    family, _, _, _, address = found[0]
    return Server(family, address)  # type: ignore[arg-type] # a build without IPv6 has bytes in it


def read_settings(text: str) -> Settings:
    """The settings of a `resolv.conf`: unknown words are passed over, as everybody does."""
    servers: list[Server] = []
    domains: list[str] = []
    dots, options = 1, set[str]()
    for words in _lines(text):
        match words:
            case ["nameserver", where, *_] if (found := server(where)) is not None:
                servers.append(found)
            case ["domain", name, *_]:
                domains = [name]
            case ["search", *names]:
                domains = names
            case ["options", *given]:
                options.update(given)
                counts = [each.removeprefix("ndots:") for each in given if each.startswith("ndots:")]
                dots = next((min(int(each), MOST_DOTS) for each in reversed(counts) if each.isdecimal()), dots)
    return Settings(
        tuple(servers[:MOST_SERVERS]) or (Server(socket.AF_INET, ("127.0.0.1", PORT)),),
        tuple(name for domain in domains[:MOST_DOMAINS] if (name := domain.rstrip(".").lower())),
        dots,
        "rotate" in options,
        "use-vc" in options,
    )


def read_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """Addresses by name, in lower case, as a `hosts` file has them, in its order."""
    found: dict[str, dict[str, None]] = {}
    for words in _lines(text):
        try:
            address = str(ipaddress.ip_address(words[0]))
        except ValueError:
            continue
        for name in words[1:]:
            found.setdefault(name.rstrip(".").lower(), {})[address] = None
    return {name: tuple(addresses) for name, addresses in found.items()}


class ReadFile(Generic[T]):
    """What a file says, read again where it was changed; an absent one is an empty one."""

    def __init__(self, path: Path, read: Callable[[str], T]) -> None:
        self._path = path
        self._read = read
        self._look_at = 0.0
        self._stamp: object = ()
        self._said: T | None = None

    def said(self) -> T:
        now = monotonic()
        if self._said is None or now >= self._look_at:
            self._look_at = now + LOOKED_AT_EVERY_S
            stamp = self._stamp_of()
            if self._said is None or stamp != self._stamp:
                self._stamp, self._said = stamp, self._read(self._text())
        return self._said

    def _stamp_of(self) -> object:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size

    def _text(self) -> str:
        try:
            with self._path.open("rb") as file:
                return file.read(LARGEST_FILE).decode("utf-8", "replace")
        except OSError:
            return ""


SETTINGS = ReadFile(RESOLV_CONF, read_settings)
TABLE = ReadFile(HOSTS, read_hosts)


def _lines(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        words = line.partition("#")[0].partition(";")[0].split()
        if words:
            yield words
