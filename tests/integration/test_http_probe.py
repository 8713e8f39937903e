"""Each thing a server can do has one outcome, and the probe comes back in time with nothing left open."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pipeline.guard import Address
from pipeline.vocabulary import Expect, Network, Outcome, Phases, Probe, Spec
from tests.faults.names import Zone, answering
from tests.faults.servers import Certificates
from tests.integration.hostile import (
    Handler,
    drip,
    flood,
    ok,
    open_descriptors,
    proxy,
    raw,
    redirects,
    run,
    serving,
    settled,
    status,
)
from workers.probes import http
from workers.probes.http import BODY_LIMIT
from workers.probes.network import Dialer
from workers.probes.secure import tls_context
from workers.probes.transport import OneShotTransport

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def check(handler: Handler | None, path: str = "/", *, timeout_s: float = 5.0, **fields: object) -> Probe:
    """Probe a server of our own once."""

    async def main() -> Probe:
        async with serving(handler) as server:
            return await http.probe(Spec(server.url(path), timeout_s=timeout_s, **fields), Network())  # type: ignore[arg-type]

    return run(main())


def spent_ms(phases: Phases) -> float:
    return sum(
        value or 0.0 for value in (phases.dns_ms, phases.connect_ms, phases.tls_ms, phases.ttfb_ms, phases.transfer_ms)
    )


# What is fine


def test_a_plain_answer_is_ok_with_its_address_bytes_and_phases() -> None:
    found = check(ok(b"hello"))
    assert (found.outcome, found.status, found.ip, found.bytes, found.detail) == (
        Outcome.OK,
        200,
        "127.0.0.1",
        5,
        None,
    )
    assert found.latency_ms is not None
    assert found.phases.dns_ms is None
    assert found.phases.tls_ms is None
    assert None not in (found.phases.connect_ms, found.phases.ttfb_ms, found.phases.transfer_ms)


@pytest.mark.parametrize(
    ("answer", "size"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", 0),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", 0),
        (b"HTTP/1.0 200 OK\r\n\r\nto the end of the stream", 24),
        (HEAD + b"Content-Length: 2\r\n\r\nok and more than was promised", 2),
        (CHUNKED + b"3\r\nabc\r\n2;name=value\r\nde\r\n0\r\nTrailer: x\r\n\r\n", 5),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nok", 2),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nok", 2),
        (HEAD + b"X-Name: caf\xe9 \xff\r\nContent-Length: 2\r\n\r\n\xe9\xff", 2),
        (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 2),
    ],
    ids=["204", "304", "1.0-to-eof", "longer-than-length", "chunked", "103", "100", "latin-1", "bare-lf"],
)
def test_what_a_browser_accepts_is_ok(answer: bytes, size: int) -> None:
    found = check(raw(answer))
    assert (found.outcome, found.bytes, found.detail) == (Outcome.OK, size, None)


def test_the_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    async def stays_open(_head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 1000\r\n\r\n")
        await reader.read()

    found = check(stays_open, method="HEAD")
    assert (found.outcome, found.status, found.bytes) == (Outcome.OK, 200, 0)


def test_a_body_without_end_is_read_up_to_the_limit() -> None:
    found = check(flood(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536))
    assert found.outcome is Outcome.OK
    assert found.bytes is not None
    assert BODY_LIMIT <= found.bytes < BODY_LIMIT + 128 * 1024


def test_it_says_who_it_is_and_sends_the_headers_of_the_site() -> None:
    async def main() -> bytes:
        async with serving(ok()) as server:
            url = server.url("/a?b=c").replace("//", "//me:secret@")
            await http.probe(Spec(url, headers={"X-Key": "k", "Accept": "text/html"}), Network())
            return server.heads[0]

    lines = run(main()).decode("ascii").lower().split("\r\n")
    assert lines[0] == "get /a?b=c http/1.1"
    assert "x-key: k" in lines
    assert "accept: text/html" in lines
    assert "accept: */*" not in lines
    assert "connection: close" in lines
    assert "authorization: basic bwu6c2vjcmv0" in lines
    assert any(re.match(r"user-agent: betterstackworkbench/\d", line) for line in lines)


# Redirects


def test_where_redirects_led_to_is_known_by_its_port() -> None:
    async def main() -> list[int | None]:
        async with serving(ok()) as last, serving(redirects({"/": last.url()})) as first:
            return [(await http.probe(Spec(each.url()), Network())).port for each in (first, last)] + [-last.port]

    there, here, port = run(main())
    assert (there, here) == (-(port or 0), None)


def test_a_chain_is_followed_and_its_phases_add_up() -> None:
    found = check(redirects({"/": "/a", "/a": "b", "/b": "?c"}))
    assert (found.outcome, found.status) == (Outcome.OK, 200)
    assert found.latency_ms is not None
    assert 0 < spent_ms(found.phases) <= found.latency_ms * 1.001


@pytest.mark.parametrize("target", ["/elsewhere", "http://xn--/"])
def test_with_no_redirects_wanted_the_redirect_itself_is_judged(target: str) -> None:
    found = check(redirects({"/": target}), max_redirects=0, expect=Expect(status=((301, 301),)))
    assert (found.outcome, found.status) == (Outcome.OK, 301)


def test_the_same_origin_gets_them_again_with_the_cookies_it_set() -> None:
    async def main() -> list[bytes]:
        async with serving(redirects({"/": "/in"}, extra="Set-Cookie: session=42; Path=/\r\n")) as server:
            await http.probe(Spec(server.url(), headers={"X-Api-Key": "k", "Cookie": "own=1"}), Network())
            await http.probe(Spec(server.url()), Network())
            return server.heads

    heads = run(main())
    assert b"x-api-key: k" in heads[1].lower()
    assert b"own=1; session=42" in heads[1]
    assert b"session" not in heads[2], "cookies end with the attempt"


def test_a_site_that_sets_a_cookie_and_sends_back_to_itself_is_up() -> None:
    async def wants_cookie(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = ok() if b"seen=1" in head else redirects({"/": "/"}, 302, "Set-Cookie: seen=1\r\n")
        await answer(head, reader, writer)

    assert check(wants_cookie).outcome is Outcome.OK


def test_a_site_that_sets_cookies_without_end_is_sent_as_many_as_a_browser_keeps() -> None:
    """Thousands, at each of 20 hops, took seconds of our processor, in pieces of half a second."""

    async def main() -> tuple[Probe, list[bytes]]:
        async def more(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            hop = int(head.split(b" ")[1][1:] or 0)
            extra = "".join(f"Set-Cookie: c{hop}-{n}=x; Path=/\r\n" for n in range(100))
            await redirects({f"/{hop or ''}": f"/{hop + 1}"}, 302, extra)(head, reader, writer)

        async with serving(more) as server:
            return await http.probe(Spec(server.url(), max_redirects=5), Network()), server.heads

    found, heads = run(main())
    assert found.outcome is Outcome.REDIRECT
    assert [head.count(b"=x") for head in heads] == [0, 100, 180, 180, 180, 180]


# Names


def test_the_resolver_of_the_region_is_asked_and_its_addresses_tried_in_turn() -> None:
    async def main() -> tuple[Probe, list[str]]:
        dialer = Dialer()
        zone = Zone({"site.example": ["127.0.0.7", "127.0.0.1"]})
        try:
            async with serving(ok()) as server, answering(zone) as where:
                found = await http.probe(
                    Spec(server.url(host="site.example")), Network(resolvers=(where,)), dialer=dialer
                )
                return found, zone.asked
        finally:
            await dialer.aclose()

    found, asked = run(main())
    assert (found.outcome, found.ip) == (Outcome.OK, "127.0.0.1")
    assert found.phases.dns_ms is not None
    assert set(asked) == {"site.example"}


def test_an_address_that_swallows_everything_leaves_time_for_the_next() -> None:
    async def main() -> Probe:
        dialer = Dialer()
        zone = Zone({"site.example": ["127.0.0.7", "127.0.0.1"]})
        with socket.socket() as full, contextlib.ExitStack() as fillers:
            async with serving(ok()) as server, answering(zone) as where:
                full.bind(("127.0.0.7", server.port))
                full.listen(0)
                for _ in range(4):
                    filler = fillers.enter_context(socket.socket())
                    filler.setblocking(False)
                    filler.connect_ex(("127.0.0.7", server.port))
                spec = Spec(server.url(host="site.example"), timeout_s=1.0)
                try:
                    return await http.probe(spec, Network(resolvers=(where,)), dialer=dialer)
                finally:
                    await dialer.aclose()

    found = run(main())
    assert (found.outcome, found.ip) == (Outcome.OK, "127.0.0.1"), found


def test_localhost_needs_no_resolver() -> None:
    async def main() -> Probe:
        dialer = Dialer()
        try:
            async with serving(ok()) as server:
                return await http.probe(Spec(server.url(host="localhost")), Network(), dialer=dialer)
        finally:
            await dialer.aclose()

    assert run(main()).outcome is Outcome.OK


def test_a_resolver_that_is_not_running_is_our_fault_and_not_the_sites() -> None:
    async def main() -> Probe:
        dialer = Dialer()
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind(("127.0.0.1", 0))
                port = sock.getsockname()[1]
            return await http.probe(
                Spec("http://site.example/"), Network(resolvers=(f"127.0.0.1:{port}",)), dialer=dialer
            )
        finally:
            await dialer.aclose()

    assert run(main()).outcome is Outcome.PROBE_NETWORK


# Ways out


def test_the_source_address_is_what_the_server_sees() -> None:
    async def main() -> list[str]:
        async with serving(ok()) as server:
            found = await http.probe(Spec(server.url()), Network(source_address="127.0.0.5"))
            assert found.outcome is Outcome.OK
            return server.peers

    assert run(main()) == ["127.0.0.5"]


def test_a_source_address_that_is_not_ours_is_our_fault() -> None:
    found = run(http.probe(Spec("http://127.0.0.1:1/"), Network(source_address="192.0.2.1")))
    assert found.outcome is Outcome.PROBE_NETWORK


def test_each_address_is_judged_just_before_connecting() -> None:
    judged: list[Address] = []

    def allowed(address: Address) -> bool:
        judged.append(address)
        return str(address) != "127.0.0.2"

    async def main() -> Probe:
        async with serving(redirects({"/": "http://127.0.0.2/"})) as server:
            return await http.probe(Spec(server.url()), Network(), dialer=Dialer(allowed=allowed))

    found = run(main())
    assert found.outcome is Outcome.BLOCKED
    assert list(map(str, judged)) == ["127.0.0.1", "127.0.0.2"]


def test_http_goes_through_the_proxy_in_absolute_form() -> None:
    async def main() -> tuple[Probe, bytes]:
        async with serving(proxy) as server:
            found = await http.probe(
                Spec("http://site.example/a?b=c", headers={"X-Key": "k"}),
                Network(proxy=f"http://me:pw@127.0.0.1:{server.port}"),
            )
            return found, server.heads[0]

    found, head = run(main())
    assert (found.outcome, found.bytes) == (Outcome.OK, 17)
    assert head.startswith(b"GET http://site.example/a?b=c HTTP/1.1\r\n")
    assert b"Host: site.example\r\n" in head
    assert b"Proxy-Authorization: Basic bWU6cHc=\r\n" in head


def test_https_goes_through_a_tunnel(tls: Certificates) -> None:
    async def main() -> tuple[Probe, bytes]:
        async with serving(ok(), tls.server("127.0.0.1")) as site, serving(proxy) as server:
            found = await http.probe(
                Spec(site.url()), Network(proxy=f"http://127.0.0.1:{server.port}"), dialer=Dialer(context=tls.client)
            )
            return found, server.heads[0]

    found, head = run(main())
    assert found.outcome is Outcome.OK, found
    assert head.startswith(b"CONNECT 127.0.0.1:")


def test_a_proxy_that_refuses_is_our_fault() -> None:
    async def main() -> tuple[Probe, Probe]:
        async with serving(status(407)) as server:
            refuses = await http.probe(Spec("https://site.example/"), Network(proxy=f"http://127.0.0.1:{server.port}"))
        absent = await http.probe(Spec("http://site.example/"), Network(proxy=f"http://127.0.0.1:{server.port}"))
        return refuses, absent

    assert [found.outcome for found in run(main())] == [Outcome.PROBE_NETWORK, Outcome.PROBE_NETWORK]


# TLS


@pytest.fixture(scope="module")
def tls() -> Certificates:
    return Certificates()


def check_tls(tls: Certificates, context: ssl.SSLContext, handler: Handler | None = None) -> Probe:
    async def main() -> Probe:
        async with serving(handler or ok(), context) as server:
            return await http.probe(Spec(server.url()), Network(), dialer=Dialer(context=tls.client))

    # asyncio's server side reports each failed handshake to the loop; that is the point here.
    return run(main())


def test_tls_is_ok_with_a_trusted_certificate(tls: Certificates) -> None:
    found = check_tls(tls, tls.server("127.0.0.1"))
    assert (found.outcome, found.status, found.bytes) == (Outcome.OK, 200, 2)
    assert found.phases.tls_ms is not None
    assert found.latency_ms is not None
    assert spent_ms(found.phases) == pytest.approx(found.latency_ms, rel=0.2)


def test_a_large_body_comes_whole_through_tls(tls: Certificates) -> None:
    found = check_tls(tls, tls.server("127.0.0.1"), ok(b"x" * 500_000))
    assert (found.outcome, found.bytes) == (Outcome.OK, 500_000)


def test_a_body_that_is_all_tls_and_no_bytes_is_read_no_further(tls: Certificates) -> None:
    """A record a byte: 2 MiB of them would be 50 MiB to decrypt."""

    async def records(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        for _ in range(100):
            for _ in range(1_000):
                writer.write(b"x")
            await writer.drain()

    found = check_tls(tls, tls.server("127.0.0.1"), records)
    assert found.outcome is Outcome.TLS
    assert "messages without end and nothing in them" in (found.detail or "")


def test_a_certificate_authority_can_be_named_in_the_environment(
    tls: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tls.authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    tls_context.cache_clear()
    try:

        async def main() -> Probe:
            async with serving(ok(), tls.server("127.0.0.1")) as server:
                return await http.probe(Spec(server.url()), Network())

        assert run(main()).outcome is Outcome.OK
    finally:
        tls_context.cache_clear()


# The transport alone


def test_any_httpx_client_can_use_the_transport() -> None:
    async def main() -> tuple[str, list[str]]:
        handler = raw(CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
        async with serving(handler) as server, httpx.AsyncClient(transport=OneShotTransport()) as client:
            response = await client.post(server.url(), content=b"body")
            trace = response.extensions["trace"]
            assert (trace.ip, trace.bytes) == ("127.0.0.1", 5)
            return response.text, server.heads[0].decode("ascii").split("\r\n")

    text, head = run(main())
    assert text == "abcde"
    assert "Content-Length: 4" in head


def test_a_prober_stays_light() -> None:
    # VmHWM and not ru_maxrss: that one is inherited from the process that starts another.
    code = (
        "import re, sys, workers.probes as _;"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024,"
        " *{'polars', 'sqlalchemy', 'altair', 'pydantic'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not printed[1:]
    assert int(printed[0]) <= 45


# Nothing is left behind


def test_cancelling_leaves_no_socket_open(tls: Certificates) -> None:
    async def cancelled(url: str, connected: asyncio.Event, network: Network, dialer: Dialer) -> None:
        task = asyncio.create_task(http.probe(Spec(url, timeout_s=30), network, dialer=dialer))
        await connected.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def main() -> None:
        dialer, zone = Dialer(context=tls.client), Zone(silent={"site.example"})
        async with (
            serving(None) as silent,
            serving(drip(HEAD + b"\r\n", b"x")) as dripping,
            answering(zone) as resolver,
        ):
            nameless = Network(resolvers=(resolver,))
            await cancelled("http://site.example/", zone.asked_once, nameless, dialer)
            await dialer.aclose()
            for server, scheme in ((silent, "http"), (silent, "https"), (dripping, "http")):
                server.connected.clear()
                server.hung_up.clear()
                before = open_descriptors()
                await cancelled(f"{scheme}://127.0.0.1:{server.port}/", server.connected, Network(), dialer)
                await server.hung_up.wait()
                assert await settled(before)

    run(main())
    gc.collect()


def test_failures_leave_no_socket_open() -> None:
    async def main() -> None:
        async with serving(raw(b"garbage")) as garbage, serving(None) as silent:
            await http.probe(Spec(garbage.url()), Network())
            before = open_descriptors()
            for _ in range(3):
                await http.probe(Spec(garbage.url()), Network())
                await http.probe(Spec(silent.url(), timeout_s=0.05), Network())
                await http.probe(Spec(f"https://127.0.0.1:{garbage.port}/", timeout_s=0.05), Network())
            assert await settled(before)

    run(main())


def test_two_hundred_at_once_are_all_well(tls: Certificates) -> None:
    async def main() -> list[Probe]:
        dialer = Dialer(context=tls.client)
        async with serving(ok()) as plain, serving(ok(), tls.server("127.0.0.1")) as secure:
            probes = [
                http.probe(Spec(server.url(), timeout_s=10), Network(), dialer=dialer)
                for server in (plain, secure)
                for _ in range(100)
            ]
            return await asyncio.gather(*probes)

    found = run(main())
    assert [p.outcome for p in found] == [Outcome.OK] * 200


def test_the_phases_add_up_to_the_latency() -> None:
    async def slow(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.2)
        writer.write(HEAD + b"Content-Length: 2\r\n\r\no")
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(b"k")

    found = check(slow)
    assert found.latency_ms is not None
    assert found.latency_ms == pytest.approx(spent_ms(found.phases), abs=5)
    assert found.phases.ttfb_ms == pytest.approx(200, abs=50)
    assert found.phases.transfer_ms == pytest.approx(100, abs=50)


def test_a_fault_of_ours_is_an_exception_and_not_an_outcome() -> None:
    def broken(_address: Address) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(http.probe(Spec("http://127.0.0.1:1/"), Network(), dialer=Dialer(allowed=broken)))
    with pytest.raises(ValueError, match="line break"):
        run(http.probe(Spec("http://127.0.0.1:1/", headers={"X": "a\r\nInjected: b"}), Network()))
    with pytest.raises(UnicodeEncodeError):
        run(http.probe(Spec("http://127.0.0.1:1/", headers={"é": "a name that no header may have"}), Network()))
