"""Each hostile server has its one outcome, and the probe comes back in time.

What turns this red: taking a total deadline for one a read (the drips), reading a head or a body without a bound (the
floods), unpacking without one (the bombs), a guard that judges the first hop only (the redirects to private addresses),
a context that does not verify (the certificates), headers of the site that go to whoever it redirects to.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.declared import SiteIn, expect_of
from pipeline.guard import allowed, read_policy
from pipeline.vocabulary import Auth, Network, Outcome, Phases, Probe, Spec
from tests.faults.hostile import HEAD, HOSTILE, POLICY, Row
from tests.faults.names import answering
from tests.faults.servers import Certificates, World, https
from tests.integration.hostile import ok, raw, redirects, run, serving
from workers.probes import PROBES, http
from workers.probes.network import Dialer


@pytest.fixture(scope="module")
def tls() -> Certificates:
    return Certificates()


@contextlib.asynccontextmanager
async def dialing(tls: Certificates) -> AsyncIterator[Dialer]:
    dialer = Dialer(allowed=allowed(read_policy(POLICY)), context=tls.client)
    try:
        yield dialer
    finally:
        await dialer.aclose()


async def checked(row: Row, tls: Certificates) -> Probe:
    """The row's server, checked once as a site that somebody declared."""
    world = World(tls)
    async with answering(world.zone) as resolver, dialing(tls) as dialer, row.place(world) as url:
        site = SiteIn.model_validate({"key": "a", "url": url, "interval_s": 10, **row.site})
        spec = Spec(
            url,
            timeout_s=site.timeout_s,
            method=site.method,
            max_redirects=site.max_redirects,
            expect=expect_of(site.expect.model_dump()),
        )
        return await http.probe(spec, Network(resolvers=(resolver,)), dialer=dialer)


@pytest.mark.parametrize("row", HOSTILE, ids=lambda row: row.what)
def test_a_hostile_server_has_its_one_outcome(row: Row, tls: Certificates) -> None:
    found = run(checked(row, tls))
    assert found.outcome is row.outcome, found
    assert row.says in (found.detail or ""), found
    assert (found.detail is None) is (row.outcome is Outcome.OK)
    assert (found.snapshot is None) is (row.outcome is Outcome.OK)
    if row.outcome is Outcome.REDIRECT:
        assert found.status == 301
    if row.outcome is Outcome.DNS:
        assert found.phases.connect_ms is None
    assert found.latency_ms is None or found.latency_ms < 5_000, "it did not stay longer than it had to"
    if row.outcome in {Outcome.TIMEOUT, Outcome.CONNECT_TIMEOUT}:
        assert found.latency_ms is not None
        assert found.latency_ms >= 990
        assert spent_ms(found.phases) == pytest.approx(found.latency_ms, rel=0.1), "the phases tell where it went"


def test_a_certificate_says_on_which_day_it_ends_or_begins(tls: Certificates) -> None:
    for sentence, days in (("expired on", -2), ("is not valid before", 2)):
        day = (datetime.now(UTC) + timedelta(days=days)).date()
        valid = (days - 1, days) if days < 0 else (days, days + 1)
        row = Row("", https(lambda tls, valid=valid: tls.server(valid=valid)), Outcome.TLS)  # type: ignore[misc] # bound
        assert run(checked(row, tls)).detail == f"TLS with 127.0.0.1: the certificate {sentence} {day}"


def spent_ms(phases: Phases) -> float:
    return sum(
        value or 0.0 for value in (phases.dns_ms, phases.connect_ms, phases.tls_ms, phases.ttfb_ms, phases.transfer_ms)
    )


@pytest.mark.parametrize("scheme", ["http", "https", "tcp", "tls"])
@pytest.mark.parametrize("host", ["xn--", "a" * 64 + ".example", "a..b"])
def test_a_name_that_cannot_be_encoded_is_dns(scheme: str, host: str) -> None:
    """Nobody can declare such a site any more; one that was stored before has this outcome."""

    async def main() -> Probe:
        return await PROBES[scheme](Spec(f"{scheme}://{host}:1/"), Network())

    found = run(main())
    assert found.outcome is Outcome.DNS
    assert found.detail


