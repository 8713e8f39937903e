"""What a failure shows: bounded, readable, and nothing that the site's owner would not want to read there."""

from __future__ import annotations

import base64
import gzip
import html
import json
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cleaning import sound
from pipeline.snapshots import as_plain, from_plain
from pipeline.vocabulary import Auth, Certificate, Hop, Network, Outcome, Snapshot, Spec
from workers.probes.requests import shown
from workers.probes.snapshot import BODY, HEADER_NAME, HEADER_VALUE, HEADERS, seen, taken
from workers.probes.trace import Phase, Request, Trace

SECRET = 'hunter2 "&<ü>'
CERTIFICATE = "-----BEGIN PRIVATE KEY-----\n" + "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49" * 2 + "\n-----END PRIVATE KEY-----\n"


@dataclass
class Heard:
    """An answer so far."""

    status: int = 503
    reason: bytes = b"Service Unavailable"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    start: bytes = b""
    version: str = "1.1"


def trace(answer: Heard | None = None, reached: Phase | None = "transfer", url: str = "https://shop.example/") -> Trace:
    lived = Trace(5)
    lived.url, lived.ip, lived.reached, lived.answer = httpx.URL(url), "192.0.2.1", reached, answer
    lived.status = answer.status if answer else None
    return lived


def look(answer: Heard, spec: Spec | None = None, network: Network | None = None) -> Snapshot:
    return taken(trace(answer), spec or Spec("https://shop.example/"), network or Network(), Outcome.STATUS, ["bad"])


def test_an_attempt_that_is_ok_carries_none() -> None:
    assert seen(trace(Heard(200)), Spec("https://shop.example/"), Network(), Outcome.OK, []).snapshot is None


@pytest.mark.parametrize(
    ("outcome", "reached", "phase"),
    [
        (Outcome.DNS, "dns", "dns"),
        (Outcome.BLOCKED, None, "dns"),
        (Outcome.REFUSED, "connect", "connect"),
        (Outcome.TLS, "tls", "tls"),
        (Outcome.TIMEOUT, "ttfb", "ttfb"),
        (Outcome.RESET, "transfer", "transfer"),
        (Outcome.STATUS, "transfer", "answer"),
        (Outcome.REDIRECT, None, "answer"),
        (Outcome.SLOW, "transfer", "answer"),
    ],
)
def test_it_says_how_far_it_came(outcome: Outcome, reached: Phase | None, phase: str) -> None:
    assert taken(trace(reached=reached), Spec("https://shop.example/"), Network(), outcome, ["no"]).phase == phase


def test_an_address_that_was_not_looked_up_is_not_that_of_the_request_before() -> None:
    lived = trace(reached="dns", url="https://me:secret@two.example:8443/b?token=1#part")
    lived.hops.append(Request(httpx.URL("http://one.example/a?x=1"), "192.0.2.1", 301, None))
    found = taken(lived, Spec("http://one.example/a"), Network(), Outcome.DNS, ["no such name"])
    assert found.hops == (
        Hop("http://one.example/a", "192.0.2.1", 301),
        Hop("https://two.example:8443/b", None, None),
    )


def test_everything_in_it_has_an_end() -> None:
    many = [(b"n" * 5000, b"v" * 5000)] * 1000
    found = look(Heard(599, b"r" * 5000, many, b"x" * BODY))
    assert len(found.headers) == HEADERS
    assert {(len(name), len(value)) for name, value in found.headers} == {(HEADER_NAME, HEADER_VALUE)}
    assert (len(found.body or ""), len(found.status_line or "")) == (BODY, 200)
    problems = taken(trace(), Spec("https://shop.example/"), Network(), Outcome.TLS, ["p" * 5000] * 1000).problems
    assert (len(problems), {len(problem) for problem in problems}) == (20, {300})


