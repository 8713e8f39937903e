"""A question and its way to a resolver: over a datagram socket of its look-up's own, or over TCP.

The socket is connected, so that the kernel drops what others send and an ICMP refusal comes back as an error; its port
is a new random one each time. When something left and when it came in is read where it happens, as for a site's own
connection.
"""

from __future__ import annotations

import asyncio
import enum
import socket
from collections.abc import Sequence
from time import time_ns
from typing import Protocol

from workers.probes.connection import Connection, connect
from workers.probes.dns_messages import Answer, Question
from workers.probes.dns_settings import Server
from workers.probes.kernel import ANCILLARY_BYTES, Meter, arrival_ns, stamp_arrivals

DATAGRAM_BYTES = 4096  # more than we say that we take; of what is longer the end is lost, and it cannot be read


class Trouble(enum.IntEnum):
    """Why there is no answer, beside what resolvers say with a `Code`."""

    UNREACHABLE = -1  # nothing listens there, or no packet gets there
    UNREADABLE = -2
    CUT_SHORT = -3  # too long for UDP, and TCP failed
    SILENT = -4
    FORGED = -5  # others answer in the resolver's place, and TCP failed


class Asked:
    """A question on its way, and what came of it: `answer`, or `failure` (a code or a Trouble)."""

    __slots__ = ("answer", "done", "failure", "gone", "meter", "number", "over_tcp", "question", "turn", "with_edns")

    def __init__(self, question: Question, number: int) -> None:
        self.question = question
        self.number = number  # the message's id
        self.answer: Answer | None = None
        self.failure: int | None = None
        self.done = False
        self.meter = Meter()
        self.gone: set[Server] = set()  # who failed at this question
        self.over_tcp: set[Server] = set()
        self.turn = 0  # how often it was asked again
        self.with_edns = True

    def next(self, servers: Sequence[Server]) -> Server | None:
        """Whose turn it is."""
        left = [each for each in servers if each not in self.gone] if self.gone else servers
        return left[self.turn % len(left)] if left else None


class Listener(Protocol):
    """Who is told what became of questions."""

    def received(self, exchange: Exchange, wire: bytes, at_ns: int | None) -> None:
        """A packet came, at this time by the kernel's wall clock."""

    def refused(self, exchange: Exchange) -> None:
        """No packet will come."""

    def broke(self, error: Exception) -> None:
        """A fault of ours."""


class Exchange:
    """A socket to one resolver, for the questions of one look-up that are asked together."""

    __slots__ = ("_fd", "_listener", "_listening", "_loop", "_sock", "server", "strays")

    def __init__(self, listener: Listener, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._listener = listener
        self._loop = loop
        self.server = server
        self.strays = 0
        self._sock = socket.socket(server.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            stamp_arrivals(self._sock)
            self._sock.connect(server.address)
            self._fd = self._sock.fileno()
            loop.add_reader(self._fd, self.read)
        except BaseException:
            self._sock.close()
            raise
        self._listening = True

    def send(self, asked: Asked) -> None:
        """Errors: OSError."""
        wire = asked.question.wire if asked.with_edns else asked.question.wire_without_edns
        wire = asked.number.to_bytes(2, "big") + wire
        before_ns = time_ns()
        self._sock.send(wire)
        asked.meter.sent(before_ns, time_ns())

    def read(self) -> bool:
        """Read one packet; whether there was one."""
        if not self._listening:
            return False
        try:
            wire, ancillary, _, _ = self._sock.recvmsg(DATAGRAM_BYTES, ANCILLARY_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            self.close()
            self._listener.refused(self)
            return False
        try:
            self._listener.received(self, wire, arrival_ns(ancillary))
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not leave the look-up without an end
            self._listener.broke(error)
        return True

    def close(self) -> None:
        """Idempotent."""
        if self._listening:
            self._listening = False
            self._loop.remove_reader(self._fd)
            self._sock.close()


async def fetch_over_tcp(asked: Asked, server: Server, loop: asyncio.AbstractEventLoop) -> bytes:
    """The answer to a question over TCP, its time added to the question's. Errors: OSError, EOFError."""
    with socket.socket(server.family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        connection = Connection(sock, loop, await connect(sock, server.address, loop))
        try:
            round_trip_s = connection.round_trip_s()
            wire = asked.number.to_bytes(2, "big") + asked.question.wire
            await connection.send(len(wire).to_bytes(2, "big") + wire)
            data = b""
            while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
                more = await connection.read()
                if not more:
                    raise EOFError
                data += more
        finally:
            connection.close()
    waited_ns, unsure_ns = connection.meter.take()
    if round_trip_s is None or connection.meter.blind or asked.turn:
        asked.meter.blind = True  # others were asked meanwhile: whose time it was cannot be told
    else:
        asked.meter.waited_ns += waited_ns + round(round_trip_s * 1e9)
        asked.meter.unsure_ns += unsure_ns
    return data[2 : 2 + int.from_bytes(data[:2], "big")]
