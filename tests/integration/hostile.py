"""Small servers that answer well, badly or not at all: on loopback, with a record of what they saw."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import uvloop

from workers.probes.network import Dialer

Handler = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
T = TypeVar("T")

CAME_AT_ALL_S = 15.0
DRIP_S = 0.05  # "a byte a second", quickened so that a test need not take one


def run(main: Coroutine[object, object, T]) -> T:
    """Run a test on the prober's loop; whatever hangs fails."""

    async def bounded() -> T:
        async with asyncio.timeout(CAME_AT_ALL_S):
            return await main

    return uvloop.run(bounded())


def open_descriptors() -> set[str]:
    """The sockets that this process holds, by inode: numbers of descriptors come and go with the listing itself."""
    held = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            held.add(str(entry.readlink()))
    return {link for link in held if link.startswith("socket:")}


async def settled(before: set[str]) -> bool:
    """Whether no more is open than before: our end is closed at once, the server's a few turns of the loop later."""
    for _ in range(500):
        if open_descriptors() <= before:
            return True
        await asyncio.sleep(0.01)
    return False


@contextlib.asynccontextmanager
async def dialing(dialer: Dialer | None = None) -> AsyncIterator[Dialer]:
    """A dialer of one's own, closed at the end."""
    dialer = dialer or Dialer()
    try:
        yield dialer
    finally:
        await dialer.aclose()


@dataclass
class Server:
    """What a server is and has seen."""

    port: int
    scheme: str
    heads: list[bytes] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"


@contextlib.asynccontextmanager
async def serving(
    handler: Handler | None, context: ssl.SSLContext | None = None, *, host: str = "127.0.0.1"
) -> AsyncIterator[Server]:
    """Serve each connection with a handler that gets the request's head; None accepts and stays silent."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.peers.append(writer.get_extra_info("peername")[0])
        server.connected.set()
        try:
            if handler is None:
                await reader.read()
            else:
                head = await reader.readuntil(b"\r\n\r\n")
                server.heads.append(head)
                await handler(head, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the probe hung up, which is its right
        finally:
            server.hung_up.set()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accept, host, 0, ssl=context, backlog=512)
    server = Server(listener.sockets[0].getsockname()[1], "https" if context else "http")
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listener.wait_closed()


def raw(data: bytes) -> Handler:
    """Send these bytes and hang up."""

    async def handler(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return handler


def ok(body: bytes = b"ok") -> Handler:
    return raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def status(code: int) -> Handler:
    return raw(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % code)


def redirects(targets: dict[str, str], code: int = 301, extra: str = "") -> Handler:
    """Redirect some paths; everything else is fine."""

    async def handler(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = head.split(b" ")[1].decode("latin-1")
        if path in targets:
            lines = f"HTTP/1.1 {code} Moved\r\nLocation: {targets[path]}\r\n{extra}Content-Length: 0\r\n\r\n"
            await raw(lines.encode("latin-1"))(head, reader, writer)
        else:
            await ok()(head, reader, writer)

    return handler


def drip(start: bytes, piece: bytes, every_s: float = DRIP_S) -> Handler:
    """Send a start, then one piece after the other without end."""

    async def handler(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every_s)

    return handler


def flood(start: bytes, piece: bytes) -> Handler:
    return drip(start, piece, 0)


def reset(start: bytes) -> Handler:
    """Send a start, then break the connection with a RST."""

    async def handler(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        sock: socket.socket = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return handler


async def proxy(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A forward proxy: tunnels CONNECT, answers absolute-form requests itself."""
    method, target = head.split(b" ")[:2]
    if method != b"CONNECT":
        await ok(b"through the proxy")(head, reader, writer)
        return
    host, port = target.decode("ascii").rsplit(":", 1)
    there, back = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)

    try:
        await asyncio.wait(
            [asyncio.ensure_future(pipe(reader, back)), asyncio.ensure_future(pipe(there, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        back.close()
