"""One TCP connection, with or without TLS, that knows when its bytes left and when they arrived.

Raw sockets on the loop's readiness events, because one `recvmsg` in one place is where kernel timestamps come in, and
because it is the cheapest of what we measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Sequence
from time import monotonic, time_ns
from typing import Any, NamedTuple, Protocol

from workers.probes.kernel import ANCILLARY_BYTES, Meter, arrival_ns, round_trip_s, stamp_arrivals

_DER = 2  # `_ssl.ENCODING_DER`, which the ssl module does not name
CHUNK_BYTES = 64 * 1024  # one read; most answers fit, and four TLS records do
HANDSHAKE_LIMIT = 512 * 1024  # OpenSSL takes a chain of up to 100 KB; what it ignores would go on for ever
# Of TLS for what is in it: a record adds 22 bytes, so that one for each 7 bytes is as many as anybody needs …
WRAPPING = 4
WRAPPING_LIMIT = 1024 * 1024  # … and messages that hold nothing for us, such as tickets, are few


class Stream(Protocol):
    """What a transport needs of a connection."""

    received_at: float

    @property
    def stamped_at(self) -> float:
        """When we read bytes last, TLS's own included; the end of a stream is none."""

    async def read(self) -> bytes:
        """The next bytes; empty at the end of the stream."""

    async def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Stood(NamedTuple):
    """When a connect began, and when it stood: in monotonic seconds, by the loop's clock."""

    began: float
    at: float