@pytest.mark.parametrize(
    "name",
    ["Set-Cookie", "AUTHORIZATION", "Proxy-Authenticate", "X-CSRF-Token", "x-api-key", "Session-Id", "X-Secret"],
)
def test_headers_that_tell_somebodys_secret_are_named_and_not_shown(name: str) -> None:
    [(shown, value)] = look(Heard(headers=[(name.encode(), b"abc123")])).headers
    assert (shown, value) == (name, "•••")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("/login?ticket=abc#x", "/login?•••"),
        ("https://me:pass@shop.example/a#access=abc", "https://shop.example/a?•••"),
        ("https://shop.example/a", "https://shop.example/a"),
    ],
)
def test_where_it_points_is_shown_without_what_may_be_a_secret(value: str, shown: str) -> None:
    assert look(Heard(headers=[(b"Location", value.encode())])).headers == (("Location", shown),)
    link = [(b"Link", f"<{value}>; rel=next".encode())]
    assert "abc" not in look(Heard(headers=link)).headers[0][1] or "://" not in value


SPEC = Spec(
    f"https://me:{quote(SECRET, safe='')}@shop.example/?q=a-long-secret-value",
    headers={"X-Api-Key": "header-secret", "Accept": "text/html", "X-Short": "abc"},
    body=json.dumps({"user": "somebody", "pin": 48151623, "deep": [{"word": "body-secret"}]}),
    auth=Auth(SECRET, "me"),
    client_certificate=CERTIFICATE,
)
SECRETS = [
    SECRET, "header-secret", "body-secret", "48151623", "a-long-secret-value", SPEC.body,
    base64.b64encode(f"me:{SECRET}".encode()).decode(), CERTIFICATE.splitlines()[1],
]  # fmt: skip
SPELLINGS = [
    str,
    html.escape,
    lambda text: quote(text, safe=""),
    lambda text: json.dumps(text)[1:-1],
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    lambda text: html.escape(text).replace("&quot;", "&#34;").replace("+", "&#43;"),
    lambda text: quote(text, safe=":/?#[]@!$&'()*+,;=%~"),
    lambda text: text.encode().decode("cp1252"),
]
NAMES = ["plain", "html", "url", "json", "base64", "url-safe base64", "PHP's json", "Go's html", "path", "mojibake"]


@pytest.mark.parametrize("spelled", SPELLINGS, ids=NAMES)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_that_comes_back_is_cut_wherever_and_however(secret: str, spelled: object) -> None:
    said = spelled(secret)  # type: ignore[operator]
    headers = [(b"X-Echo", said.encode()), (f"X-{said}"[:80].replace(" ", "").encode(), b"1")]
    found = look(Heard(503, said.encode(), headers, f"<p>{said}</p>".encode()), SPEC)
    problems = taken(trace(), SPEC, Network(), Outcome.CONTENT, [f"got {said}"]).problems
    texts = [found.body, found.status_line, found.headers[0][1], *problems]
    assert not [text for text in texts if said in (text or "")]
    assert all("•••" in (text or "") for text in texts)


def test_the_password_in_a_header_written_by_hand_is_a_secret_by_itself() -> None:
    basic = base64.b64encode(b"us:a-hidden-password").decode()
    spec = Spec("https://shop.example/", headers={"Authorization": f"Basic {basic}"})
    assert look(Heard(start=b"no user us with a-hidden-password"), spec).body == "no user us with •••"


@pytest.mark.parametrize("room", [4, 8, len("header-secret") - 1])
def test_a_secret_in_the_path_of_a_redirect_is_cut_before_the_address_is_shortened(room: int) -> None:
    lived = trace()
    start = "https://shop.example/"
    aim = start + "x" * (200 - len(start) - room) + "header-secret"
    lived.hops.append(Request(httpx.URL(aim), None, 302, None))
    found = taken(lived, SPEC, Network(), Outcome.REDIRECT, [f"Redirects in a circle, back to {shown(httpx.URL(aim))}"])
    assert "head" not in found.hops[0].url + found.problems[0]
    assert len(found.hops[0].url) <= 200


def test_what_is_no_secret_stays() -> None:
    found = look(Heard(headers=[(b"Content-Type", b"text/html")], start=b"text/html abc"), SPEC)
    assert (found.headers, found.body) == ((("Content-Type", "text/html"),), "text/html abc")


