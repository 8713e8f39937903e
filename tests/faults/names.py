"""A DNS server on loopback, over UDP and TCP, that answers from a table: well, slowly, cut short, in a circle, or lies.

dnspython reads and writes the wire format; what is broken on purpose is broken in what it wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

NXDOMAIN, SERVFAIL, REFUSED = dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL, dns.rcode.REFUSED
Broken = Callable[[bytes], bytes]  # a sound answer -> what is sent in its place


@dataclass
class Zone:
    """What it knows. A name that is nowhere does not exist, unless `otherwise` has addresses for everything.

    `turns` holds lists of addresses that a name has one after the other, the last for good; `codes` what is said in
    place of an answer; `silent` names are not answered at all; `lies` are told in another's name; `broken` changes the
    bytes.
    """

    names: dict[str, list[str]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    delays_s: dict[str, float] = field(default_factory=dict)
    truncated: set[str] = field(default_factory=set)
    otherwise: list[str] | None = None
    ttl_s: int = 0
    turns: dict[str, list[list[str]]] = field(default_factory=dict)
    codes: dict[str, dns.rcode.Rcode] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    lies: dict[str, str] = field(default_factory=dict)
    broken: dict[str, Broken] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    asked_over_tcp: list[str] = field(default_factory=list)
    asked_once: asyncio.Event = field(default_factory=asyncio.Event)

    def answer(self, question: bytes, *, tcp: bool) -> tuple[bytes | None, float]:
        """The answer to one question, None where there is none, and after how many seconds it leaves."""
        asked = dns.message.from_wire(question)
        name = asked.question[0].name.to_text(omit_final_dot=True).lower()
        (self.asked_over_tcp if tcp else self.asked).append(name)
        self.asked_once.set()
        if name in self.silent:
            return None, 0.0
        response = dns.message.make_response(asked, recursion_available=True)
        self._fill(response, name, asked.question[0].rdtype)
        if name in self.truncated and not tcp:
            response.flags |= dns.flags.TC
            response.answer.clear()
        wire = response.to_wire(max_size=65535, want_shuffle=False)  # races are between addresses in their order
        return self.broken.get(name, bytes)(wire), self.delays_s.get(name, 0.0)

    def _fill(self, response: dns.message.Message, name: str, kind: dns.rdatatype.RdataType) -> None:
        target, seen = self.lies.get(name, name), set()
        while (alias := self.aliases.get(target)) and target not in seen:
            seen.add(target)
            response.answer.append(dns.rrset.from_text(f"{target}.", self.ttl_s, "IN", "CNAME", f"{alias}."))
            target = alias
        addresses = self._addresses(name if name in self.lies else target, kind)
        family = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}.get(kind)
        found = [each for each in addresses or () if ip_address(each).version == family]
        if found:
            response.answer.append(dns.rrset.from_text(f"{target}.", self.ttl_s, "IN", kind, *found))
        if name in self.codes:
            response.set_rcode(self.codes[name])
        elif addresses is None and target not in seen:
            response.set_rcode(NXDOMAIN)

    def _addresses(self, name: str, kind: dns.rdatatype.RdataType) -> list[str] | None:
        turns = self.turns.get(name)
        if turns is None:
            return self.names.get(name, self.otherwise)
        return turns.pop(0) if kind == dns.rdatatype.A and len(turns) > 1 else turns[0]


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, zone: Zone) -> None:
        self._zone = zone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer, after_s = self._zone.answer(data, tcp=False)
        if answer is not None:
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
                if answer is not None:
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
