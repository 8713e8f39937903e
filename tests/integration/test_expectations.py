"""What is expected of an answer, against servers that give it or do not."""

from __future__ import annotations

import asyncio
import gzip
import json
import random
import socket
import ssl
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trustme

from pipeline.vocabulary import Auth, Expect, Network, Outcome, Probe, Spec
from tests.integration.hostile import Handler, flood, ok, raw, redirects, run, serving, status
from workers.probes import http
from workers.probes.network import Dialer

HEAD = b"HTTP/1.1 200 OK\r\n"
MANY = 65536


def answers(body: bytes, *headers: str, code: int = 200) -> Handler:
    lines = "".join(f"{header}\r\n" for header in headers)
    return raw(f"HTTP/1.1 {code} Whatever\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body)


def check(handler: Handler, path: str = "/", *, spec: dict[str, Any] | None = None, **expect: Any) -> Probe:
    """Probe a server of our own once and hold its answer against what is expected."""

    async def main() -> Probe:
        async with serving(handler) as server:
            wanted = {name: value.replace("{here}", server.url("")) if name == "final_url" else value
                      for name, value in expect.items()}  # fmt: skip
            asked = Spec(server.url(path), timeout_s=5.0, expect=Expect(**wanted), **(spec or {}))
            return await http.probe(asked, Network())

    return run(main())


def told(found: Probe) -> tuple[Outcome, str | None]:
    return found.outcome, found.detail


PAGE = answers("<h1>Welcome é</h1>".encode(), "Content-Type: text/html", "Server: nginx")
API = answers(b'{"status": "degraded", "items": [1, 2]}', "Content-Type: application/json")


@pytest.mark.parametrize(
    ("handler", "expect"),
    [
        (PAGE, {"body_contains": ("Welcome", "é")}),
        (PAGE, {"body_absent": ("Fatal",)}),
        (PAGE, {"body_matches": (r"<h1>\w+ \pL</h1>",)}),
        (PAGE, {"header": ("content-type contains html", "x-cache absent")}),
        (PAGE, {"min_bytes": 19, "max_bytes": 19}),
        (PAGE, {"final_url": "{here}/"}),
        (PAGE, {"max_latency_ms": 4_000}),
        (API, {"json": ('$.status == "degraded"', "$.items length == 2", "$.error absent")}),
        (status(503), {"status": ((503, 503),), "max_bytes": 0}),
    ],
)
def test_what_is_as_expected_is_ok(handler: Handler, expect: dict[str, Any]) -> None:
    assert told(check(handler, **expect)) == (Outcome.OK, None)


@pytest.mark.parametrize(
    ("handler", "expect", "outcome", "sentence"),
    [
        (PAGE, {"body_contains": ("welcome",)}, Outcome.CONTENT, 'the body does not contain "welcome"'),
        (PAGE, {"body_absent": ("Welcome",)}, Outcome.CONTENT, 'the body contains "Welcome", which was to be absent'),
        (PAGE, {"body_matches": (r"^\d",)}, Outcome.CONTENT, r"the body does not match ^\d"),
        (PAGE, {"header": ("server != nginx",)}, Outcome.CONTENT, 'the header server is "nginx", expected != "nginx"'),
        (PAGE, {"json": ("$.a exists",)}, Outcome.CONTENT, "the body is not JSON (invalid character (byte 0))"),
        (PAGE, {"min_bytes": 20}, Outcome.CONTENT, "the body has 19 bytes, expected at least 20"),
        (PAGE, {"max_bytes": 18}, Outcome.TOO_LARGE, "the body has 19 bytes, expected at most 18"),
        (API, {"json": ('$.status == "ok"',)}, Outcome.CONTENT, '$.status is "degraded", expected == "ok"'),
    ],
)
def test_what_is_not_as_expected_says_so(
    handler: Handler, expect: dict[str, Any], outcome: Outcome, sentence: str
) -> None:
    found = check(handler, **expect)
    assert told(found) == (outcome, sentence)
    assert found.snapshot is not None
    assert found.snapshot.problems == (sentence,)


def test_all_that_fails_is_told_the_worst_first() -> None:
    found = check(
        answers(b"{}", code=503),
        body_contains=("Welcome",),
        json=("$.status == ok",),
        header=("x-a exists",),
        max_bytes=1,
    )
    assert found.snapshot is not None
    assert found.outcome is Outcome.STATUS
    assert found.snapshot.problems == (
        "HTTP 503, expected 200-399",
        "the body has 2 bytes, expected at most 1",
        "the header x-a is not there",
        'the body does not contain "Welcome"',
        '$.status is not there, expected == "ok"',
    )
    assert found.detail == "; ".join(found.snapshot.problems)


def test_redirects_end_where_they_should_or_it_is_a_redirect() -> None:
    handler = redirects({"/": "/login?next=secret"})
    assert check(handler, final_url="{here}/login*").outcome is Outcome.OK
    assert check(handler, final_url="{here}/login?next=secret#top").outcome is Outcome.OK
    found = check(handler, final_url="{here}/home")
    assert found.outcome is Outcome.REDIRECT
    assert found.detail is not None
    assert "/login?…, expected" in found.detail
    assert "secret" not in found.detail


def test_where_redirects_are_not_followed_their_own_answer_is_judged() -> None:
    for location in ("/login", "http://[broken", "mailto:me", "//"):
        handler = answers(b"moved", f"Location: {location}", code=302)
        found = check(handler, spec={"max_redirects": 0}, body_contains=("moved",), final_url="{here}/")
        assert told(found) == (Outcome.OK, None)


def test_slow_is_degraded() -> None:
    async def slow(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(HEAD + b"Content-Length: 0\r\n\r\n")

    found = check(slow, max_latency_ms=50)
    assert found.outcome is Outcome.SLOW
    assert found.detail is not None
    assert found.detail.endswith("expected 50 ms or less")


def test_what_we_do_with_an_answer_is_no_part_of_its_latency() -> None:
    large = json.dumps([{"id": n, "name": "x" * 20} for n in range(15_000)]).encode()[:-1] + b"]"
    conditions = tuple(f"$[?@.id == {n}].name exists" for n in range(4))

    async def main() -> tuple[Probe, float]:
        async with serving(answers(large)) as server:
            loop = asyncio.get_running_loop()
            began = loop.time()
            found = await http.probe(Spec(server.url(), expect=Expect(json=conditions)), Network())
            return found, (loop.time() - began) * 1000

    found, took_ms = run(main())
    assert found.latency_ms is not None
    assert found.latency_ms < took_ms / 2, (found.latency_ms, took_ms)


def test_the_loop_goes_on_while_a_large_body_is_judged() -> None:
    body = bytes(random.Random(1).choices(b"ab", k=256 * 1024))

    async def main() -> tuple[Probe, int]:
        async with serving(answers(body)) as server:
            expect = Expect(body_matches=("a[ab]{500}c",))
            turns, probing = 0, asyncio.ensure_future(http.probe(Spec(server.url(), expect=expect), Network()))
            while not probing.done():
                await asyncio.sleep(0.001)
                turns += 1
            return await probing, turns

    found, turns = run(main())
    assert found.outcome is Outcome.CONTENT
    assert turns > 50


def test_a_certificate_that_ends_soon_is_degraded() -> None:
    authority = trustme.CA()
    client = ssl.create_default_context()
    authority.configure_trust(client)
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ends = datetime.now(UTC) + timedelta(days=9, hours=12)
    authority.issue_cert("127.0.0.1", not_after=ends).configure_cert(server_side)

    async def main(days: int) -> Probe:
        async with serving(ok(), server_side) as server:
            spec = Spec(server.url(), expect=Expect(tls_days=days))
            return await http.probe(spec, Network(), dialer=Dialer(context=client))

    assert run(main(9)).outcome is Outcome.OK
    found = run(main(10))
    assert told(found) == (Outcome.EXPIRING, f"The certificate expires on {ends.date()}")


def test_a_packed_body_is_unpacked_where_somebody_looks_at_it() -> None:
    packed = answers(gzip.compress(b'{"ok": true}'), "Content-Encoding: gzip")
    assert told(check(packed, json=("$.ok == true",), body_contains=("ok",))) == (Outcome.OK, None)
    broken = answers(b"no gzip at all", "Content-Encoding: gzip")
    assert check(broken).outcome is Outcome.OK
    assert told(check(broken, body_absent=("x",))) == (
        Outcome.CONTENT,
        "the body cannot be unpacked as gzip (incorrect header check)",
    )


def test_a_bomb_is_unpacked_no_further_than_anything_else() -> None:
    bomb = answers(gzip.compress(b"\0" * (64 * 1024 * 1024)), "Content-Encoding: gzip")
    assert told(check(bomb, body_contains=("Welcome",))) == (
        Outcome.CONTENT,
        'the body (in the first 2 MiB) does not contain "Welcome"',
    )


def test_a_body_without_end_is_judged_by_its_beginning() -> None:
    endless = flood(HEAD + b"\r\nWelcome ", b"x" * MANY)
    assert check(endless, body_contains=("Welcome",)).outcome is Outcome.OK
    found = check(endless, body_contains=("back",), json=("$.a exists",))
    assert found.outcome is Outcome.CONTENT
    assert found.snapshot is not None
    assert found.snapshot.problems == (
        'the body (in the first 2 MiB) does not contain "back"',
        "the body is longer than 2 MiB, so that its JSON cannot be read",
    )


def test_a_body_that_is_too_large_is_read_no_further() -> None:
    endless = flood(HEAD + b"\r\n", b"x" * MANY)
    found = check(endless, max_bytes=100_000)
    assert told(found) == (Outcome.TOO_LARGE, "the body has more than 100000 bytes, expected at most 100000")
    assert found.bytes is not None
    assert found.bytes < 100_000 + 2 * MANY
    both = check(endless, max_bytes=10, body_contains=("Welcome",))
    assert both.outcome is Outcome.TOO_LARGE
    assert both.detail == (
        'the body has more than 10 bytes, expected at most 10; the body (in the first 2 MiB) does not contain "Welcome"'
    )


def test_a_large_body_is_read_as_far_as_it_has_to_be_counted() -> None:
    large = answers(b"x" * (3 * 1024 * 1024))
    assert check(large, min_bytes=3 * 1024 * 1024).outcome is Outcome.OK
    assert check(large, max_bytes=3 * 1024 * 1024).outcome is Outcome.OK
    assert check(large, max_bytes=3 * 1024 * 1024 - 1).outcome is Outcome.TOO_LARGE
    found = check(large, max_bytes=4 * 1024 * 1024, body_contains=("Welcome",))
    assert told(found) == (Outcome.CONTENT, 'the body (in the first 2 MiB) does not contain "Welcome"')


def test_a_body_that_breaks_off_is_no_content() -> None:
    broken = raw(HEAD + b"Content-Length: 100\r\n\r\nWelcome")
    assert check(broken, body_contains=("Welcome",)).outcome is Outcome.PROTOCOL


def test_what_a_server_echoes_of_our_secrets_is_not_quoted() -> None:
    token = "t0ken-" + "x" * 120

    async def echo(head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"you": {"sent": head.decode("latin-1")}}).encode()
        writer.write(HEAD + b"X-You: " + token.encode() + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    found = check(
        echo,
        spec={"auth": Auth(token)},
        json=("$.you.sent == nothing", "$.you == nothing"),
        header=("x-you == nothing",),
    )
    assert found.outcome is Outcome.CONTENT
    assert found.detail is not None
    assert "t0ken" not in found.detail
    assert "•••" in found.detail


def test_a_hundred_problems_fit_into_a_tick() -> None:
    found = check(answers(b""), body_contains=tuple(f"{n} {'x' * 900}" for n in range(20)))
    assert found.detail is not None
    assert len(found.detail) <= 500


def test_what_is_looked_at_leaves_no_socket_open() -> None:
    async def main() -> None:
        async with serving(flood(HEAD + b"\r\n", b"x" * MANY)) as server:
            await http.probe(Spec(server.url(), expect=Expect(body_contains=("a",))), Network())
            async with asyncio.timeout(5):
                await server.hung_up.wait()

    run(main())


def test_a_closed_port_is_refused_whatever_is_expected() -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}/"
        found = run(http.probe(Spec(url, expect=Expect(body_contains=("a",), max_bytes=1)), Network()))
    assert found.outcome is Outcome.REFUSED
