"""What real servers leave in a failure's snapshot: how far it came, by which way, and what they said."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import trustme

from pipeline.vocabulary import Auth, Expect, Hop, Network, Outcome, Probe, Snapshot, Spec
from tests.faults.names import Zone, answering
from tests.integration.hostile import Handler, ok, raw, redirects, reset, run, serving, status
from workers.probes import PROBES, http
from workers.probes.network import Dialer
from workers.probes.secure import settled

GOOD = trustme.CA()
START, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2021, 1, 1, tzinfo=UTC)


def serve_as(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(context)
    return context


def trusting() -> Dialer:
    context = ssl.create_default_context()
    GOOD.configure_trust(context)
    return Dialer(context=settled(context, verify=True))


def check(handler: Handler | None, leaf: trustme.LeafCert | None = None, path: str = "/", **fields: object) -> Probe:
    """Probe a server of our own once."""

    async def main() -> Probe:
        async with serving(handler, serve_as(leaf) if leaf else None) as server:
            host = "localhost" if leaf else "127.0.0.1"
            spec = Spec(server.url(path, host), **{"timeout_s": 5.0, **fields})  # type: ignore[arg-type]
            return await http.probe(spec, Network(), dialer=trusting())

    return run(main())


def seen(probe: Probe) -> Snapshot:
    assert probe.snapshot is not None, probe
    return probe.snapshot


def test_what_is_ok_leaves_nothing_but_the_end_of_its_certificate() -> None:
    found = check(ok(), GOOD.issue_cert("localhost", not_after=END + timedelta(days=36_500)))
    assert (found.outcome, found.snapshot) == (Outcome.OK, None)
    assert found.expires_at == END + timedelta(days=36_500)
    assert check(ok()).expires_at is None


def test_a_name_that_is_not_there_ends_at_dns() -> None:
    async def main() -> Probe:
        async with answering(Zone()) as resolver:
            return await http.probe(Spec("http://nowhere.example/path?q=1"), Network(resolvers=(resolver,)))

    found = seen(run(main()))
    assert (found.phase, found.hops) == ("dns", (Hop("http://nowhere.example/path", None, None),))


def test_nobody_there_ends_at_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def main() -> Probe:
        return await http.probe(Spec(f"http://127.0.0.1:{port}/"), Network())

    found = seen(run(main()))
    assert (found.phase, found.hops) == ("connect", (Hop(f"http://127.0.0.1:{port}/", "127.0.0.1", None),))
    assert found.problems == (f"Nothing listens on 127.0.0.1:{port}",)


def test_an_expired_certificate_ends_at_tls_and_is_shown_all_the_same() -> None:
    found = check(ok(), GOOD.issue_cert("localhost", not_before=START, not_after=END))
    look = seen(found)
    assert (found.outcome, look.phase, look.tls, look.status_line) == (Outcome.TLS, "tls", None, None)
    assert look.certificate is not None
    assert (look.certificate.names, look.certificate.not_before) == (("localhost",), START)
    assert found.expires_at == look.certificate.not_after == END


def test_a_certificate_of_another_name_says_whose_it_is() -> None:
    look = seen(check(ok(), GOOD.issue_cert("other.example", "192.0.2.1")))
    assert look.certificate is not None
    assert look.certificate.names == ("other.example", "192.0.2.1")
    assert len(look.certificate.sha256) == 64


@pytest.mark.parametrize(
    ("handler", "phase"),
    [
        (None, "ttfb"),
        (reset(b""), "ttfb"),
        (reset(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "transfer"),
        (raw(b"HTTP/1.1 200 OK\r\nX-A: b\r\nX-"), "transfer"),
        (status(503), "answer"),
    ],
    ids=["silent", "reset", "reset-in-body", "half-a-head", "status"],
)
def test_each_phase_is_named(handler: Handler | None, phase: str) -> None:
    assert seen(check(handler, timeout_s=1.0)).phase == phase


def test_what_came_before_it_broke_is_shown() -> None:
    look = seen(check(reset(b"HTTP/1.1 200 Fine\r\nServer: odd\r\nContent-Length: 9\r\n\r\nabc")))
    assert look.status_line == "HTTP/1.1 200 Fine"
    assert look.headers == (("Server", "odd"), ("Content-Length", "9"))
    half = seen(check(raw(b"HTTP/1.1 200 Fine\r\nServer: odd\r\nX-")))
    assert (half.status_line, half.headers) == (None, (("Server", "odd"),))


def test_an_unexpected_answer_is_shown_with_its_tls() -> None:
    answer = b"HTTP/1.0 503 Sorry, closed\r\nRetry-After: 60\r\nSet-Cookie: a=b\r\n\r\n<h1>Closed</h1>"
    look = seen(check(raw(b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" + answer), GOOD.issue_cert("localhost")))
    assert look.status_line == "HTTP/1.0 503 Sorry, closed"
    assert look.headers == (("Retry-After", "60"), ("Set-Cookie", "•••"))
    assert look.body == "<h1>Closed</h1>"
    assert look.tls is not None
    assert look.tls.startswith("TLSv1.3 TLS_")


def test_only_the_beginning_of_a_body_is_kept_however_it_comes() -> None:
    letters = (b"abcdefghijklmnopqrstuvwxyz" * 200)[:5000]

    async def by_and_by(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n")
        for at in range(0, 5000, 7):
            piece = letters[at : at + 7]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    assert seen(check(by_and_by)).body == letters[:2048].decode()


def test_redirects_are_shown_without_what_their_addresses_hide() -> None:
    moved = redirects({"/a": "/b?token=abc", "/b?token=abc": "/c#x", "/c": "/c?again", "/c?again": "/nowhere"})

    async def gone(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (status(404) if b"/nowhere" in head else moved)(head, reader, writer)

    look = seen(check(gone, path="/a", max_redirects=5))
    paths = [(hop.url.rpartition("/")[2], hop.ip, hop.status) for hop in look.hops]
    here = "127.0.0.1"
    assert paths == [("a", here, 301), ("b", here, 301), ("c", here, 301), ("c", here, 301), ("nowhere", here, 404)]


def test_a_redirect_in_a_circle_shows_the_circle_and_the_last_answer() -> None:
    found = check(redirects({"/a": "/b", "/b": "/a"}), path="/a")
    look = seen(found)
    assert (found.outcome, look.phase, len(look.hops)) == (Outcome.REDIRECT, "answer", 2)
    assert ("Location", "/a") in look.headers


def test_the_earliest_certificate_of_the_way_is_the_one_that_ends() -> None:
    soon, late = datetime(2090, 1, 1, tzinfo=UTC), datetime(2095, 1, 1, tzinfo=UTC)

    async def main() -> Probe:
        last = serving(ok(), serve_as(GOOD.issue_cert("localhost", not_after=late)))
        async with last as there:
            first = serving(
                redirects({"/": there.url("/", "localhost")}), serve_as(GOOD.issue_cert("localhost", not_after=soon))
            )
            async with first as here:
                return await http.probe(Spec(here.url("/", "localhost")), Network(), dialer=trusting())

    assert run(main()).expires_at == soon


def test_a_server_that_echoes_everything_betrays_nothing() -> None:
    """In its status line, its headers and its body; the detail of the tick quotes it, and is cut with the rest."""
    secrets = ["header-secret-1", "bearer-secret-2", "body-secret-3", "cookie-secret-4"]

    async def echo(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        fields = b"".join(b"X-Echo-%d: %s\r\n" % (n, line) for n, line in enumerate(head.split(b"\r\n")[:-2]))
        whole = head + body + base64.b64encode(body)
        writer.write(b"HTTP/1.1 500 " + body + b"\r\n" + fields + b"Content-Length: %d\r\n\r\n" % len(whole) + whole)
        await writer.drain()

    found = check(
        echo,
        method="POST",
        headers={"X-Key": secrets[0], "Cookie": f"a={secrets[3]}"},
        auth=Auth(secrets[1]),
        body=f'{{"password": "{secrets[2]}"}}',
        expect=Expect(header=("x-echo-3 == nothing",), body_contains=("nothing",)),
    )
    whole = msgspec.json.encode(found).decode()
    assert found.outcome is Outcome.STATUS
    assert not [secret for secret in secrets if secret in whole]
    assert "•••" in (seen(found).body or "")


def test_tcp_and_tls_are_shown_too() -> None:
    async def main(scheme: str, context: ssl.SSLContext | None, **fields: object) -> Probe:
        async with serving(None, context) as server:
            spec = Spec(f"{scheme}://localhost:{server.port}", timeout_s=5, **fields)  # type: ignore[arg-type]
            found = await PROBES[scheme](spec, Network())
            if context is None:
                await server.connected.wait()  # we are gone before it has looked
            return found

    tls = run(main("tls", serve_as(GOOD.issue_cert("localhost"))))
    assert (seen(tls).phase, tls.outcome) == ("tls", Outcome.TLS)
    assert seen(tls).certificate is not None
    tcp = run(main("tcp", None, expect=Expect(max_latency_ms=0.000_001)))
    assert (seen(tcp).phase, tcp.outcome, len(seen(tcp).hops)) == ("answer", Outcome.SLOW, 1)
