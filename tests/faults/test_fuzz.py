"""Whatever a server sends, a probe is an outcome of the site's, in time, and in bounded memory: never an exception.

Answers are arbitrary bytes and sound answers that were broken somewhere, cut into pieces anywhere. What turns this red:
any library's error that nobody expected (httptools, httpx, zlib, ssl, cryptography), text that no store takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.cleaning import cleaned
from pipeline.vocabulary import Check, Expect, Network, Outcome, Probe, Spec
from tests.faults.hostile import CHUNKED, HEAD
from tests.faults.names import Zone, answering
from tests.faults.servers import Certificates
from tests.integration.hostile import ok, raw, run, serving
from workers.attempts import Doubt, tick_of
from workers.probes import http, tls
from workers.probes.certificates import expires_at, summary
from workers.probes.network import Dialer
from workers.wire import pack, unpack_tick

few = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,  # the same every time: what is found by chance is a test of its own
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

ALL = Expect(
    body_contains=("é",), body_absent=("Fatal",), body_matches=(r"\d+",), json=("$.a[0].b == 1",), header=("etag exists",),  # noqa: E501
    final_url="http://127.0.0.1/*", min_bytes=1, max_bytes=100_000, max_latency_ms=10_000, tls_days=3,
)  # fmt: skip
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OURS = {Outcome.POISON, Outcome.WORKER_LOST, Outcome.WORKER_OVERLOAD, Outcome.PROBE_NETWORK, Outcome.LATE}

SOUND = [
    HEAD + b"Content-Length: 2\r\n\r\nok",
    HEAD + b"Content-Type: application/json; charset=utf-8\r\nContent-Length: 16\r\n\r\n" + b'{"a": [{"b": 1}]}'[:16],
    CHUNKED + b"3\r\nabc\r\n2;name=value\r\nde\r\n0\r\nTrailer: x\r\n\r\n",
    HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"Welcome " * 40, mtime=0),
    HEAD + b"Content-Encoding: deflate\r\nContent-Type: text/html; charset=utf-16\r\n\r\n" + b"x\x9cK\xcaI,.I\x05",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + HEAD + b"Set-Cookie: a=b; Path=/\r\n\r\nbody",
    b"HTTP/1.1 302 Found\r\nLocation: /next?a=b#c\r\nSet-Cookie: a=b; Max-Age=1\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\n<html>gone</html>",
]


@st.composite
def broken(draw: st.DrawFn, sound: list[bytes] = SOUND) -> bytes:
    """A sound answer with a few pieces of it changed, repeated, or taken out."""
    answer = bytearray(draw(st.sampled_from(sound)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(answer)))
        until = draw(st.integers(at, min(len(answer), at + 12)))
        piece = draw(st.one_of(st.binary(max_size=8), st.just(bytes(answer[at:until]) * 3), st.sampled_from(PIECES)))
        answer[at:until] = piece
    return bytes(answer)


PIECES = [
    b"\r\n", b"\r\n\r\n", b"\0", b": ", b" ", b"\n", b"-1", b"99999999999999999999", b"ffffffffffffffff", b"0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Encoding: gzip, br\r\n", b"Location: //\r\n",
    b"Content-Type: text/plain; charset=idna\r\n", b"HTTP/1.1 200 OK\r\n", b"\xff\xfe", b"\xed\xa0\x80", b"\x1f\x8b\x08",  # noqa: E501
]  # fmt: skip


def sound_of(probe: Probe, spec: Spec) -> None:
    """It is a statement about the site, and the wire and the store take what it says."""
    assert isinstance(probe.outcome, Outcome)
    assert probe.outcome not in OURS, probe
    check = Check(1, 1, NOW, 1, 60, spec)
    tick = cleaned(tick_of(check, probe, started_at=NOW, doubt=Doubt(0.0), prober="eu-1"))
    assert unpack_tick(pack(tick)) == tick
    for text in (probe.detail or "", repr(probe.snapshot)):
        text.encode("utf-8")


async def asked(spec: Spec, dialer: Dialer | None = None, network: Network | None = None) -> Probe:
    async with asyncio.timeout(5):  # the deadline of the attempt is 1 s
        return await http.probe(spec, network or Network(), dialer=dialer or Dialer())


def check(answer: bytes, cuts: list[int], expect: Expect) -> None:
    async def pieces(_head: bytes, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True):
            writer.write(answer[start:end])
            await asyncio.sleep(0)
        await writer.drain()

    async def main() -> None:
        async with serving(pieces) as server:
            spec = Spec(server.url(), timeout_s=1.0, expect=expect, max_redirects=3)
            sound_of(await asked(spec), spec)

    run(main())


@st.composite
def cut(draw: st.DrawFn, answers: st.SearchStrategy[bytes]) -> tuple[bytes, list[int]]:
    answer = draw(answers)
    return answer, sorted(draw(st.lists(st.integers(0, len(answer)), max_size=3)))


@few
@given(cut(st.binary(max_size=300)), st.sampled_from([Expect(), ALL]))
def test_arbitrary_bytes_are_an_outcome(sent: tuple[bytes, list[int]], expect: Expect) -> None:
    check(*sent, expect)


@few
@given(cut(st.binary(max_size=300).map(lambda rest: HEAD + rest)), st.sampled_from([Expect(), ALL]))
def test_arbitrary_headers_are_an_outcome(sent: tuple[bytes, list[int]], expect: Expect) -> None:
    check(*sent, expect)


@settings(few, max_examples=500)
@given(cut(broken()), st.sampled_from([Expect(), ALL]))
def test_an_answer_that_is_broken_somewhere_is_an_outcome(sent: tuple[bytes, list[int]], expect: Expect) -> None:
    check(*sent, expect)


URLS = st.one_of(
    st.text(st.characters(min_codepoint=1, max_codepoint=0x2FFF, exclude_characters="\r\n"), max_size=40),
    st.lists(
        st.sampled_from(["http:", "https:", "//", "/", "@", ":", "[", "]", "::1", "%", "%zz", "xn--", ".", "..", "?", "#",  # noqa: E501
                         "127.0.0.1", "0", "99999", "é", "\u3002", "\uff11", "\u200d", "javascript:", "a" * 64, "\\", " "]),  # noqa: E501
        max_size=8,
    ).map("".join),
)  # fmt: skip


@settings(few, max_examples=300)
@given(URLS, st.sampled_from(["latin-1", "utf-8"]), st.sampled_from([301, 303, 307]))
def test_any_location_is_an_outcome(location: str, charset: str, code: int) -> None:
    line = f"HTTP/1.1 {code} x\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode(charset, "replace")

    async def main() -> None:
        # Wherever it points to, only this machine is asked: names do not exist, and other addresses are blocked.
        dialer = Dialer(allowed=lambda address: str(address) == "127.0.0.1")
        async with serving(raw(line)) as server, answering(Zone()) as where:
            spec = Spec(server.url(), timeout_s=1.0, max_redirects=3)
            try:
                sound_of(await asked(spec, dialer, Network(resolvers=(where,))), spec)
            finally:
                await dialer.aclose()

    run(main())


COOKIES = st.lists(
    st.sampled_from(["a", "=", ";", " ", "b", "Path=/", "Expires=", "Thu, 99 Foo 9999 99:99:99 GMT", "Max-Age=", "-1", "9" * 30,  # noqa: E501
                     "Domain=", "127.0.0.1", '"', "\\", ",", "é", "\0", "$Version=1", "Version=x", 'Port="80', "secure"]),  # noqa: E501
    max_size=12,
).map("".join)  # fmt: skip


@few
@given(st.lists(COOKIES, min_size=1, max_size=3))
def test_any_cookie_is_an_outcome(cookies: list[str]) -> None:
    lines = "".join(f"Set-Cookie: {cookie}\r\n" for cookie in cookies)
    check(f"HTTP/1.1 302 x\r\nLocation: /\r\n{lines}Content-Length: 0\r\n\r\n".encode(), [], Expect())


RECORD = b"\x16\x03\x03\x00\x4a\x02\x00\x00\x46\x03\x03" + bytes(32) + b"\x20" + bytes(32) + b"\xc0\x2f\x00"


@few
@given(
    st.one_of(st.binary(max_size=200), broken([RECORD, b"\x15\x03\x03\x00\x02\x02\x28", RECORD + RECORD])),
    st.sampled_from(["https", "tls"]),
)
def test_any_bytes_for_a_handshake_are_an_outcome(sent: bytes, scheme: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(sent)
        writer.close()

    async def main() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
            spec = Spec(f"{scheme}://127.0.0.1:{listener.sockets[0].getsockname()[1]}/", timeout_s=1.0)
            probe = http.probe if scheme == "https" else tls.probe
            async with asyncio.timeout(5):
                sound_of(await probe(spec, Network()), spec)

    run(main())


Change = tuple[float, int, bytes]
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 6), st.binary(max_size=6)), min_size=1, max_size=4)


def changed(wire: bytes, changes: list[Change]) -> bytes:
    """An answer with so many bytes at some place of it, as a share of its length, replaced by others."""
    answer = bytearray(wire)
    for share, length, piece in changes:
        at = 2 + int(share * (len(answer) - 2))  # an id of its own would be no answer at all
        answer[at : at + length] = piece
    return bytes(answer)


@few
@given(st.sampled_from(["site.example", "alias.example", "nowhere.example"]), CHANGES)
def test_any_answer_of_a_resolver_is_an_outcome(name: str, changes: list[Change]) -> None:
    zone = Zone({"site.example": ["127.0.0.1", "::1", "10.0.0.1"]}, aliases={"alias.example": "site.example"})
    zone.broken[name] = lambda wire: changed(wire, changes)

    async def main() -> None:
        dialer = Dialer(allowed=lambda address: str(address) == "127.0.0.1")
        async with serving(ok()) as server, answering(zone) as where:
            spec = Spec(server.url(host=name), timeout_s=0.1)  # much of it answers nobody, and is waited for
            try:
                sound_of(await asked(spec, dialer, Network(resolvers=(where,))), spec)
            finally:
                await dialer.aclose()

    run(main())


@pytest.fixture(scope="module")
def leaf() -> bytes:
    issued = Certificates().authority.issue_cert("a.example", "127.0.0.1", "*.b.example")
    from cryptography.hazmat.primitives.serialization import Encoding

    return x509.load_pem_x509_certificate(issued.cert_chain_pems[0].bytes()).public_bytes(Encoding.DER)


@settings(few, max_examples=400)
@given(st.data())
def test_any_certificate_can_be_looked_at(leaf: bytes, data: st.DataObject) -> None:
    der = data.draw(st.one_of(st.binary(max_size=100), broken([leaf])))
    ends = expires_at(der)
    assert ends is None or isinstance(ends, datetime)
    found = summary(der)
    assert found is None or found.not_after - found.not_before < timedelta(days=366 * 10_000)
    repr(found).encode("utf-8")


@contextlib.contextmanager
def bounded(megabytes: float) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < megabytes * 2**20


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
def test_memory_is_bounded_whatever_comes(coding: str) -> None:
    """A body as long as it likes, in one piece or as a bomb, with everything asked of it."""
    from tests.faults.servers import bomb

    body = bomb(1000)[: 2 * 2**20] if coding == "gzip" else b"x" * (4 * 2**20)
    head = HEAD + f"Content-Encoding: {coding}\r\n\r\n".encode()

    async def main() -> None:
        async with serving(raw(head + body)) as server:
            spec = Spec(server.url(), timeout_s=10.0, expect=Expect(body_contains=("é",), json=("$.a exists",)))
            async with asyncio.timeout(15):
                sound_of(await http.probe(spec, Network()), spec)

    with bounded(40):
        run(main())
