"""A DNS server on loopback, over UDP and TCP, that answers from a table: well, slowly, cut short, or in a circle."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import cast

CNAME = 5
KINDS = {4: 1, 6: 28}  # A and AAAA
NOERROR, NXDOMAIN = 0, 3
RESPONSE, TRUNCATED = 0x8180, 0x0200  # an answer with recursion; it did not fit


@dataclass
class Zone:
    """What it knows. A name that is nowhere does not exist, unless `otherwise` has addresses for everything."""

    names: dict[str, list[str]]
    aliases: dict[str, str] = field(default_factory=dict)
    delays_s: dict[str, float] = field(default_factory=dict)
    truncated: set[str] = field(default_factory=set)
    otherwise: list[str] | None = None
    ttl_s: int = 0
    asked: list[str] = field(default_factory=list)
    asked_over_tcp: list[str] = field(default_factory=list)

    def answer(self, question: bytes, *, tcp: bool) -> tuple[bytes, float]:
        """The answer to one question, and after how many seconds it leaves."""
        name, kind, end = _asked(question)
        (self.asked_over_tcp if tcp else self.asked).append(name)
        records, target, seen = [], name, set()
        while (alias := self.aliases.get(target)) and target not in seen:
            seen.add(target)
            records.append(_record(target, CNAME, self.ttl_s, _encoded(alias)))
            target = alias
        addresses = self.names.get(target, self.otherwise)
        found = [each for each in map(ipaddress.ip_address, addresses or ()) if kind == KINDS[each.version]]
        records += [_record(target, kind, self.ttl_s, each.packed) for each in found]
        code = NXDOMAIN if addresses is None and target not in seen else NOERROR
        flags = RESPONSE | code
        if name in self.truncated and not tcp:
            flags, records = flags | TRUNCATED, []
        head = question[:2] + struct.pack(">HHHHH", flags, 1, len(records), 0, 0)
        return head + question[12:end] + b"".join(records), self.delays_s.get(name, 0.0)


def _asked(question: bytes) -> tuple[str, int, int]:
    """Name, type, and where the question ends."""
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    return ".".join(labels).lower(), int.from_bytes(question[at + 1 : at + 3], "big"), at + 5


def _record(name: str, kind: int, ttl_s: int, data: bytes) -> bytes:
    return _encoded(name) + struct.pack(">HHIH", kind, 1, ttl_s, len(data)) + data


def _encoded(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer, after_s = self._zone.answer(data, tcp=False)
        asyncio.get_running_loop().call_later(after_s, self._send, answer, addr)

    def _send(self, answer: bytes, addr: tuple[str, int]) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(answer, addr)


@contextlib.asynccontextmanager
async def answering(zone: Zone) -> AsyncIterator[str]:
    """Answer from a zone; yields the `ip:port`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                answer, after_s = zone.answer(await reader.readexactly(length), tcp=True)
                await asyncio.sleep(after_s)
                writer.write(len(answer).to_bytes(2, "big") + answer)
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", port))
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(zone), sock=datagrams)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        transport.close()
        listener.close()
