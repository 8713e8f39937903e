"""A latency is the site's, however busy we are; the reference shows how true it is, and never outlives its prober."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

import httpx
import psutil
import pytest
import trustme

from pipeline.vocabulary import Clock, Network, Outcome, Probe, Spec
from tests.harness import eventually
from tests.integration.hostile import run, serving
from workers import reference as references
from workers.probes import http
from workers.probes.network import Dialer
from workers.reference import Reference, Residual

DELAY_S = 0.05
BLOCKED_S = 1.0  # our loop stands still for this long, while a site needs DELAY_S
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

linux = pytest.mark.skipif(sys.platform != "linux", reason="kernel timestamps are Linux's")


@contextlib.contextmanager
def waiting_site(context: ssl.SSLContext | None = None, *, answer: bytes = ANSWER) -> Iterator[int]:
    """A site that answers one request DELAY_S after it came, from a thread of its own; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            with context.wrap_socket(sock, server_side=True) if context else sock as client:
                client.recv(4096)
                time.sleep(DELAY_S)
                client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(5)


def tls_pair() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's context that trusts the server's."""
    authority = trustme.CA()
    here, there = ssl.create_default_context(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.configure_trust(here)
    authority.issue_cert("127.0.0.1").configure_cert(there)
    return here, there


async def probed(url: str, context: ssl.SSLContext | None = None) -> Probe:
    return await http.probe(Spec(url, timeout_s=10), Network(), dialer=Dialer(context=context, allowed=lambda _: True))


async def probed_while_blocked(url: str, context: ssl.SSLContext | None = None, *, after_s: float = 0.02) -> Probe:
    """Probe, while soon after the start a callback of somebody else's keeps the loop."""
    asyncio.get_running_loop().call_later(after_s, time.sleep, BLOCKED_S)
    return await probed(url, context)


@linux
def test_a_latency_stays_true_while_our_loop_stands_still() -> None:
    with waiting_site() as port:
        found = run(probed_while_blocked(f"http://127.0.0.1:{port}/"))
    assert (found.outcome, found.clock) == (Outcome.OK, Clock.KERNEL)
    assert found.latency_ms is not None
    assert found.phases.ttfb_ms is not None
    assert DELAY_S * 1000 <= found.phases.ttfb_ms <= found.latency_ms < BLOCKED_S * 500
    assert found.error_ms < BLOCKED_S * 500


@linux
def test_so_it_does_with_tls() -> None:
    here, there = tls_pair()
    with waiting_site(there) as port:
        found = run(probed_while_blocked(f"https://127.0.0.1:{port}/", here, after_s=0))
    assert (found.outcome, found.clock) == (Outcome.OK, Clock.KERNEL)
    assert found.latency_ms is not None
    assert found.phases.tls_ms is not None
    assert found.phases.tls_ms > 0
    assert DELAY_S * 1000 <= found.latency_ms < BLOCKED_S * 500


def test_where_the_kernel_does_not_say_it_is_the_loops_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.probes.connection.stamp_arrivals", lambda _sock: None)
    with waiting_site() as port:
        found = run(probed(f"http://127.0.0.1:{port}/"))
    assert (found.outcome, found.clock, found.looped) == (Outcome.OK, Clock.LOOP, None)
    assert found.latency_ms is not None
    assert found.latency_ms >= DELAY_S * 1000