def test_another_origin_gets_nothing_of_the_site(tls: Certificates) -> None:
    """Not the headers, not the body (a 307 sends it again), not who we are, not the client certificate."""
    asks = tls.server()
    tls.authority.configure_trust(asks)
    asks.verify_mode = ssl.CERT_OPTIONAL
    shown: list[bytes | None] = []
    heads: list[bytes] = []
    bodies: list[bytes] = []
    other = ""
    pem = tls.authority.issue_cert("prober.example").private_key_and_cert_chain_pem.bytes().decode()

    async def look(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown.append(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        heads.append(head)
        answer = ok() if b"/end" in head else redirects({"/": "/in", "/in": f"{other}/end"}, 307)
        await answer(head, reader, writer)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                bodies.append(await reader.read(65536))

    async def main() -> Probe:
        nonlocal other
        async with serving(look, asks) as second, serving(look, asks) as first, dialing(tls) as dialer:
            other = second.url("")
            spec = Spec(
                first.url(),
                method="POST",
                headers={"X-Api-Key": "s3cret", "Cookie": "s3cret=1", "Accept": "text/html"},
                auth=Auth("s3cret"),
                body="s3cret",
                client_certificate=pem,
            )
            return await http.probe(spec, Network(), dialer=dialer)

    other, heads, bodies = "", list[bytes](), list[bytes]()
    found = run(main())
    assert found.outcome is Outcome.OK, found
    assert [head.split(b" ")[1] for head in heads] == [b"/", b"/in", b"/end"]
    assert [head.count(b"s3cret") for head in heads] == [3, 3, 0]
    assert [name in heads[2].lower() for name in (b"authorization", b"x-api-key", b"cookie", b"accept: text")] == [
        False, False, False, False,
    ]  # fmt: skip
    assert [each is not None for each in shown] == [True, True, False]
    assert b"s3cret" in b"".join(bodies[:2])
    assert not b"".join(bodies[2:])
    assert b"betterstackworkbench" in heads[2].lower()


def test_the_deadline_covers_all_redirects_together() -> None:
    async def slow(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        step = int(head.split(b" ")[1].strip(b"/") or b"0")
        await redirects({f"/{step or ''}": f"/{step + 1}"})(head, reader, writer)

    async def main() -> Probe:
        async with serving(slow) as server:
            return await http.probe(Spec(server.url(), timeout_s=1.0), Network())

    found = run(main())
    assert found.outcome is Outcome.TIMEOUT
    assert found.latency_ms is not None
    assert 990 <= found.latency_ms < 5_000


def test_a_reset_right_behind_the_bytes_is_seen_by_a_loop_that_stood_still() -> None:
    """Both come at once then, and uvloop stops watching a socket with an error: it waited for the deadline."""
    asked, go, gone = threading.Event(), threading.Event(), threading.Event()

    def serve(listener: socket.socket, whole: bytes) -> None:
        client, _ = listener.accept()
        with client:
            client.recv(65536)
            asked.set()
            go.wait(10)
            client.sendall(whole)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.set()

    async def main(whole: bytes) -> Probe:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=serve, args=(listener, whole), daemon=True).start()
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            probing = asyncio.ensure_future(http.probe(Spec(url, timeout_s=10.0), Network()))
            while not asked.is_set():  # noqa: ASYNC110 - a thread sets it
                await asyncio.sleep(0.001)
            go.set()
            assert gone.wait(10), "the loop stands still until all has come"
            return await probing

    expected = {
        HEAD: (Outcome.RESET, None),
        HEAD + b"Content-Length: 9\r\n\r\nabc": (Outcome.RESET, 3),
        HEAD + b"Content-Length: 100000\r\n\r\n" + bytes(100_000): (Outcome.OK, 100_000),  # more than one read
    }
    for whole, outcome in expected.items():
        for each in (asked, go, gone):
            each.clear()
        found = run(main(whole))
        assert (found.outcome, found.bytes) == outcome, found


@pytest.mark.parametrize(
    ("cookie", "sent"),
    [("name=\xe9", "name=\xe9"), ("\xe9", "\xe9"), ("a=b\0c", None), ("\x01=b", None), ("a=b", "a=b")],
)
def test_a_cookie_of_any_letters_comes_back_and_one_that_no_header_holds_does_not(
    cookie: str, sent: str | None
) -> None:
    """Both were an exception of ours, and the site was never checked."""

    async def main() -> bytes:
        async with serving(
            raw(f"HTTP/1.1 302 x\r\nLocation: /\r\nSet-Cookie: {cookie}\r\nContent-Length: 0\r\n\r\n".encode())
        ) as server:
            found = await http.probe(Spec(server.url(), max_redirects=1), Network())
            assert found.outcome is Outcome.REDIRECT, found
            return server.heads[-1]

    lines = run(main()).decode().split("\r\n")
    assert [line for line in lines if line.lower().startswith("cookie")] == ([f"Cookie: {sent}"] if sent else [])


def test_an_ipv6_host_keeps_its_brackets_in_what_is_shown() -> None:
    found = run(http.probe(Spec("http://[::1]:1/a?secret"), Network(), dialer=Dialer(allowed=lambda _: False)))
    assert found.snapshot is not None
    assert found.snapshot.hops[0].url == "http://[::1]:1/a"
