"""Judging an answer needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.conditions import show
from pipeline.vocabulary import Expect, Outcome
from workers.probes.expect import DETAIL, Answered, in_short, judge, ranges_text
from workers.probes.http import BODY_LIMIT
from workers.probes.trace import ProbeError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("status", [200, 204, 301, 399])
def test_success_and_redirects_are_expected_where_nobody_says_otherwise(status: int) -> None:
    assert judge(Answered(status), Expect(), 1.0) == (Outcome.OK, [])


@pytest.mark.parametrize("status", [0, 199, 400, 503, 999])
def test_anything_else_is_a_status_with_its_sentence(status: int) -> None:
    assert judge(Answered(status), Expect(), 1.0) == (Outcome.STATUS, [f"HTTP {status}, expected 200-399"])


def test_ranges_are_inclusive_and_any_of_them_will_do() -> None:
    expect = Expect(status=((200, 299), (401, 401)))
    assert [judge(Answered(status), expect, 1.0)[0] for status in (200, 299, 300, 401, 402)] == [
        Outcome.OK,
        Outcome.OK,
        Outcome.STATUS,
        Outcome.OK,
        Outcome.STATUS,
    ]


def test_ranges_read_as_a_person_writes_them() -> None:
    assert ranges_text(Expect(status=((200, 299), (401, 401)))) == "200-299, 401"


HEADERS = ((b"Content-Type", b"application/json"), (b"Server", b"nginx"), (b"Set-Cookie", b"session=hunter2"))


def answered(body: bytes = b"", *, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = HEADERS) -> Answered:
    return Answered(status, headers, body, size=len(body))


def problems(found: Answered, **expect: Any) -> list[str]:
    outcome, sentences = judge(found, Expect(**expect), 100.0)
    assert (outcome is Outcome.OK) == (not sentences)
    return sentences


def test_a_text_is_contained_or_absent() -> None:
    found = answered(b"Welcome back", headers=())
    assert problems(found, body_contains=("Welcome", "back")) == []
    assert problems(found, body_contains=("welcome",)) == ['the body does not contain "welcome"']
    assert problems(found, body_absent=("Fatal",)) == []
    assert problems(found, body_absent=("back",)) == ['the body contains "back", which was to be absent']


def test_a_regular_expression_is_found_anywhere() -> None:
    found = answered(b"order 1234 \xc3\xa9", headers=())
    assert problems(found, body_matches=(r"order \d+", "(?i)ORDER", r"\pL$", "é")) == []
    assert problems(found, body_matches=(r"^\d+",)) == [r"the body does not match ^\d+"]


def test_a_hostile_body_does_not_make_a_regular_expression_slow() -> None:
    assert problems(answered(b"x" * BODY_LIMIT), body_matches=("(x+x+)+y",)) == ["the body does not match (x+x+)+y"]


def test_expressions_that_take_us_too_long_are_no_fault_of_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.probes.expect.MATCHING_S", -1.0)
    with pytest.raises(ProbeError) as caught:
        problems(answered(b"a"), body_matches=("b",))
    assert caught.value.outcome is Outcome.WORKER_OVERLOAD


def test_so_are_paths_into_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty filters over a large body took eight seconds, in which the loop had every other turn."""
    monkeypatch.setattr("workers.probes.expect.SEARCHING_S", -1.0)
    with pytest.raises(ProbeError) as caught:
        problems(answered(b"{}"), json=("$.a exists",))
    assert caught.value.outcome is Outcome.WORKER_OVERLOAD


def test_conditions_on_json_each_say_what_is_there() -> None:
    found = answered(b'{"status": "degraded", "items": [1, 2]}')
    assert problems(found, json=('$.status == "degraded"', "$.items length == 2")) == []
    assert problems(found, json=('$.status == "ok"', "$.items length >= 3", "$.version exists")) == [
        '$.status is "degraded", expected == "ok"',
        "$.items has length 2, expected >= 3",
        "$.version is not there",
    ]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is empty, expected JSON"),
        (b" \n", "the body is empty, expected JSON"),
        (b"<html>", "the body is not JSON (invalid character (byte 0))"),
        (b'{"a": 1', "the body is not JSON (truncated)"),
        (b"{'a': 1}", "the body is not JSON (object keys must be strings (byte 1))"),
        (b"[NaN]", "the body is not JSON (invalid character (byte 1))"),
        (b"[" * 200_000, "the body is not JSON (nested too deeply)"),
    ],
)
def test_a_body_that_is_no_json_says_so_once(body: bytes, sentence: str) -> None:
    assert problems(answered(body), json=("$.a == 1", "$.b absent")) == [sentence]


