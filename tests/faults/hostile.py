"""The table of hostile servers: what each does, and the one outcome that it has.

`test_outcomes` takes them one by one, `test_all_at_once` all together beside a fleet of healthy sites.
"""

from __future__ import annotations

import gzip
from typing import Any, NamedTuple

import trustme

from pipeline.vocabulary import Outcome
from tests.faults.names import NXDOMAIN, REFUSED, SERVFAIL, Zone
from tests.faults.servers import (
    Certificates,
    Place,
    bomb,
    by_method,
    closed,
    floods,
    full,
    greets,
    hangs_up,
    http,
    https,
    named,
    packed,
    replies,
    server_hello,
    shakes_hands,
)
from tests.integration.hostile import drip, flood, ok, raw, redirects, reset, status

POLICY = "127.0.0.0/8"
"""What may be connected to: the servers here, and nothing else that is near."""

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
MANY = b"x" * 65536
HELLO_REQUEST = b"\x16\x03\x03\0\x04\0\0\0\0"  # a client that shakes hands already ignores it
BOMB = bomb(300)  # 306 KB
DOUBLE = gzip.compress(bomb(4096))  # 4 GiB, twice packed

BRIEF = {"timeout_s": 1.0}  # for those that never come to an end
WELCOME = {"expect": {"body_contains": ["Welcome"]}}
OTHER = trustme.CA()
CAFE = {"expect": {"body_contains": ["café"]}}


class Row(NamedTuple):
    """A hostile server: `says` is part of the sentence, `site` the fields of the site as one declares them."""

    what: str
    place: Place
    outcome: Outcome
    says: str = ""
    site: dict[str, Any] = {}  # noqa: RUF012


def hops(*targets: str) -> Place:
    """A server that sends from its root to the first of these, from there to the next, and so on."""
    return http(redirects(dict(zip(("/", *targets), targets, strict=False))))


def has(*addresses: str) -> Any:
    return lambda zone, name: zone.names.update({name: list(addresses)})


def answered(code: Any) -> Any:
    return lambda zone, name: zone.codes.update({name: code})


def slow(seconds: float) -> Any:
    def setting(zone: Zone, name: str) -> None:
        zone.names[name] = ["127.0.0.1"]
        zone.delays_s[name] = seconds

    return setting


def circle(zone: Zone, name: str) -> None:
    zone.aliases.update({name: f"a.{name}", f"a.{name}": name})


def cut_short(zone: Zone, name: str) -> None:
    zone.names[name] = ["127.0.0.1"]
    zone.truncated.add(name)


def lying(zone: Zone, name: str) -> None:
    """The answer is to a question that nobody asked."""
    zone.names[name] = ["127.0.0.1"]
    zone.broken[name] = lambda wire: wire.replace(b"\x07hostile", b"\x07another", 1)


def mangled(zone: Zone, name: str) -> None:
    zone.names[name] = ["127.0.0.1"]
    zone.broken[name] = lambda wire: wire[:4] + b"\xff\xff" + wire[6:12] + b"\xc0\x0c" * 8


