"""A resolver of known delay for the bench, in a process of its own: it says with each answer how long it truly had it.

That is from the kernel's stamp of the question on; it stands in the last four bytes, in µs, where no look-up looks.
"""

from __future__ import annotations

import contextlib
import heapq
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextvars import ContextVar

from workers.probes import lookups
from workers.probes.dns_messages import Answer, Question, read
from workers.probes.kernel import ANCILLARY_BYTES, arrival_ns, stamp_arrivals

NAME = "site.example"
RESOLVER_DELAY_MS = 10.0
ADDRESS = (
    b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x7f\x00\x00\x01"  # 127.0.0.1, of the name that was asked for
)
WORD = b"\x00\xff\x00\x00\x01\x00\x00\x00\x00\x00\x04"  # a record of a private type

_WORDS: ContextVar[list[float]] = ContextVar("words")


@contextlib.contextmanager
def naming() -> Iterator[str]:
    """The resolver, running: its `ip:port`."""
    with subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        assert it.stdin is not None
        assert it.stdout is not None
        try:
            yield it.stdout.readline().strip()
        finally:
            it.stdin.close()  # which ends it


@contextlib.contextmanager
def noting() -> Iterator[None]:
    """Note what the resolver says meanwhile, in this task."""
    token = _WORDS.set([])
    try:
        yield
    finally:
        _WORDS.reset(token)


def looked_up_ms() -> float:
    """How long the resolver had the question that it had the longest, of those asked together; 0 where it had none."""
    return max(_WORDS.get(), default=0.0)


def _listening(wire: bytes, asked: Question) -> Answer:
    words = _WORDS.get(None)
    if words is not None:
        words.append(int.from_bytes(wire[-4:], "big") / 1000)
    return read(wire, asked)


lookups.read = _listening  # type: ignore[attr-defined] # where look-ups find it


def _serve() -> None:
    """Answer each question after the delay, until standard input ends."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        stamp_arrivals(sock)
        host, port = sock.getsockname()
        print(f"{host}:{port}", flush=True)
        due: list[tuple[int, bytes, tuple[str, int]]] = []
        while True:
            pause_s = max(0.0, (due[0][0] - time.time_ns()) / 1e9) + RESOLVER_DELAY_MS / 1000 if due else None
            ready, _, _ = select.select([sock, sys.stdin], [], [], pause_s)
            if sys.stdin in ready:
                return
            with contextlib.suppress(BlockingIOError):
                while True:
                    question, ancillary, _, asker = sock.recvmsg(1500, ANCILLARY_BYTES)
                    heapq.heappush(due, (arrival_ns(ancillary) or time.time_ns(), question, asker))
            while due and due[0][0] + RESOLVER_DELAY_MS * 1e6 <= time.time_ns():
                came_ns, question, asker = heapq.heappop(due)
                sound = _answer(question)
                word = (time.time_ns() - came_ns) // 1000
                sock.sendto(sound + word.to_bytes(4, "big"), asker)


def _answer(question: bytes) -> bytes:
    """The answer to a question as ours asks it, but for the word at its end."""
    end = question.index(b"\x00", 12) + 5
    found = ADDRESS if question[end - 4 : end - 2] == b"\x00\x01" else b""
    return b"".join(
        (
            question[:2],
            b"\x81\x80\x00\x01\x00",
            bytes((bool(found),)),
            b"\x00\x00\x00\x01",
            question[12:end],
            found,
            WORD,
        )
    )


if __name__ == "__main__":
    _serve()