def test_json_may_come_with_a_byte_order_mark_or_in_utf_16() -> None:
    assert problems(answered(b'\xef\xbb\xbf{"a": 1}'), json=("$.a == 1",)) == []
    assert problems(answered('{"a": "é"}'.encode("utf-16")), json=("$.a == é",)) == []


def test_conditions_on_a_header_never_tell_a_cookie() -> None:
    found = answered()
    assert problems(found, header=("content-type contains json", "x-cache absent", "server == nginx")) == []
    assert problems(found, header=("server != nginx",)) == ['the header server is "nginx", expected != "nginx"']
    assert problems(found, header=("set-cookie contains id",)) == [
        'the header set-cookie is •••, expected to contain "id"'
    ]


@pytest.mark.parametrize(
    ("expected", "ended"),
    [
        ("https://example.com/home", "https://example.com/home"),
        ("https://example.com/home", "https://EXAMPLE.com:443/home#top"),
        ("https://example.com", "https://example.com/"),
        ("https://example.com/home#top", "https://example.com/home"),
        ("https://example.com/h*", "https://example.com/home?a=b"),
        ("https://example.com/*", "https://example.com/"),
        ("https://example.*", "https://example.com/home"),
        ("https://*", "https://example.com/home"),
        ("HTTPS://Example.com/home?a=b", "https://example.com/home?a=b"),
    ],
)
def test_redirects_end_where_they_should(expected: str, ended: str) -> None:
    assert problems(answered()._replace(url=httpx.URL(ended)), final_url=expected) == []


@pytest.mark.parametrize(
    ("expected", "ended", "sentence"),
    [
        ("https://a.example/home", "https://a.example/login?next=t0ken", "it ended at https://a.example/login?…"),
        ("https://a.example/home", "http://a.example/home", "it ended at http://a.example/home,"),
        ("https://a.example/home", "https://a.example/home/", "it ended at https://a.example/home/,"),
        ("https://a.example/*", "https://a.example.evil/", "it ended at https://a.example.evil/,"),
    ],
)
def test_redirects_that_end_elsewhere_are_a_redirect(expected: str, ended: str, sentence: str) -> None:
    found = judge(answered()._replace(url=httpx.URL(ended)), Expect(final_url=expected), 1.0)
    assert found[0] is Outcome.REDIRECT
    assert found[1][0].startswith(sentence)
    assert found[1][0].endswith(f"expected {expected}")


def test_a_body_has_its_size() -> None:
    found = answered(b"x" * 100)
    assert problems(found, min_bytes=100, max_bytes=100) == []
    assert judge(found, Expect(max_bytes=99), 1.0) == (
        Outcome.TOO_LARGE,
        ["the body has 100 bytes, expected at most 99"],
    )
    assert judge(found, Expect(min_bytes=101), 1.0) == (
        Outcome.CONTENT,
        ["the body has 100 bytes, expected at least 101"],
    )
    more = found._replace(whole=False)
    assert problems(more, max_bytes=99) == ["the body has more than 99 bytes, expected at most 99"]


def test_an_answer_that_was_cut_says_in_how_much_of_it() -> None:
    cut = answered(b"Welcome")._replace(whole=False)
    assert problems(cut, body_contains=("Welcome",), body_absent=("Fatal",)) == []
    assert problems(cut, body_contains=("back",)) == ['the body (in the first 2 MiB) does not contain "back"']
    assert problems(cut, json=("$.a exists",)) == ["the body is longer than 2 MiB, so that its JSON cannot be read"]


