"""What people declare is taken as they mean it, or refused by field with a word of advice."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.declared import Declared, ExpectIn, RegionIn, SiteIn, expect_of, judge_url, parse
from pipeline.errors import InvalidInputError

URL = "https://example.com"


def refused(model: type[SiteIn | RegionIn | ExpectIn | Declared], data: object) -> dict[str, str]:
    with pytest.raises(InvalidInputError) as caught:
        parse(model, data)
    return {problem.field: problem.message for problem in caught.value.problems}


def site(**fields: Any) -> dict[str, Any]:
    return {"key": "x", "url": URL, **fields}


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "http://example.com:8080/a?b=c#d",
        "http://127.0.0.1",
        "https://[2001:db8::1]:8443/",
        "https://xn--bcher-kva.example/",
        "https://bücher.example/ü",
        "HTTPS://EXAMPLE.COM/",
        "https://example.com/a%20b",
        f"https://{'a' * 63}.example",
    ],
)
def test_a_url_that_can_be_probed_is_taken_as_it_is(url: str) -> None:
    assert judge_url(f"  {url} ") == url


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("example.com", "write https://example.com"),
        ("", "scheme is missing"),
        ("https://exa mple.com", "%20"),
        ("https://example.com/a\tb", "%20"),
        ("https://example.com/a\x00b", "%20"),
        ("ftp://example.com", "cannot be probed yet"),
        ("https://", "host is missing"),
        ("https:///path", "host is missing"),
        ("https://example.com:0", "port 0"),
        ("https://example.com:99999", "not a URL"),
        ("https://example.com:http", "not a URL"),
        ("https://[::1", "not a URL"),
        (f"https://{'a' * 64}.example", "up to 63 characters"),
        (f"https://{'ü' * 60}.example", "up to 63 characters"),
        ("https://me:secret@example.com", "leave user and password out"),
        ("https://me@example.com", "leave user and password out"),
    ],
)
def test_any_other_url_is_refused_with_advice(url: str, advice: str) -> None:
    message = refused(SiteIn, site(url=url))["url"]
    assert advice in message
    assert "secret" not in message


@given(st.text(max_size=40))
def test_whatever_is_written_for_a_url_is_taken_or_refused_and_never_crashes(url: str) -> None:
    with suppress(ValueError):
        assert judge_url(f"https://{url}").startswith("https://")


@pytest.mark.parametrize("key", ["", "-a", "A", "a_b", "a.b", "a" * 64, "ä", "a b", " "])
def test_a_key_is_short_and_plain(key: str) -> None:
    assert list(refused(SiteIn, site(key=key))) == ["key"]
    assert list(refused(RegionIn, {"key": key})) == ["key"]


def test_what_is_left_out_has_a_default() -> None:
    found = parse(SiteIn, site())
    assert (found.name, found.interval_s, found.timeout_s, found.method) == ("x", 180, 10.0, "GET")
    assert (found.regions, found.tags, found.headers, found.paused) == (None, [], {}, False)
    assert found.expect.status == ["200-399"]


@pytest.mark.parametrize(("interval_s", "timeout_s"), [(1, 1.0), (5, 5.0), (10, 10.0), (60, 10.0)])
def test_the_timeout_follows_a_short_interval(interval_s: int, timeout_s: float) -> None:
    assert parse(SiteIn, site(interval_s=interval_s)).timeout_s == timeout_s
    assert parse(SiteIn, site(interval_s=interval_s, timeout_s=None)).timeout_s == timeout_s


def test_a_timeout_longer_than_its_interval_is_refused() -> None:
    assert "longer than interval_s (30)" in refused(SiteIn, site(interval_s=30, timeout_s=31))["timeout_s"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("interval_s", 0),
        ("interval_s", 86_401),
        ("interval_s", 1.5),
        ("interval_s", "soon"),
        ("interval_s", None),
        ("timeout_s", 0),
        ("timeout_s", 121),
        ("timeout_s", float("inf")),
        ("timeout_s", float("nan")),
        ("spacing_s", -1),
        ("spacing_s", float("nan")),
        ("confirmations", 6),
        ("max_redirects", 21),
        ("method", "TRACE"),
        ("method", "get"),
        ("paused", "perhaps"),
        ("regions", []),
        ("name", "a" * 201),
        ("url", 5),
        ("url", f"https://example.com/{'a' * 2_000}"),
        ("headers", {"a b": "1"}),
        ("headers", {"": "1"}),
        ("headers", {"A": "1\r\nB: 2"}),
        ("headers", {"A": "\x00"}),
        ("headers", []),
        ("tags", ["a,b"]),
        ("tags", ["a" * 51]),
        ("tags", [f"{n}" for n in range(51)]),
        ("nope", 1),
    ],
)
def test_a_value_out_of_its_range_is_refused_by_field(field: str, value: object) -> None:
    assert list(refused(SiteIn, site(**{field: value}))) == [field]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("interval_s", 0, "must be 1 or more"),
        ("interval_s", 86_401, "must be 86400 or less"),
        ("interval_s", "soon", "must be a whole number"),
        ("interval_s", 1.5, "must be a whole number"),
        ("timeout_s", 0, "must be more than 0"),
        ("timeout_s", "soon", "must be a number"),
        ("paused", "perhaps", "must be true or false"),
        ("name", "a" * 201, "must have 200 characters or fewer"),
        ("method", "get", "must be 'GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE' or 'OPTIONS'"),
        ("tags", "a", "must be a list"),
        ("headers", "a", "must be names with their values"),
    ],
)
def test_what_a_value_must_be_is_told_in_plain_words(field: str, value: object, message: str) -> None:
    assert refused(SiteIn, site(**{field: value})) == {field: message}


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("name", "a\x00b", "name"),
        ("tags", ["a", "b\x00"], "tags[1]"),
        ("regions", ["\x00eu"], "regions[0]"),
        ("headers", {"A": "b\x00c"}, "headers"),
    ],
)
def test_a_nul_character_is_refused_where_it_is(field: str, value: object, place: str) -> None:
    [(found, message)] = refused(SiteIn, site(**{field: value})).items()
    assert (found, "NUL character" in message) == (place, True)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "\x00"),
        ("proxy", "http://p\x00:1"),
        ("source_address", "fe80::1%\x00"),
        ("resolvers", ["fe80::1%\x00"]),
    ],
)
def test_a_region_has_no_nul_character_either(field: str, value: object) -> None:
    assert all("NUL" in message for message in refused(RegionIn, {"key": "r", field: value}).values())


def test_a_header_holds_what_http_can_send() -> None:
    assert parse(SiteIn, site(headers={"A": "é"})).headers == {"A": "é"}
    assert "'€'" in refused(SiteIn, site(headers={"A": "5 €"}))["headers"]


def test_every_problem_is_told_at_once() -> None:
    found = refused(SiteIn, {"url": "nope", "interval_s": 0, "expect": {"status": ["99"]}, "colour": "red"})
    assert set(found) == {"key", "url", "interval_s", "expect.status[0]", "colour"}
    assert found["key"] == "this field is needed"
    assert found["colour"] == "there is no such field"


def test_tags_and_regions_are_sets_in_order() -> None:
    found = parse(SiteIn, site(tags=["b", " a ", "b", ""], regions=["us", "eu", "us"]))
    assert (found.tags, found.regions) == (["a", "b"], ["eu", "us"])


@pytest.mark.parametrize(
    ("written", "means"), [(200, ["200"]), ("204", ["204"]), ([200, "300-399"], ["200", "300-399"])]
)
def test_statuses_may_be_written_as_they_come_to_mind(written: object, means: list[str]) -> None:
    assert parse(ExpectIn, {"status": written}).status == means


@pytest.mark.parametrize("status", ["99", "600", "2xx", "299-200", "200-", "", "200,201", [], None, True])
def test_any_other_status_is_refused(status: object) -> None:
    assert refused(ExpectIn, {"status": status})


@pytest.mark.parametrize("resolver", ["1.1.1.1", "1.1.1.1:5353", "2001:db8::1"])
def test_a_resolver_is_an_address_with_or_without_a_port(resolver: str) -> None:
    assert parse(RegionIn, {"key": "r", "resolvers": [resolver]}).resolvers == [resolver]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("resolvers", ["dns.example"]),
        ("resolvers", ["1.1.1.1:0"]),
        ("resolvers", ["1.1.1.1:x"]),
        ("resolvers", ["1.1.1.1:65536"]),
        ("source_address", "eth0"),
        ("proxy", "socks5://p:1"),
        ("proxy", "http://p"),
        ("proxy", "p:1"),
    ],
)
def test_a_region_that_cannot_dial_is_refused_by_field(field: str, value: object) -> None:
    assert list(refused(RegionIn, {"key": "r", field: value})) == [field]


@pytest.mark.parametrize(
    "proxy",
    ["http://user:pa/ss@p:1", "http://p:99999", "http://[::1", "http://u:p\x01w@p:1", f"http://u:{'p' * 3_000}@p:1"],
)
def test_a_proxy_that_cannot_be_read_is_refused_without_a_piece_of_its_password(proxy: str) -> None:
    assert refused(RegionIn, {"key": "r", "proxy": proxy}) == {"proxy": "write the proxy as http://host:port"}


def test_a_declaration_comes_back_as_it_went_out() -> None:
    found = parse(SiteIn, site(interval_s=5, headers={"A": "1"}, expect={"status": 204}, regions=["eu"], tags=["t"]))
    assert parse(SiteIn, found.model_dump()) == found
    region = parse(RegionIn, {"key": "r", "proxy": "http://p:1", "resolvers": ["1.1.1.1"]})
    assert parse(RegionIn, region.model_dump()) == region


@pytest.mark.parametrize("written", ["9.9.9.9", "example.org:0", "https://example.org:443", "a b:1", ":443", "x:http"])
def test_a_reference_target_is_a_host_with_its_port(written: str) -> None:
    assert parse(RegionIn, {"key": "eu", "references": ["[2620:fe::fe]:443", "dns.example:53"]}).references
    with pytest.raises(InvalidInputError, match="write host:port"):
        parse(RegionIn, {"key": "eu", "references": [written]})


@pytest.mark.parametrize(
    "expect",
    [
        {"json": ['$.status == "ok"', " $.a exists "], "header": ["server != nginx"], "body_matches": [r"^\d+"]},
        {"final_url": "https://example.com/home*", "min_bytes": 1, "max_bytes": 64 * 1024 * 1024},
        {"max_latency_ms": 9_999, "tls_days": 14},
        {"max_bytes": 0},
    ],
)
def test_an_expectation_that_can_be_judged_is_taken_and_comes_back(expect: dict[str, Any]) -> None:
    found = parse(SiteIn, site(expect=expect))
    assert parse(SiteIn, found.model_dump()) == found
    assert expect_of(found.expect.model_dump()).json == tuple(found.expect.json_)
    assert all(condition == condition.strip() for condition in found.expect.json_)


@pytest.mark.parametrize(
    ("expect", "place", "advice"),
    [
        ({"json": ["$.a exists", "status == 1"]}, "expect.json[1]", "write $.status"),
        ({"json": ["$.a[ == 1"]}, "expect.json[0]", "not closed"),
        ({"json": ["$.a"]}, "expect.json[0]", "say what is expected"),
        ({"header": ["server: nginx"]}, "expect.header[0]", "write == for the colon"),
        ({"body_matches": ["a", "("]}, "expect.body_matches[1]", "missing ) in ("),
        ({"body_matches": ["(?=a)"]}, "expect.body_matches[0]", "look-around"),
        ({"body_matches": [r"(a)\1"]}, "expect.body_matches[0]", "back-references"),
        ({"body_matches": ["(a{30}){30}" * 2]}, "expect.body_matches[0]", "too large"),
        ({"body_matches": ["\ud800"]}, "expect.body_matches[0]", ""),
        ({"body_contains": ["a\0"]}, "expect.body_contains[0]", "NUL"),
        ({"body_contains": [""]}, "expect.body_contains[0]", ""),
        ({"final_url": "/home"}, "expect.final_url", "write a whole URL"),
        ({"final_url": "https://*.example.com/"}, "expect.final_url", "at the very end"),
        ({"final_url": "https://a b"}, "expect.final_url", "%20"),
        ({"min_bytes": 5, "max_bytes": 4}, "expect.max_bytes", "is below min_bytes (5)"),
        ({"max_bytes": 64 * 1024 * 1024 + 1}, "expect.max_bytes", "67108864 or less"),
        ({"max_latency_ms": 10_000}, "expect.max_latency_ms", "given up after 10000 ms"),
        ({"tls_days": 0}, "expect.tls_days", "must be 1 or more"),
    ],
)
def test_an_expectation_that_cannot_be_judged_is_refused_where_it_is(
    expect: dict[str, Any], place: str, advice: str
) -> None:
    [(found, message)] = refused(SiteIn, site(expect=expect)).items()
    assert found == place
    assert advice in message


def test_a_site_without_tls_has_no_certificate_that_could_expire() -> None:
    message = refused(SiteIn, site(url="http://example.com", expect={"tls_days": 5}))["expect.tls_days"]
    assert "write https://" in message


def test_an_answer_to_head_has_no_body_to_expect_anything_of() -> None:
    expect = {
        "body_contains": ["a"],
        "body_absent": ["b"],
        "body_matches": ["c"],
        "json": ["$.d exists"],
        "min_bytes": 1,
        "max_bytes": 1,
    }
    found = refused(SiteIn, site(method="HEAD", expect=expect))
    assert set(found) == {f"expect.{part}" for part in expect}
    assert "use GET" in found["expect.json"]
    parse(SiteIn, site(method="HEAD", expect={"header": ["x exists"], "status": 200, "max_latency_ms": 5}))


def test_what_is_expected_is_in_the_published_schema() -> None:
    parts = ExpectIn.model_json_schema(by_alias=True)["properties"]
    assert {"json", "header", "body_matches", "final_url", "max_latency_ms", "tls_days"} <= set(parts)
    assert "$.status" in parts["json"]["description"]


@given(st.text(max_size=30))
def test_whatever_is_expected_is_taken_or_refused(text: str) -> None:
    parts = ("body_contains", "body_absent", "body_matches", "json", "header")
    for part in parts:
        with suppress(InvalidInputError):
            parse(ExpectIn, {part: [text]})
    with suppress(InvalidInputError):
        parse(ExpectIn, {"final_url": text})
