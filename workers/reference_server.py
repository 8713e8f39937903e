"""The reference: a web server of known delay, which says how long each request was truly with it.

A script of its own, run by a bare interpreter (-I -S): `reference_server.py PARENT`. It listens on 127.0.0.1, prints
its port, answers each request DELAY_S after it came, and ends with its parent: when its standard input ends, and before
that by the kernel's word where there is one. No file is read or written.
"""

import contextlib
import os
import select
import signal
import socket
import struct
import sys
import time

DELAY_S = 0.05  # long enough to be a wait, short enough to ask several times a second
CLIENTS = 64  # our prober has one connection at a time; others on this machine find no use in it
PATIENCE_S = 5.0  # for a request that does not come
REQUEST_BYTES = 4096
WAKE_S = 1.0

SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("@ll")
PR_SET_PDEATHSIG = 1

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\nX-Residence-Us: %d\r\n\r\n"


class Client:
    """A connection, and when its request came in, in ns of wall-clock time."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.head = b""
        self.came_ns = 0
        self.due = time.monotonic() + PATIENCE_S

    def read(self) -> bool:
        """Take in what is there; False where this leads nowhere."""
        try:
            data, ancillary, _, _ = self.sock.recvmsg(REQUEST_BYTES, socket.CMSG_SPACE(TIMESPEC.size))
        except BlockingIOError:
            return True
        except OSError:
            return False
        now_ns = time.time_ns()
        self.came_ns = next((_ns(data) for _, kind, data in ancillary if kind == SO_TIMESTAMPNS), now_ns)
        self.head += data
        if self.asked:
            self.due = time.monotonic() + DELAY_S - max(0, now_ns - self.came_ns) / 1e9
        return bool(data) and (self.asked or len(self.head) < REQUEST_BYTES)

    @property
    def asked(self) -> bool:
        return self.head.endswith(b"\r\n\r\n")

    def answer(self) -> None:
        """Send the answer; whoever asked may be gone."""
        with contextlib.suppress(OSError):
            self.sock.send(HEAD % ((time.time_ns() - self.came_ns) // 1000))


def _ns(data: bytes) -> int:
    seconds, nanoseconds = TIMESPEC.unpack(data)
    return int(seconds * 1_000_000_000 + nanoseconds)


def serve(listener: socket.socket) -> None:
    """Answer until standard input ends."""
    clients: dict[int, Client] = {}
    poll = select.poll()
    poll.register(sys.stdin.fileno(), select.POLLIN)
    poll.register(listener.fileno(), select.POLLIN)
    while True:
        now = time.monotonic()
        for client in [each for each in clients.values() if each.due <= now]:
            if client.asked:
                client.answer()
            _drop(clients, poll, client)
        until = min((each.due for each in clients.values()), default=now + WAKE_S)
        for fd, _ in poll.poll(max(0.0, until - now) * 1000):
            if fd == sys.stdin.fileno():
                if not os.read(fd, REQUEST_BYTES):
                    return
            elif fd == listener.fileno():
                _accept(clients, poll, listener)
            elif not clients[fd].read():
                _drop(clients, poll, clients[fd])
            elif clients[fd].asked:
                poll.unregister(fd)  # nothing but its answer can end it now


def _accept(clients: dict[int, Client], poll: select.poll, listener: socket.socket) -> None:
    try:
        sock, _ = listener.accept()
    except OSError:
        return  # it was gone again
    if len(clients) >= CLIENTS:
        sock.close()
        return
    sock.setblocking(False)
    clients[sock.fileno()] = Client(sock)
    poll.register(sock.fileno(), select.POLLIN)


def _drop(clients: dict[int, Client], poll: select.poll, client: Client) -> None:
    fd = client.sock.fileno()
    del clients[fd]
    if not client.asked:
        poll.unregister(fd)
    client.sock.close()


def _end_with(parent: int) -> None:
    """Die with the process that started us, however that ends."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the prober has ended already")


def main() -> None:
    _end_with(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's goes to all of us: the prober ends first
    with socket.socket() as listener:
        if sys.platform == "linux":
            listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)  # what is accepted inherits it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(CLIENTS)
        listener.setblocking(False)
        print(listener.getsockname()[1], flush=True)  # noqa: T201 - this is how the prober learns of it
        serve(listener)


if __name__ == "__main__":
    main()
