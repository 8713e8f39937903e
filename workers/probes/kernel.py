"""What the kernel knows about a connection's times: when bytes came in, and how long the handshake took.

Bytes that a busy loop reads late were on time all the same; only the kernel can tell. Linux only: elsewhere, and where
a sandbox hides them, everything here says None, and the loop's clock is what remains.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import struct
import sys
import threading
from time import monotonic_ns, thread_time_ns, time_ns

# Not named in the socket module of our Pythons; the number is that of all architectures but SPARC and PA-RISC.
SO_TIMESTAMPNS = getattr(socket, "SO_TIMESTAMPNS", 35)
KERNEL_CLOCK = sys.platform == "linux"
TIMESPEC = struct.Struct("@ll")
ANCILLARY_BYTES = socket.CMSG_SPACE(TIMESPEC.size) if KERNEL_CLOCK else 0

# struct tcp_info, which only ever grows at its end: eight bytes, then words of 32 bits.
TCP_INFO_BYTES = 104
TCP_INFO = struct.Struct(
    "@2xB65xI28xI"
)  # retransmits of what is under way, smoothed round trip in µs, total retransmits

READ_AT_ONCE_NS = 20_000  # two clocks read further apart than this were read with something in between
READINGS = 4
STEP_NS = 1_000_000  # NTP slews both clocks alike, so that what sets them apart is a step, or a reading cut in two


def stamp_arrivals(sock: socket.socket) -> None:
    """Have `recvmsg` say when the last byte that it hands over came in."""
    if KERNEL_CLOCK:
        with contextlib.suppress(OSError):  # a sandbox without: nothing is stamped
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


def arrival_ns(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    """When it came in, in ns of wall-clock time, or None where the kernel did not say."""
    for level, kind, data in ancillary:
        if kind == SO_TIMESTAMPNS and level == socket.SOL_SOCKET and len(data) == TIMESPEC.size:
            seconds, nanoseconds = TIMESPEC.unpack(data)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return None


def round_trip_s(sock: socket.socket) -> float | None:
    """From our SYN to the answer to it; ask before anything was sent.

    None where a SYN was lost, since then this is the time of the last one only, and where the kernel does not say.
    """
    if not KERNEL_CLOCK:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_BYTES)
    except OSError:
        return None
    return round_trip_of(info)


def round_trip_of(info: bytes) -> float | None:
    """The round trip out of a `struct tcp_info`."""
    if len(info) < TCP_INFO_BYTES:
        return None
    retransmits, round_trip_us, total_retransmits = TCP_INFO.unpack(info)
    return None if retransmits or total_retransmits or not round_trip_us else round_trip_us / 1e6


def clocks_apart_ns() -> int:
    """Wall clock minus monotonic clock, read at one moment as well as that can be done: it changes with steps only."""
    best_ns, apart_ns = 1 << 62, 0
    for _ in range(READINGS):
        before = monotonic_ns()
        wall = time_ns()
        taken_ns = monotonic_ns() - before
        if taken_ns < best_ns:
            best_ns, apart_ns = taken_ns, wall - before - taken_ns // 2
        if taken_ns <= READ_AT_ONCE_NS:
            break
    return apart_ns


def occupied_ns() -> int:
    """For how long this thread has worked or waited for a processor: the rest of the time it waited for events.

    What it adds over a while bounds how late an event of that while may have been noticed.
    """
    schedstat = _schedstat(threading.get_native_id())
    queued_ns = 0 if schedstat is None else int(os.pread(schedstat, 64, 0).split()[1])
    return thread_time_ns() + queued_ns


@functools.lru_cache(maxsize=16)
def _schedstat(_thread: int) -> int | None:
    """The kernel's account of a thread, kept open; None where there is none."""
    try:
        return os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


class Meter:
    """How long the other side and the way to it kept us waiting: from each of our sends to the last byte that answers.

    Whatever we do between a receipt and the next send (our loop's lateness, our part of the cryptography) is not in it.
    Times are ns of wall-clock time; a step backwards never makes a wait negative. A message leaves at some moment
    between the two readings around its send: it counts from the first, and `unsure_ns` is how much less it may be.
    """

    __slots__ = ("_since_ns", "_spread_ns", "blind", "unsure_ns", "waited_ns")

    def __init__(self) -> None:
        self.blind = False  # something came in that the kernel did not stamp
        self.waited_ns = 0
        self.unsure_ns = 0
        self._since_ns: int | None = None  # since when what comes in is waited for; None before the first send
        self._spread_ns = -1  # of a send that nothing has answered yet; negative once something has

    def sent(self, before_ns: int, after_ns: int) -> None:
        """Of several sends in a row, the first one starts the wait."""
        if self._spread_ns < 0:
            self._since_ns, self._spread_ns = before_ns, max(0, after_ns - before_ns)

    def received(self, at_ns: int | None) -> None:
        """Something came in."""
        if at_ns is None:
            self.blind = True
        elif self._since_ns is not None:  # whoever speaks first answers nothing
            waited_ns = max(0, at_ns - self._since_ns)
            if self._spread_ns >= 0:
                # It was under way before the answer to it came.
                self.unsure_ns += min(self._spread_ns, waited_ns)
                self._spread_ns = -1
            self.waited_ns += waited_ns
            self._since_ns += waited_ns

    def take(self) -> tuple[int, int]:
        """(waited, unsure) since this was asked last, in ns."""
        taken = self.waited_ns, self.unsure_ns
        self.waited_ns = self.unsure_ns = 0
        return taken