def test_a_body_that_cannot_be_unpacked_fails_only_where_somebody_looks_at_it() -> None:
    broken = answered(b"no gzip", headers=((b"content-encoding", b"gzip"),))
    assert problems(broken, header=("content-encoding == gzip",), max_bytes=100) == []
    assert problems(broken, body_contains=("a",), body_absent=("b",), json=("$.a exists",)) == [
        "the body cannot be unpacked as gzip (incorrect header check)"
    ]


def test_slow_and_expiring_are_degraded() -> None:
    soon = answered()._replace(expires_at=NOW + timedelta(days=9), at=NOW)
    assert judge(soon, Expect(tls_days=10), 1.0) == (Outcome.EXPIRING, ["The certificate expires on 2026-01-10"])
    assert judge(soon, Expect(tls_days=9), 1.0) == (Outcome.OK, [])
    assert judge(soon, Expect(max_latency_ms=100), 100.0) == (Outcome.OK, [])
    assert judge(soon, Expect(max_latency_ms=100), 100.6) == (
        Outcome.SLOW,
        ["It took 101 ms, expected 100 ms or less"],
    )
    assert judge(answered(), Expect(tls_days=10, max_latency_ms=5), None) == (Outcome.OK, [])


def test_all_that_fails_is_told_the_worst_first() -> None:
    everything = {
        Outcome.STATUS: Expect(status=((500, 599),)),
        Outcome.REDIRECT: Expect(final_url="https://elsewhere.example/"),
        Outcome.TOO_LARGE: Expect(max_bytes=1),
        Outcome.CONTENT: Expect(body_contains=("Welcome",)),
        Outcome.EXPIRING: Expect(tls_days=30),
        Outcome.SLOW: Expect(max_latency_ms=1),
    }
    found = answered(b"[]")._replace(url=httpx.URL("https://here.example"), expires_at=NOW, at=NOW)
    order = list(everything)
    for place, outcome in enumerate(order):
        told: dict[str, Any] = {}
        for each in order[place:]:
            told |= msgspec.to_builtins(everything[each])
        worst, sentences = judge(found, msgspec.convert(told, Expect), 100.0)
        assert (worst, len(sentences)) == (outcome, len(order) - place)


def test_many_problems_are_told_in_short() -> None:
    assert in_short([]) is None
    assert in_short(["one", "two"]) == "one; two"
    many = [f"the body does not contain {show('x' * 60 + str(n))}" for n in range(20)]
    told = in_short(many)
    assert told is not None
    assert len(told) <= DETAIL
    assert told.endswith("; and 15 more")
    assert len(in_short(["y" * 1_000]) or "") == DETAIL


def test_a_secret_is_taken_out_of_what_is_quoted_before_it_is_shortened() -> None:
    token = "t" * 200
    found = answered(b'{"you": "sent %s"}' % token.encode())
    _, [sentence] = judge(found, Expect(json=("$.you == nobody",)), 1.0, lambda text: text.replace(token, "•••"))
    assert sentence == '$.you is "sent •••", expected == "nobody"'


@settings(max_examples=200)
@given(
    st.binary(max_size=60)
    | st.sampled_from([b'{"a": [1, {"b": null}]}', b"[[[]]]", b'"\\ud800"', b"1e999", b"\xff\xfe"]),
    st.lists(st.tuples(st.sampled_from([b"content-type", b"content-encoding", b"x-a"]), st.binary(max_size=30))),
    st.booleans(),
    st.sampled_from(["$.a exists", "$..b == 1", "$[*] != x", "$ length > 1", "$.a contains 1"]),
)
def test_no_answer_makes_anything_but_an_outcome(
    body: bytes,
    headers: list[tuple[bytes, bytes]],
    whole: bool,
    condition: str,
) -> None:
    expect = Expect(
        body_contains=("a",),
        body_absent=("é",),
        body_matches=("a*b",),
        json=(condition,),
        header=("x-a == 1",),
        min_bytes=9,
    )
    outcome, sentences = judge(Answered(200, headers, body, whole, len(body)), expect, 1.0)
    assert outcome in (Outcome.OK, Outcome.CONTENT)
    assert all(len(sentence) < 300 for sentence in sentences)