@linux
def test_the_end_of_a_stream_that_ends_the_answer_is_part_of_it() -> None:
    async def slow_end(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nall there is")
        await writer.drain()
        await asyncio.sleep(0.2)

    async def main() -> Probe:
        async with serving(slow_end) as server:
            return await probed(server.url())

    found = run(main())
    assert (found.outcome, found.clock) == (Outcome.OK, Clock.KERNEL)
    assert found.phases.transfer_ms is not None
    assert found.phases.transfer_ms >= 199
    assert found.looped is not None


@linux
@pytest.mark.parametrize("says_good_bye", [True, False], ids=["close_notify", "just closes"])
def test_so_it_is_with_tls_and_counts_once(says_good_bye: bool) -> None:
    """The message that ends TLS is stamped as any other: it was counted by the kernel's clock and by the loop's."""
    here, there = tls_pair()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else its tickets delay what follows them
            with there.wrap_socket(sock, server_side=True) as client:
                client.recv(4096)
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\nall there is")
                time.sleep(0.5)
                if says_good_bye:
                    with contextlib.suppress(OSError):
                        client.unwrap()

        thread = threading.Thread(target=serve)
        thread.start()
        found = run(probed(f"https://127.0.0.1:{listener.getsockname()[1]}/", here))
        thread.join(5)
    assert (found.outcome, found.clock) == (Outcome.OK, Clock.KERNEL)
    assert found.phases.transfer_ms is not None
    assert 499 <= found.phases.transfer_ms < 900
    assert spent_ms(found) == pytest.approx(found.latency_ms)


def spent_ms(found: Probe) -> float:
    phases = found.phases
    return sum(ms or 0.0 for ms in (phases.connect_ms, phases.tls_ms, phases.ttfb_ms, phases.transfer_ms))


@linux
def test_a_lost_syn_is_in_the_latency() -> None:
    async def main(port: int, make_room: Callable[[], None]) -> Probe:
        asyncio.get_running_loop().call_later(0.3, make_room)
        return await probed(f"http://127.0.0.1:{port}/")

    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)  # room for one, so that the kernel drops what comes after it
        port = listener.getsockname()[1]
        filling = stack.enter_context(socket.create_connection(("127.0.0.1", port)))

        def serve() -> None:
            listener.accept()[0].close()
            filling.close()
            with listener.accept()[0] as client:
                client.recv(4096)
                client.sendall(ANSWER)

        thread = threading.Thread(target=serve)
        found = run(main(port, thread.start))
        thread.join(5)
    assert (found.outcome, found.clock) == (Outcome.OK, Clock.KERNEL)
    assert found.phases.connect_ms is not None
    assert found.phases.connect_ms > 500  # the kernel sends the next SYN after a second
    assert found.looped is not None


# The reference


@contextlib.asynccontextmanager
async def watching(reference: Reference) -> AsyncIterator[None]:
    task = asyncio.create_task(reference.watch())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def shown(reference: Reference, since: float) -> Residual:
    """What a reference that began after this showed."""
    while True:
        worst = reference.worst(time.monotonic(), time.monotonic())
        if worst is not None and worst.began > since:
            return worst
        await asyncio.sleep(0.02)


@linux
def test_a_reference_shows_how_far_each_clock_is_off() -> None:
    async def main() -> Residual:
        reference = Reference()
        async with references._server() as (_, port):
            asyncio.get_running_loop().call_later(0.02, time.sleep, BLOCKED_S)
            return await reference._ask(httpx.Request("GET", f"http://127.0.0.1:{port}/"))

    found = run(main())
    assert found.kernel_ms < BLOCKED_S * 500 < found.loop_ms


def test_a_reference_that_dies_is_started_again_and_is_gone_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "RESTART_S", 0.05)
    monkeypatch.setattr(references, "NEWEST", 1)

    async def main() -> tuple[int | None, int | None]:
        reference = Reference()
        async with watching(reference):
            await shown(reference, 0.0)
            first = reference.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            while reference.pid in {first, None}:  # noqa: ASYNC110 - the test is the one who waits
                await asyncio.sleep(0.02)
            await shown(reference, time.monotonic())
            return first, reference.pid

    first, second = run(main())
    assert first != second
    assert not any(psutil.pid_exists(pid) for pid in (first, second) if pid)


def test_a_reference_that_hangs_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "RESTART_S", 0.05)
    monkeypatch.setattr(references, "ANSWER_LIMIT_S", 0.3)

    async def main() -> None:
        reference = Reference()
        async with watching(reference):
            await shown(reference, 0.0)
            first = reference.pid
            assert first is not None
            os.kill(first, signal.SIGSTOP)
            while reference.pid in {first, None}:  # noqa: ASYNC110 - the test is the one who waits
                await asyncio.sleep(0.02)

    run(main())


def test_a_reference_that_cannot_be_started_leaves_us_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "SERVER", references.SERVER.with_name("missing.py"))

    async def main() -> Residual | None:
        reference = Reference()
        async with watching(reference):
            await asyncio.sleep(0.3)
            return reference.worst(0.0, time.monotonic())

    assert run(main()) is None


PROBER = """
import asyncio, uvloop
from workers.witness import Witness
async def main():
    witness = Witness()
    watching = asyncio.create_task(witness.watch())
    while witness.reference.pid is None or witness.reference.worst(0, 1e12) is None:
        await asyncio.sleep(0.02)
    print(witness.reference.pid, flush=True)
    await watching
uvloop.run(main())
"""


def test_no_reference_outlives_a_prober_that_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PROBER], stdout=subprocess.PIPE, text=True) as prober:
        assert prober.stdout is not None
        child = psutil.Process(int(prober.stdout.readline()))
        assert child.is_running()
        prober.kill()
        prober.wait()
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, what="the child's end")
