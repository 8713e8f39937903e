"""Sites that are a host and a port, families of addresses, and client certificates: taken or refused with advice."""

from __future__ import annotations

import re
import ssl
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificate

from pipeline.declared import Declared, SiteIn, judge_url, parse
from pipeline.errors import InvalidInputError
from pipeline.understood import Defaults, Form, read
from workers.commands.check import spec_of


def refused(**fields: Any) -> dict[str, str]:
    with pytest.raises(InvalidInputError) as caught:
        parse(SiteIn, {"key": "x", **fields})
    return {problem.field: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize(
    "url",
    [
        "tcp://db.example:5432",
        "TLS://Mail.Example:993",
        "tcp://[2001:db8::1]:22",
        "tls://127.0.0.1:8443",
        "tls://bücher.example:1",
    ],
)
def test_a_host_and_a_port_are_a_site(url: str) -> None:
    assert judge_url(url) == parse(SiteIn, {"key": "x", "url": url}).url == url


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("tcp://db.example", "the port is missing: write tcp://db.example:443, or whichever it is"),
        ("tls://[::1]", "write tls://[::1]:443"),
        ("tcp://db.example:5432/", "write tcp://db.example:5432"),
        ("tcp://db.example:5432/path", "a tcp site is a host and a port: write tcp://db.example:5432"),
        ("tls://db.example:5432?a=b", "a tls site is a host and a port: write tls://db.example:5432"),
        ("tls://[::1]:5432#x", "write tls://[::1]:5432"),
        ("tcp://:5432", "the host is missing"),
        ("tcp://db.example:0", "port 0"),
        ("tcp://db.example:70000", "not a URL"),
        ("tcp://me:pw@db.example:5432", "leave user and password out"),
        ("udp://db.example:53", "cannot be probed yet: use http, https, tcp or tls"),
    ],
)
def test_what_is_no_host_and_port_is_refused_with_advice(url: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        judge_url(url)


@pytest.mark.parametrize("scheme", ["tcp", "tls"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("method", "POST"),
        ("headers", {"X-Key": "k"}),
        ("body", "text"),
        ("auth", {"token": "t"}),
        ("max_redirects", 3),
        ("expect.status", ["200"]),
        ("expect.body_contains", ["text"]),
        ("expect.body_absent", ["text"]),
        ("expect.body_matches", ["text"]),
        ("expect.json", ["$.status == 1"]),
        ("expect.header", ["content-type contains json"]),
        ("expect.final_url", "https://example.com/"),
        ("expect.min_bytes", 1),
        ("expect.max_bytes", 1),
    ],
)
def test_what_only_a_request_has_is_refused_where_nothing_is_asked(scheme: str, field: str, value: object) -> None:
    name, _, part = field.partition(".")
    problems = refused(url=f"{scheme}://db.example:1", **{name: {part: value} if part else value})
    assert list(problems) == [field]
    assert f"{scheme}://" in problems[field]


def test_all_that_has_no_meaning_is_told_at_once_each_with_its_field_and_its_place_in_a_file() -> None:
    odd = {"key": "x", "url": "tcp://db.example:1", "method": "HEAD", "headers": {"A": "b"}, "expect": {"tls_days": 3}}
    with pytest.raises(InvalidInputError) as caught:
        parse(Declared, {"sites": [{"key": "fine", "url": "tcp://db.example:1"}, odd]})
    assert [problem.field for problem in caught.value.problems] == [
        "sites[1].method",
        "sites[1].headers",
        "sites[1].expect.tls_days",
    ]


def test_what_the_other_fields_of_a_handshake_are() -> None:
    pem = pem_of(trustme.CA().issue_cert("prober.example"))
    fields = {"expect": {"max_latency_ms": 5, "tls_days": 14}, "verify_tls": False, "client_certificate": pem}
    parse(SiteIn, {"key": "x", "url": "tls://db.example:1", "max_redirects": 0, **fields})
    parse(SiteIn, {"key": "x", "url": "https://db.example", **fields})
    assert list(refused(url="http://db.example", **fields)) == ["expect.tls_days"]
    assert list(refused(url="tcp://db.example:1", **fields)) == ["expect.tls_days", "client_certificate", "verify_tls"]
    parse(SiteIn, {"key": "x", "url": "tcp://db.example:1", "expect": {"max_latency_ms": 5}})


def test_the_form_can_be_filled_in_again_from_what_was_taken() -> None:
    taken = parse(SiteIn, {"key": "x", "url": "tcp://db.example:1"})
    assert parse(SiteIn, taken.model_dump()) == taken
    turned = {**parse(SiteIn, {"key": "x", "url": "https://db.example"}).model_dump(), "url": "tls://db.example:1"}
    assert parse(SiteIn, turned).url == "tls://db.example:1"


def test_an_address_has_one_family() -> None:
    parse(SiteIn, {"key": "x", "url": "https://127.0.0.1", "family": "ipv4"})
    parse(SiteIn, {"key": "x", "url": "tcp://[::1]:1", "family": "ipv6"})
    parse(SiteIn, {"key": "x", "url": "https://db.example", "family": "ipv6"})
    assert refused(url="https://127.0.0.1", family="ipv6") == {"family": "the URL's address is none of IPv6"}
    assert list(refused(url="tcp://[::1]:1", family="ipv4")) == ["family"]


def test_the_box_takes_them_as_lines_and_in_a_table() -> None:
    lines = read("tcp://db.example:5432\n- tls://mail.example:993\nshop.example.com", Defaults())
    assert (lines.form, lines.problems) == (Form.URLS, [])
    assert [entry.site.url for entry in lines.entries] == [
        "tcp://db.example:5432",
        "tls://mail.example:993",
        "https://shop.example.com",
    ]
    table = read("url,name\ntcp://db.example:5432,Database\ntcp://db.example,None", Defaults())
    assert [(entry.site.url, entry.site.name) for entry in table.entries] == [("tcp://db.example:5432", "Database")]
    [problem] = table.problems
    assert (problem.line, "the port is missing" in problem.message) == (3, True)


def test_the_box_takes_other_monitors_ports_once_they_are_written_as_urls() -> None:
    table = read("url,type\ntcp://db.example:5432,Port\ndb.example,Port", Defaults())
    assert [entry.site.url for entry in table.entries] == ["tcp://db.example:5432"]
    assert [problem.message for problem in table.problems] == [
        "this is a Port monitor: write its URL as tcp://host:port"
    ]


@pytest.mark.parametrize(("method", "expect"), [("HEAD", {}), ("GET", {"status": ["200"]})])
def test_the_command_line_asks_a_connection_for_nothing(method: str, expect: dict[str, list[str]]) -> None:
    assert spec_of("tcp://db.example:5432", 5, "GET", {}).url == "tcp://db.example:5432"
    with pytest.raises(ValueError, match="is asked nothing"):
        spec_of("tcp://db.example:5432", 5, method, expect)


# Client certificates


def pem_of(issued: trustme.LeafCert) -> str:
    return issued.private_key_and_cert_chain_pem.bytes().decode()


def test_a_certificate_with_its_key_is_taken_in_either_order() -> None:
    issued = trustme.CA().issue_cert("prober.example")
    key, certificate = issued.private_key_pem.bytes().decode(), issued.cert_chain_pems[0].bytes().decode()
    for pem in (key + certificate, certificate + key, f"a comment\n{certificate}and another\n{key}"):
        assert parse(SiteIn, {"key": "x", "url": "https://a.example", "client_certificate": pem}).client_certificate


def on_a_curve_of_nobodys(pem: str) -> str:
    """The certificate with a public key that nobody here can read."""
    der = load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    p256, unknown = bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030109")
    assert p256 in der
    return ssl.DER_cert_to_PEM_cert(der.replace(p256, unknown))


def test_a_certificate_that_cannot_be_used_is_refused_without_a_word_of_it() -> None:
    authority = trustme.CA()
    issued, other = authority.issue_cert("a.example"), authority.issue_cert("b.example")
    key, certificate = issued.private_key_pem.bytes().decode(), issued.cert_chain_pems[0].bytes().decode()
    loaded = load_pem_private_key(key.encode(), None)
    locked = loaded.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")).decode()
    old = loaded.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"pw")).decode()
    cases = {
        "s3cret": "no certificate in PEM",
        key: "no certificate in PEM",
        certificate: "private key is missing",
        other.private_key_pem.bytes().decode() + certificate: "another certificate",
        locked + certificate: "pass phrase",
        old + certificate: "pass phrase",
        key.replace("\n", "\nAAAA", 2) + certificate: "cannot be read",
        key + on_a_curve_of_nobodys(certificate): "cannot be read",
    }
    for pem, advice in cases.items():
        problems = refused(url="https://a.example", client_certificate=pem)
        assert list(problems) == ["client_certificate"]
        assert advice in problems["client_certificate"]
        assert not any(line in problems["client_certificate"] for line in pem.splitlines() if line.strip())
