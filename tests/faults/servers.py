"""Where hostile servers stand: on a port, behind TLS of all sorts, behind a name. The table of them is `hostile`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import warnings
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import trustme

from tests.faults.names import Zone
from tests.integration.hostile import Handler, ok, raw, serving

Contexts = Callable[["Certificates"], ssl.SSLContext]
Spoken = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Certificates:
    """An authority that the client trusts, and servers of all sorts for 127.0.0.1."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.client = ssl.create_default_context()
        self.authority.configure_trust(self.client)

    def server(
        self, name: str = "127.0.0.1", *, authority: trustme.CA | None = None, valid: tuple[int, int] = (-1, 1)
    ) -> ssl.SSLContext:
        """A server with a certificate for a name, valid from and until so many days from now."""
        now = datetime.now(UTC)
        begins, ends = (now + timedelta(days=days) for days in valid)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issuer = authority or self.authority
        issuer.issue_cert(name, not_before=begins, not_after=ends).configure_cert(context)
        return context

    def self_signed(self) -> ssl.SSLContext:
        stranger = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with stranger.private_key_pem.tempfile() as key, stranger.cert_pem.tempfile() as certificate:
            context.load_cert_chain(certificate, key)
        return context

    def incomplete(self) -> ssl.SSLContext:
        """A leaf whose issuer is an intermediate authority that the server does not show."""
        leaf = self.authority.create_child_ca().issue_cert("127.0.0.1")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with leaf.private_key_pem.tempfile() as key, leaf.cert_chain_pems[0].tempfile() as certificate:
            context.load_cert_chain(certificate, key)
        return context

    def old(self) -> ssl.SSLContext:
        """TLS 1.0 and 1.1 only."""
        context = self.server()
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        return context

    def odd_cipher(self) -> ssl.SSLContext:
        """TLS 1.2 with a cipher that nobody else offers."""
        context = self.server()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("DHE-RSA-AES256-SHA")
        return context


@dataclass
class World:
    """What is around the hostile servers: certificates, and the names that the region's resolver knows."""

    tls: Certificates
    zone: Zone = field(default_factory=Zone)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def new_name(self) -> str:
        """A name under a domain of its own."""
        return f"hostile.a{next(self.numbers)}.example"


Place = Callable[[World], AbstractAsyncContextManager[str]]
"""Opens a hostile server in a world; gives the URL to check."""


def http(handler: Handler | None, path: str = "/") -> Place:
    @contextlib.asynccontextmanager
    async def place(_world: World) -> AsyncIterator[str]:
        async with serving(handler) as server:
            yield server.url(path)

    return place


def https(context_of: Contexts = Certificates.server, handler: Handler | None = None) -> Place:
    @contextlib.asynccontextmanager
    async def place(world: World) -> AsyncIterator[str]:
        async with serving(handler or ok(), context_of(world.tls)) as server:
            yield server.url()

    return place


def speaking(spoken: Spoken, scheme: str = "https") -> Place:
    """A server that does with a connection what it likes."""

    @contextlib.asynccontextmanager
    async def place(_world: World) -> AsyncIterator[str]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await spoken(reader, writer)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
            yield f"{scheme}://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"

    return place


def greets(data: bytes, scheme: str = "https") -> Place:
    """Speaks first, and hangs up."""

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return speaking(greet, scheme)


def replies(data: bytes, scheme: str = "https") -> Place:
    """Reads what the client says first, says its own, and waits for whatever comes."""

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(data)
        await writer.drain()
        await reader.read()

    return speaking(reply, scheme)


def floods(record: bytes, scheme: str = "https") -> Place:
    """Reads what the client says first, and says the same for ever."""

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        while True:
            writer.write(record * 1_000)
            await writer.drain()

    return speaking(flood, scheme)


def shakes_hands(context_of: Contexts) -> Place:
    """TLS by hand, so that the alert leaves with which the server gives up (asyncio's servers keep it)."""

    @contextlib.asynccontextmanager
    async def place(world: World) -> AsyncIterator[str]:
        context = context_of(world.tls)

        async def shake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_side=True)
            while data := await reader.read(65536):
                incoming.write(data)
                with contextlib.suppress(ssl.SSLError):
                    tls.do_handshake()
                writer.write(outgoing.read())

        async with speaking(shake)(world) as url:
            yield url

    return place


def hangs_up() -> Place:
    """Closes once the client has spoken."""

    async def read(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)

    return speaking(read)


@contextlib.asynccontextmanager
async def closed(_world: World) -> AsyncIterator[str]:
    """A port on which nothing listens, and nobody else will."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/"


@contextlib.asynccontextmanager
async def full(_world: World) -> AsyncIterator[str]:
    """A listener that never accepts, its backlog full: the SYN is not answered."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def named(setting: Callable[[Zone, str], object], handler: Handler | None = None) -> Place:
    """A sound server behind a name that is set up in the zone."""

    @contextlib.asynccontextmanager
    async def place(world: World) -> AsyncIterator[str]:
        name = world.new_name()
        setting(world.zone, name)
        async with serving(handler or ok()) as server:
            yield server.url(host=name)

    return place


def bomb(megabytes: int) -> bytes:
    """Gzip that unpacks to so many megabytes of nothing, at a thousandth of that. Nobody gets to its end."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    start = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    again = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)  # refers to nothing before it
    return start + again * (megabytes - 1)


def packed(body: bytes, coding: str) -> Handler:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    return raw(head.encode() + body)


def by_method(answers: dict[str, Handler]) -> Handler:
    """Answers each method in its own way."""

    async def handler(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answers[head.split(b" ")[0].decode("ascii")](head, reader, writer)

    return handler


def server_hello(version: int) -> bytes:
    """A ServerHello of our own making that picks a version of TLS: 0x0301 is 1.0."""
    body = version.to_bytes(2, "big") + bytes(range(32)) + b"\x00" + b"\x00\x2f" + b"\x00"  # AES128-SHA
    message = b"\x02" + len(body).to_bytes(3, "big") + body
    return b"\x16" + version.to_bytes(2, "big") + len(message).to_bytes(2, "big") + message