@pytest.mark.parametrize("kept", range(4, len("header-secret")))
def test_the_beginning_of_a_secret_at_the_end_of_what_is_kept_is_cut_too(kept: int) -> None:
    start = (b"x" * BODY + b"header-secret")[kept : kept + BODY]
    body = look(Heard(start=start), SPEC).body or ""
    assert body.strip("x") == "•••"


def test_a_proxys_credentials_are_secrets_of_ours() -> None:
    network = Network(proxy="http://us:proxy-secret@192.0.2.9:3128")
    said = b"proxy-secret " + base64.b64encode(b"us:proxy-secret")
    assert look(Heard(start=said), network=network).body == "••• •••"


@pytest.mark.parametrize(
    ("start", "kind", "shown"),
    [
        ("grüß".encode(), b"text/html", "grüß"),
        ("grüß".encode("latin-1"), b"text/html; charset=ISO-8859-1", "grüß"),
        ("grüß".encode("latin-1"), b"text/html", "grüß"),
        ("日本".encode("shift_jis"), b"text/html;charset=Shift_JIS", "日本"),
        (b"abc", b"text/html; charset=hex", "abc"),
        (b"abc", b"text/html; charset=\xff\xfe", "abc"),
        (b"a" * (BODY - 1) + "é".encode()[:1], b"text/html; charset=utf-8", "a" * (BODY - 1)),
        (bytes(range(16)) * 4, b"image/png", "(bytes) " + (bytes(range(16)) * 2).hex(" ") + " …"),
        (b"", b"text/html", None),
    ],
)
def test_a_body_is_shown_as_text(start: bytes, kind: bytes, shown: str | None) -> None:
    assert look(Heard(headers=[(b"Content-Type", kind)], start=start)).body == shown


def deflated(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("pack", "coding"),
    [(gzip.compress, b"gzip"), (gzip.compress, b"x-gzip"), (zlib.compress, b"deflate"), (deflated, b"deflate")],
)
def test_a_packed_body_is_unpacked_no_further_than_is_shown(pack: object, coding: bytes) -> None:
    packed = pack(b"a" * 50_000_000)[:BODY]  # type: ignore[operator]
    assert look(Heard(headers=[(b"Content-Encoding", coding)], start=packed)).body == "a" * BODY


def test_what_only_says_that_it_is_packed_is_shown_as_it_came() -> None:
    assert look(Heard(headers=[(b"Content-Encoding", b"gzip")], start=b"not packed")).body == "not packed"


@settings(max_examples=200)
@given(
    status=st.integers(0, 999),
    reason=st.binary(max_size=50),
    headers=st.lists(st.tuples(st.binary(max_size=30), st.binary(max_size=30)), max_size=60),
    start=st.binary(max_size=300),
)
def test_no_answer_makes_it_fail_and_what_it_makes_is_storable(
    status: int, reason: bytes, headers: list[tuple[bytes, bytes]], start: bytes
) -> None:
    found = sound(look(Heard(status, reason, headers, start), SPEC))
    assert from_plain(json.loads(json.dumps(as_plain(found)))) == found
    assert "\\u0000" not in json.dumps(as_plain(found))


def test_a_snapshot_that_cannot_be_made_costs_the_failure_nothing(caplog: pytest.LogCaptureFixture) -> None:
    lived = trace(Heard())
    lived.hops = [Request(None, None, None, None)]  # type: ignore[arg-type]
    found = seen(lived, Spec("https://shop.example/"), Network(), Outcome.STATUS, ["HTTP 503"])
    assert (found.outcome, found.snapshot) == (Outcome.STATUS, None)
    assert [record.action for record in caplog.records] == ["snapshot_failed"]  # type: ignore[attr-defined]


def test_a_certificate_that_names_no_zone_is_no_certificate() -> None:
    naive = Certificate("a", "b", (), datetime(2026, 1, 1), datetime(2027, 1, 1, tzinfo=UTC), "c")  # noqa: DTZ001
    assert sound(Snapshot("tls", certificate=naive)).certificate is None