class Connection:
    """A plain, connected, non-blocking socket that belongs to us. Close it in a `finally`.

    `opened` is how it came to be, `meter` counts how long we waited by the kernel's clock, `received_at` is when we
    read last by our own.
    """

    __slots__ = ("_fd", "_listening", "_loop", "_sock", "_waiter", "meter", "opened", "received_at", "stamped_at")

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop, opened: Stood) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._loop = loop
        self._listening = False
        self._waiter: asyncio.Future[bytes] | None = None
        self.received_at = self.stamped_at = 0.0
        self.opened = opened
        self.meter = Meter()

    def round_trip_s(self) -> float | None:
        """How long the handshake of TCP took, by the kernel; ask before anything was sent."""
        return round_trip_s(self._sock)

    async def read(self) -> bytes:
        waiter: asyncio.Future[bytes] = self._loop.create_future()
        self._waiter = waiter
        if not self._listening:
            self._loop.add_reader(self._fd, self._on_readable)
            self._listening = True
        return await waiter

    def _on_readable(self) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            # Nobody wants the bytes yet: leave them to the kernel, so that a flood slows its sender and not us.
            self._deafen()
            return
        try:
            data, ancillary, _, _ = self._sock.recvmsg(CHUNK_BYTES, ANCILLARY_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            waiter.set_exception(error)
        else:
            self.received_at = monotonic()
            if data:  # the end of a stream carries no stamp
                self.meter.received(arrival_ns(ancillary))
                self.stamped_at = self.received_at
            waiter.set_result(data)
        self._waiter = None
        # libuv stops watching a socket that has an error, such as a reset right behind the bytes, and tells nobody:
        # whoever reads on has to ask anew, or would wait for its deadline.
        self._deafen()

    def _deafen(self) -> None:
        self._loop.remove_reader(self._fd)
        self._listening = False

    async def send(self, data: bytes) -> None:
        while data:
            before_ns = time_ns()
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                await writable(self._loop, self._fd)
            else:
                self.meter.sent(before_ns, time_ns())
                data = data[sent:]

    def close(self) -> None:
        """Idempotent. The loop forgets the descriptor before the kernel may hand it out again."""
        if self._listening:
            self._loop.remove_reader(self._fd)
            self._listening = False
        self._sock.close()


class WrappingError(ssl.SSLError):
    """TLS without end and nothing in it: each of its messages is sound, and we would read them to the deadline."""

    def __init__(self) -> None:
        super().__init__(1, "more TLS than anybody needs")
        self.reason = "it sends messages without end and nothing in them"


class TlsConnection:
    """TLS through memory buffers, so that our last handshake message and the request leave in one write."""

    __slots__ = ("_incoming", "_left", "_outgoing", "_plain", "_tls")

    def __init__(self, plain: Stream, context: ssl.SSLContext, server_hostname: str) -> None:
        self._plain = plain
        self._left = HANDSHAKE_LIMIT  # bytes that may come in before they have to be worth something
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)

    @property
    def received_at(self) -> float:
        return self._plain.received_at

    @received_at.setter
    def received_at(self, at: float) -> None:
        self._plain.received_at = at

    @property
    def stamped_at(self) -> float:
        return self._plain.stamped_at

    async def handshake(self) -> None:
        """Raises `ssl.SSLError` where the two cannot agree or the certificate does not hold."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError:
                await self._flush()  # the alert that tells the server why
                raise
            else:
                self._left = WRAPPING_LIMIT
                return

    async def finish(self) -> None:
        """Send our last handshake message, which else leaves with what is sent first, and say good-bye."""
        with contextlib.suppress(ssl.SSLError):  # it waits for the peer's good-bye, which we do not
            self._tls.unwrap()
        await self._flush()

    def leaf(self) -> bytes | None:
        """The certificate that the other side showed, as DER, accepted or not; None where there is none to be seen."""
        try:
            accepted = self._tls.getpeercert(binary_form=True)
        except ValueError:  # the handshake is not over
            accepted = None
        return accepted or next((leaf.public_bytes(_DER) for leaf in self._shown()), None)

    def agreed(self) -> str | None:
        """Version and cipher of a handshake that held."""
        version, cipher = self._tls.version(), self._tls.cipher()
        return f"{version} {cipher[0]}" if version and cipher else None

    def unverified_chain(self) -> list[dict[str, Any]]:
        """What the other side showed, the leaf first, also where we did not accept it; empty where Python hides it."""
        return [certificate.get_info() for certificate in self._shown()]

    def _shown(self) -> Sequence[Any]:
        # Public from 3.13 on, but as DER; this has been there since 3.10, parsed.
        hidden = getattr(getattr(self._tls, "_sslobj", None), "get_unverified_chain", None)
        return (hidden() if hidden else None) or ()

    async def read(self) -> bytes:
        while True:
            try:
                data: bytes = self._tls.read(CHUNK_BYTES)
            except ssl.SSLWantReadError:
                if self._outgoing.pending:
                    await self._flush()
                await self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                # Many servers end without close_notify; a length that was promised is checked by the parser.
                return b""
            else:
                self._left += WRAPPING * len(data)
                return data

    async def _fill(self) -> None:
        data = await self._plain.read()
        if data:
            self._left -= len(data)
            if self._left < 0:
                raise WrappingError
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._plain.send(self._outgoing.read())

    async def send(self, data: bytes) -> None:
        self._tls.write(data)
        await self._flush()

    def close(self) -> None:
        # No close_notify: the answer is in, and waiting for the peer's would cost a round trip.
        self._plain.close()


async def connect(sock: socket.socket, address: tuple[Any, ...], loop: asyncio.AbstractEventLoop) -> Stood:
    """Connect a non-blocking socket; returns when it was. `OSError` of the kernel where it fails."""
    stamp_arrivals(sock)
    began = monotonic()
    code = sock.connect_ex(address)
    if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
        at = await writable(loop, sock.fileno())
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        return Stood(began, at)
    if code:
        raise ImmediateError(code, os.strerror(code))
    return Stood(began, monotonic())


class ImmediateError(OSError):
    """The kernel refused to send anything at all: the fault is on this side."""


async def writable(loop: asyncio.AbstractEventLoop, fd: int) -> float:
    """Wait until a descriptor can be written; returns when."""
    ready: asyncio.Future[float] = loop.create_future()
    loop.add_writer(fd, _stamp, ready)
    try:
        return await ready
    finally:
        loop.remove_writer(fd)


def _stamp(ready: asyncio.Future[float]) -> None:
    if not ready.done():
        ready.set_result(monotonic())
