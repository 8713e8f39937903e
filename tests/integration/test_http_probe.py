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
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trustme

from pipeline.guard import Address
from pipeline.vocabulary import Expect, Network, Outcome, Phases, Probe, Spec
from tests.integration.hostile import (
    Handler,
    drip,
    flood,
    naming,
    ok,
    open_descriptors,
    proxy,
    raw,
    redirects,
    reset,
    run,
    serving,
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


# What was expected


@pytest.mark.parametrize(
    ("code", "ranges", "outcome", "detail"),
    [
        (503, ((200, 299),), Outcome.STATUS, "HTTP 503, expected 200-299"),
        (503, ((500, 599),), Outcome.OK, None),
        (401, ((200, 299), (401, 401)), Outcome.OK, None),
        (418, ((200, 399),), Outcome.STATUS, "HTTP 418, expected 200-399"),
        (206, ((200, 399),), Outcome.OK, None),
    ],
)
def test_the_status_is_judged_by_what_was_expected(
    code: int, ranges: tuple[tuple[int, int], ...], outcome: Outcome, detail: str | None
) -> None:
    found = check(status(code), expect=Expect(status=ranges))
    assert (found.outcome, found.status, found.detail) == (outcome, code, detail)


# Redirects


def test_a_chain_is_followed_and_its_phases_add_up() -> None:
    found = check(redirects({"/": "/a", "/a": "b", "/b": "?c"}))
    assert (found.outcome, found.status) == (Outcome.OK, 200)
    assert found.latency_ms is not None
    assert 0 < spent_ms(found.phases) <= found.latency_ms * 1.001


@pytest.mark.parametrize(
    ("targets", "sentence"),
    [
        ({"/": "/a", "/a": "/"}, "in a circle"),
        ({f"/{n or ''}": f"/{n + 1}" for n in range(9)}, "More than 3 redirects"),
        ({"/": "ftp://127.0.0.1/file"}, "not HTTP"),
        ({"/": "http://xn--/"}, "no URL"),
        ({"/": "http://127.0.0.1:abc/"}, "no URL"),
        ({"/": "http://\xe9\xff" + "a" * 70 + "/"}, "no URL"),
    ],
    ids=["loop", "too-many", "scheme", "idna", "port", "long-label"],
)
def test_a_redirect_that_leads_nowhere_is_a_redirect(targets: dict[str, str], sentence: str) -> None:
    found = check(redirects(targets), max_redirects=3)
    assert (found.outcome, found.status) == (Outcome.REDIRECT, 301)
    assert found.detail is not None
    assert sentence in found.detail


@pytest.mark.parametrize("target", ["/elsewhere", "http://xn--/"])
def test_with_no_redirects_wanted_the_redirect_itself_is_judged(target: str) -> None:
    found = check(redirects({"/": target}), max_redirects=0, expect=Expect(status=((301, 301),)))
    assert (found.outcome, found.status) == (Outcome.OK, 301)


def test_another_origin_gets_no_header_of_the_site() -> None:
    async def main() -> tuple[bytes, bytes]:
        async with serving(ok()) as other, serving(redirects({"/": other.url()})) as server:
            headers = {"Authorization": "Bearer s3cret", "X-Api-Key": "s3cret", "Cookie": "s3cret=1"}
            found = await http.probe(Spec(server.url(), headers=headers), Network())
            assert found.outcome is Outcome.OK
            return server.heads[0], other.heads[0]

    first, second = run(main())
    assert first.count(b"s3cret") == 3
    assert b"s3cret" not in second
    assert b"BetterStackWorkbench" in second


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


# Servers that fail


@pytest.mark.parametrize(
    ("handler", "outcome"),
    [
        (raw(b""), Outcome.RESET),
        (reset(b""), Outcome.RESET),
        (reset(HEAD), Outcome.RESET),
        (reset(HEAD + b"Content-Length: 100\r\n\r\nabc"), Outcome.RESET),
        (raw(b"SSH-2.0-OpenSSH_9.2\r\n"), Outcome.PROTOCOL),
        (raw(b"\x00\xff\xfe garbage"), Outcome.PROTOCOL),
        (raw(HEAD + b"Content-Le"), Outcome.PROTOCOL),
        (raw(HEAD + b"no colon here\r\n\r\n"), Outcome.PROTOCOL),
        (raw(HEAD + b"Content-Length: banana\r\n\r\n"), Outcome.PROTOCOL),
        (raw(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"), Outcome.PROTOCOL),
        (raw(HEAD + b"Content-Length: 100\r\n\r\nshort"), Outcome.PROTOCOL),
        (raw(CHUNKED + b"zz\r\nabc\r\n"), Outcome.PROTOCOL),
        (raw(CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n"), Outcome.PROTOCOL),
        (raw(CHUNKED + b"ffffffffffffffffff\r\nabc"), Outcome.PROTOCOL),
        (raw(CHUNKED + b"3\r\nabc\r\n"), Outcome.PROTOCOL),
        (raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), Outcome.PROTOCOL),
        (flood(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"), Outcome.PROTOCOL),
        (flood(HEAD, b"X-Header: without end\r\n"), Outcome.PROTOCOL),
        (flood(HEAD + b"X: ", b"one header without end"), Outcome.PROTOCOL),
        (flood(CHUNKED + b"0\r\n", b"Trailer: without end\r\n" * 100), Outcome.PROTOCOL),
        (flood(CHUNKED + b"3;", b"an-extension-without-end" * 100), Outcome.PROTOCOL),
    ],
    ids=[
        "closes",
        "reset",
        "reset-in-head",
        "reset-in-body",
        "ssh",
        "garbage",
        "eof-in-head",
        "no-colon",
        "length-is-no-number",
        "two-lengths",
        "shorter-than-length",
        "chunk-size-garbage",
        "chunk-longer-than-size",
        "chunk-size-overflow",
        "eof-in-chunks",
        "101",
        "103-flood",
        "endless-headers",
        "endless-header",
        "endless-trailers",
        "endless-extension",
    ],
)
def test_a_broken_answer_has_one_outcome(handler: Handler, outcome: Outcome) -> None:
    found = check(handler)
    assert (found.outcome, bool(found.detail)) == (outcome, True), found


@pytest.mark.parametrize(
    "handler",
    [
        None,
        drip(b"", b"HTTP/1.1 103 x\r\n\r\n", 0.1),
        drip(HEAD + b"X: ", b"x"),
        drip(HEAD + b"Content-Length: 1000\r\n\r\n", b"x"),
        drip(HEAD + b"\r\n", b"x"),
        drip(CHUNKED, b"1\r\nx\r\n"),
    ],
    ids=["silent", "103-drip", "head-drip", "body-drip", "body-to-eof-drip", "chunk-drip"],
)
def test_the_deadline_is_hard_whatever_drips(handler: Handler | None) -> None:
    found = check(handler, timeout_s=1.0)
    assert found.outcome is Outcome.TIMEOUT, found
    assert found.latency_ms == pytest.approx(1000, rel=0.1)
    assert found.detail is not None
    assert "within 1 s" in found.detail
    assert spent_ms(found.phases) == pytest.approx(1000, rel=0.1)


def test_the_deadline_covers_all_redirects_together() -> None:
    async def slow(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        step = int(head.split(b" ")[1].strip(b"/") or b"0")
        await redirects({f"/{step or ''}": f"/{step + 1}"})(head, reader, writer)

    found = check(slow, timeout_s=1.0)
    assert found.outcome is Outcome.TIMEOUT
    assert found.latency_ms == pytest.approx(1000, rel=0.1)


def test_a_closed_port_is_refused() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))  # bound, but not listening: nobody else gets the port
        port = sock.getsockname()[1]
        found = run(http.probe(Spec(f"http://127.0.0.1:{port}/"), Network()))
    assert (found.outcome, found.detail) == (Outcome.REFUSED, f"Nothing listens on 127.0.0.1:{port}")


def test_a_full_backlog_is_a_connect_timeout() -> None:
    async def main() -> Probe:
        loop = asyncio.get_running_loop()
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            address = listener.getsockname()
            fillers = [socket.socket() for _ in range(4)]
            try:
                for filler in fillers:
                    filler.setblocking(False)
                    filler.connect_ex(address)
                begun = loop.time()
                found = await http.probe(Spec(f"http://127.0.0.1:{address[1]}/", timeout_s=1.0), Network())
                assert loop.time() - begun < 1.5
                return found
            finally:
                for filler in fillers:
                    filler.close()

    found = run(main())
    assert found.outcome is Outcome.CONNECT_TIMEOUT
    assert found.latency_ms == pytest.approx(1000, rel=0.1)


# Names


@pytest.mark.parametrize("url", ["http://xn--/", "http://" + "a" * 64 + ".example/", "http://a..b/"])
def test_a_name_that_cannot_be_encoded_is_dns(url: str) -> None:
    found = run(http.probe(Spec(url), Network()))
    assert found.outcome is Outcome.DNS
    assert found.detail


@pytest.mark.parametrize(
    ("entry", "outcome", "sentence"),
    [
        (3, Outcome.DNS, "does not exist"),
        (2, Outcome.DNS, "SERVFAIL"),
        ([], Outcome.DNS, "has no address"),
        (None, Outcome.DNS, "within 1 s"),
    ],
    ids=["nxdomain", "servfail", "no-address", "silent"],
)
def test_a_name_without_an_address_is_dns(entry: list[str] | int | None, outcome: Outcome, sentence: str) -> None:
    async def main() -> Probe:
        dialer = Dialer()
        try:
            async with naming({"site.example": entry}) as (_, resolver):
                spec = Spec("http://site.example/", timeout_s=1.0)
                return await http.probe(spec, Network(resolvers=(resolver,)), dialer=dialer)
        finally:
            await dialer.aclose()

    found = run(main())
    assert found.outcome is outcome, found
    assert found.detail is not None
    assert sentence in found.detail
    assert found.phases.connect_ms is None


def test_the_resolver_of_the_region_is_asked_and_its_addresses_tried_in_turn() -> None:
    async def main() -> tuple[Probe, list[str]]:
        dialer = Dialer()
        try:
            async with serving(ok()) as server, naming({"site.example": ["127.0.0.7", "127.0.0.1"]}) as (names, where):
                found = await http.probe(
                    Spec(server.url(host="site.example")), Network(resolvers=(where,)), dialer=dialer
                )
                return found, names.asked
        finally:
            await dialer.aclose()

    found, asked = run(main())
    assert (found.outcome, found.ip) == (Outcome.OK, "127.0.0.1")
    assert found.phases.dns_ms is not None
    assert set(asked) == {"site.example"}


def test_an_address_that_swallows_everything_leaves_time_for_the_next() -> None:
    async def main() -> Probe:
        dialer = Dialer()
        names: dict[str, list[str] | int | None] = {"site.example": ["127.0.0.7", "127.0.0.1"]}
        with socket.socket() as full, contextlib.ExitStack() as fillers:
            async with serving(ok()) as server, naming(names) as (_, where):
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


class Certificates:
    """An authority that the client trusts, and servers of all sorts."""

    def __init__(self) -> None:
        self.authority = trustme.CA()
        self.client = ssl.create_default_context()
        self.authority.configure_trust(self.client)

    def server(
        self, name: str, *, authority: trustme.CA | None = None, valid: tuple[int, int] = (-1, 1)
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


def test_a_bad_certificate_is_tls_and_says_what_is_wrong(tls: Certificates) -> None:
    cases = {
        f"expired on {(datetime.now(UTC) - timedelta(days=2)).date()}": tls.server("127.0.0.1", valid=(-3, -2)),
        f"not valid before {(datetime.now(UTC) + timedelta(days=2)).date()}": tls.server("127.0.0.1", valid=(2, 3)),
        "is for 127.0.0.9": tls.server("127.0.0.9"),
        "not trusted": tls.server("127.0.0.1", authority=trustme.CA()),
        "self-signed": tls.self_signed(),
    }
    for sentence, context in cases.items():
        found = check_tls(tls, context)
        assert found.outcome is Outcome.TLS, found
        assert found.detail is not None
        assert sentence in found.detail


def test_an_old_tls_or_no_common_cipher_is_tls(tls: Certificates) -> None:
    old = tls.server("127.0.0.1")
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("DHE-RSA-AES256-SHA")
    assert check_tls(tls, old).outcome is Outcome.TLS


def test_a_server_that_greets_in_another_protocol_is_tls() -> None:
    async def main() -> Probe:
        async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP ready\r\n")
            await writer.drain()
            writer.close()

        listener = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with listener:
            port = listener.sockets[0].getsockname()[1]
            return await http.probe(Spec(f"https://127.0.0.1:{port}/"), Network())

    assert run(main()).outcome is Outcome.TLS


def test_a_stalled_handshake_is_a_timeout() -> None:
    async def main() -> Probe:
        async with serving(None) as server:
            return await http.probe(Spec(f"https://127.0.0.1:{server.port}/", timeout_s=1.0), Network())

    found = run(main())
    assert (found.outcome, found.detail) == (Outcome.TIMEOUT, "Connected, but no TLS handshake within 1 s")
    assert found.latency_ms == pytest.approx(1000, rel=0.1)


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
        dialer = Dialer(context=tls.client)
        async with (
            serving(None) as silent,
            serving(drip(HEAD + b"\r\n", b"x")) as dripping,
            naming({"site.example": None}) as (names, resolver),
        ):
            nameless = Network(resolvers=(resolver,))
            await cancelled("http://site.example/", names.asked_once, nameless, dialer)
            await dialer.aclose()
            for server, scheme in ((silent, "http"), (silent, "https"), (dripping, "http")):
                server.connected.clear()
                server.hung_up.clear()
                before = open_descriptors()
                await cancelled(f"{scheme}://127.0.0.1:{server.port}/", server.connected, Network(), dialer)
                await server.hung_up.wait()
                assert await _settled(before)

    run(main())
    gc.collect()


async def _settled(before: set[str]) -> bool:
    """Our end is closed at once; the server's goes a few turns of the loop later."""
    for _ in range(500):
        if open_descriptors() <= before:
            return True
        await asyncio.sleep(0.01)
    return False


def test_failures_leave_no_socket_open() -> None:
    async def main() -> None:
        async with serving(raw(b"garbage")) as garbage, serving(None) as silent:
            await http.probe(Spec(garbage.url()), Network())
            before = open_descriptors()
            for _ in range(3):
                await http.probe(Spec(garbage.url()), Network())
                await http.probe(Spec(silent.url(), timeout_s=0.05), Network())
                await http.probe(Spec(f"https://127.0.0.1:{garbage.port}/", timeout_s=0.05), Network())
            assert await _settled(before)

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