# fmt: off
HOSTILE = (
    # It takes its time, and the deadline is hard whatever drips
    Row("accepts-and-stays-silent", http(None), Outcome.TIMEOUT, "Connected, but no answer within 1 s", BRIEF),
    Row("103-drip", http(drip(b"", EARLY, 0.1)), Outcome.TIMEOUT, "the headers did not end", BRIEF),
    Row("head-drip", http(drip(HEAD + b"X: ", b"x")), Outcome.TIMEOUT, "the headers did not end", BRIEF),
    Row("body-drip", http(drip(HEAD + b"Content-Length: 1000\r\n\r\n", b"x")), Outcome.TIMEOUT, "the body did", BRIEF),
    Row("body-to-eof-drip", http(drip(HEAD + b"\r\n", b"x")), Outcome.TIMEOUT, "the body did not end", BRIEF),
    Row("chunk-drip", http(drip(CHUNKED, b"1\r\nx\r\n")), Outcome.TIMEOUT, "the body did not end", BRIEF),
    # It never ends
    Row("103-flood", http(flood(b"", EARLY)), Outcome.PROTOCOL, "informational responses"),
    Row("endless-headers", http(flood(HEAD, b"X-Header: without end\r\n")), Outcome.PROTOCOL, "larger than 64 KiB"),
    Row("endless-header", http(flood(HEAD + b"X: ", b"one without end")), Outcome.PROTOCOL, "larger than 64 KiB"),
    Row("endless-trailers", http(flood(CHUNKED + b"0\r\n", b"A: b\r\n" * 400)), Outcome.PROTOCOL, "all framing"),
    Row("endless-extension", http(flood(CHUNKED + b"3;", b"without-end" * 200)), Outcome.PROTOCOL, "all framing"),
    Row("endless-body", http(flood(HEAD + b"\r\n", MANY)), Outcome.OK),
    Row("endless-body-bounded", http(flood(HEAD + b"\r\n", MANY)), Outcome.TOO_LARGE, "more than 100000 bytes",
        {"expect": {"max_bytes": 100_000}}),
    Row("endless-body-looked-at", http(flood(HEAD + b"\r\n", MANY)), Outcome.CONTENT, "in the first 2 MiB", WELCOME),
    Row("bomb", http(packed(BOMB, "gzip")), Outcome.OK),
    Row("bomb-looked-at", http(packed(BOMB, "gzip")), Outcome.CONTENT, "in the first 2 MiB", WELCOME),
    Row("bomb-in-bomb", http(packed(DOUBLE, "gzip, gzip")), Outcome.OK),
    Row("bomb-in-bomb-looked-at", http(packed(DOUBLE, "gzip, gzip")), Outcome.CONTENT, "not unpacked here", WELCOME),
    Row("bomb-failing", http(raw(b"HTTP/1.1 500 x\r\nContent-Encoding: gzip\r\n\r\n" + BOMB)), Outcome.STATUS, "500"),
    # It lies, or talks nonsense
    Row("shorter-than-length", http(raw(HEAD + b"Content-Length: 9\r\n\r\nok")), Outcome.PROTOCOL, "after 2 of 9"),
    Row("longer-than-length", http(raw(HEAD + b"Content-Length: 2\r\n\r\nok, and more")), Outcome.OK),
    Row("length-is-no-number", http(raw(HEAD + b"Content-Length: banana\r\n\r\n")), Outcome.PROTOCOL, "not HTTP/1.1"),
    Row("two-lengths", http(raw(HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab")), Outcome.PROTOCOL, "not"),
    Row("chunk-size-garbage", http(raw(CHUNKED + b"zz\r\nabc\r\n")), Outcome.PROTOCOL, "The body is broken"),
    Row("chunk-longer-than-size", http(raw(CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n")), Outcome.PROTOCOL, "body is broken"),
    Row("chunk-size-overflow", http(raw(CHUNKED + b"ffffffffffffffffff\r\nabc")), Outcome.PROTOCOL, "body is broken"),
    Row("eof-in-chunks", http(raw(CHUNKED + b"3\r\nabc\r\n")), Outcome.PROTOCOL, "middle of a chunked body"),
    Row("eof-in-head", http(raw(HEAD + b"Content-Le")), Outcome.PROTOCOL, "middle of the headers"),
    Row("no-colon", http(raw(HEAD + b"no colon here\r\n\r\n")), Outcome.PROTOCOL, "not HTTP/1.1"),
    Row("ssh", http(raw(b"SSH-2.0-OpenSSH_9.2\r\n")), Outcome.PROTOCOL, "not HTTP/1.1"),
    Row("rtsp", http(raw(b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")), Outcome.PROTOCOL, "RTSP"),
    Row("garbage", http(raw(b"\x00\xff\xfe garbage")), Outcome.PROTOCOL, "not HTTP/1.1"),
    Row("101", http(raw(b"HTTP/1.1 101 x\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")), Outcome.PROTOCOL, "101"),
    # It breaks off
    Row("closes", http(raw(b"")), Outcome.RESET, "closed without an answer"),
    Row("reset", http(reset(b"")), Outcome.RESET, "reset before it answered"),
    Row("reset-in-head", http(reset(HEAD)), Outcome.RESET, "reset before it answered"),
    Row("reset-in-body", http(reset(HEAD + b"Content-Length: 9\r\n\r\nabc")), Outcome.RESET, "after 3 bytes"),
    Row("refuses", closed, Outcome.REFUSED, "Nothing listens on 127.0.0.1"),
    Row("swallows", full, Outcome.CONNECT_TIMEOUT, "No connection within 1 s", BRIEF),
    # It sends elsewhere
    Row("redirect-loop", hops("/a", "/"), Outcome.REDIRECT, "in a circle"),
    Row("redirect-to-itself", hops("/"), Outcome.REDIRECT, "in a circle"),
    Row("redirect-chain", hops(*(f"/{n}" for n in range(9))), Outcome.REDIRECT, "More than 3 redirects", {"max_redirects": 3}),  # noqa: E501
    Row("redirect-to-ftp", hops("ftp://127.0.0.1/file"), Outcome.REDIRECT, "not HTTP"),
    Row("redirect-to-high-port", hops("http://127.0.0.1:99999/"), Outcome.REDIRECT, "Redirects to port 99999"),
    Row("redirect-to-port-0", hops("http://127.0.0.1:0/"), Outcome.REDIRECT, "Redirects to port 0"),
    Row("redirect-to-no-idn", hops("http://xn--/"), Outcome.REDIRECT, "no URL"),
    Row("redirect-to-long-label", hops("http://\xe9\xff" + "a" * 70 + "/"), Outcome.REDIRECT, "no URL"),
    Row("redirect-to-no-port", hops("http://127.0.0.1:abc/"), Outcome.REDIRECT, "no URL"),
    Row("redirect-to-private", hops("http://10.0.0.1/"), Outcome.BLOCKED, "10.0.0.1"),
    Row("redirect-to-metadata", hops("http://169.254.169.254/latest/"), Outcome.BLOCKED, "169.254.169.254"),
    Row("redirect-to-mapped", hops("http://[::ffff:10.0.0.1]/"), Outcome.BLOCKED, "::ffff:a00:1"),
    Row("redirect-to-private-late", hops("/a", "/b", "https://192.168.0.1/"), Outcome.BLOCKED, "192.168.0.1"),
    # Its TLS does not hold
    Row("expired", https(lambda tls: tls.server(valid=(-3, -2))), Outcome.TLS, "the certificate expired on 2"),
    Row("not-yet-valid", https(lambda tls: tls.server(valid=(2, 3))), Outcome.TLS, "is not valid before 2"),
    Row("wrong-name", https(lambda tls: tls.server("127.0.0.9")), Outcome.TLS, "the certificate is for 127.0.0.9"),
    Row("self-signed", https(Certificates.self_signed), Outcome.TLS, "self-signed"),
    Row("unknown-authority", https(lambda tls: tls.server(authority=OTHER)), Outcome.TLS, "not trusted"),
    Row("incomplete-chain", https(Certificates.incomplete), Outcome.TLS, "the chain is incomplete"),
    Row("tls-1.1-only", shakes_hands(Certificates.old), Outcome.TLS, "refuses TLS 1.2 and 1.3"),
    Row("tls-1.0-chosen", replies(server_hello(0x0301)), Outcome.TLS, "only TLS versions older than 1.2"),
    Row("no-common-cipher", shakes_hands(Certificates.odd_cipher), Outcome.TLS, "shares no cipher"),
    Row("handshake-stall", replies(b""), Outcome.TIMEOUT, "Connected, but no TLS handshake within 1 s", BRIEF),
    Row("handshake-drip", replies(server_hello(0x0303)[:20]), Outcome.TIMEOUT, "no TLS handshake within 1 s", BRIEF),
    Row("handshake-without-end", floods(HELLO_REQUEST), Outcome.TLS, "without end and nothing in them"),
    Row("handshake-closed", hangs_up(), Outcome.TLS, "closed the connection during the TLS handshake"),
    Row("handshake-alert", replies(b"\x15\x03\x03\x00\x02\x02\x28"), Outcome.TLS, "shares no cipher"),
    Row("handshake-in-plain", greets(b"220 mail.example ESMTP ready\r\n"), Outcome.TLS, "does not speak TLS"),
    # Its name leads nowhere, or to where nobody may go
    Row("nxdomain", named(answered(NXDOMAIN)), Outcome.DNS, "does not exist (NXDOMAIN)"),
    Row("servfail", named(answered(SERVFAIL)), Outcome.DNS, "(SERVFAIL)", BRIEF),
    Row("dns-refused", named(answered(REFUSED)), Outcome.DNS, "The resolver", BRIEF),
    Row("no-address", named(has()), Outcome.DNS, "has no address"),
    Row("dns-silent", named(lambda zone, name: zone.silent.add(name)), Outcome.DNS, "not resolved within 1 s", BRIEF),
    Row("dns-too-slow", named(slow(3.0)), Outcome.DNS, "not resolved within 1 s", BRIEF),
    Row("dns-slow", named(slow(0.5)), Outcome.OK),
    Row("dns-cut-short", named(cut_short), Outcome.OK),
    Row("dns-lies", named(lying), Outcome.DNS, "not resolved within 1 s", BRIEF),
    Row("dns-garbage", named(mangled), Outcome.DNS, "hostile", BRIEF),
    Row("cname-to-nowhere", named(lambda zone, name: zone.aliases.update({name: "nowhere.example"})), Outcome.DNS),
    Row("cname-loop", named(circle), Outcome.DNS, "hostile"),
    Row("name-of-private", named(has("10.0.0.1", "192.168.0.1")), Outcome.BLOCKED, "192.168.0.1"),
    Row("name-of-metadata", named(has("169.254.169.254")), Outcome.BLOCKED, "169.254.169.254"),
    Row("name-of-both", named(has("10.0.0.1", "127.0.0.1")), Outcome.OK),
    # Its answer is no good, or is: the status is judged by what was expected
    Row("204", http(raw(b"HTTP/1.1 204 No Content\r\n\r\n")), Outcome.OK),
    Row("206", http(status(206)), Outcome.OK),
    Row("304", http(raw(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n")), Outcome.OK),
    Row("401", http(status(401)), Outcome.STATUS, "HTTP 401, expected 200-399"),
    Row("401-expected", http(status(401)), Outcome.OK, "", {"expect": {"status": ["200-299", "401"]}}),
    Row("418", http(status(418)), Outcome.STATUS, "HTTP 418, expected 200-399"),
    Row("503", http(status(503)), Outcome.STATUS, "HTTP 503, expected 200-299", {"expect": {"status": ["200-299"]}}),
    Row("503-expected", http(status(503)), Outcome.OK, "", {"expect": {"status": ["500-599"]}}),
    Row("head-refused", http(by_method({"HEAD": status(405)})), Outcome.STATUS, "HTTP 405", {"method": "HEAD"}),
    Row("head-refused-get-fine", http(by_method({"HEAD": status(405), "GET": ok()})), Outcome.OK),
    Row("head-fine", http(by_method({"HEAD": ok()})), Outcome.OK, "", {"method": "HEAD"}),
    Row("head-fine-get-fails", http(by_method({"HEAD": ok(), "GET": status(500)})), Outcome.STATUS, "HTTP 500"),
    Row("latin-1", http(raw(HEAD + b"\r\n<p>Un caf\xe9</p>")), Outcome.OK, "", CAFE),
    Row("latin-1-called-utf-8", http(raw(HEAD + b"Content-Type: text/html; charset=utf-8\r\n\r\ncaf\xe9")),
        Outcome.CONTENT, "does not contain", CAFE),
)
# fmt: on
