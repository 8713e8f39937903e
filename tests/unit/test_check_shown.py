"""What `betterstack check` says of a probe: how sure its time is, and nothing that a terminal would obey."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import trustme

from pipeline.errors import InvalidInputError
from pipeline.vocabulary import Auth, Certificate, Clock, Family, Hop, Outcome, Phases, Probe, Snapshot, Spec
from workers.commands.check import as_json, milliseconds, spec_of, timing
from workers.commands.sighting import clean, parts

YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_time_has_its_error_and_its_clock() -> None:
    by_kernel = Probe(Outcome.OK, latency_ms=12.345, error_ms=0.021, clock=Clock.KERNEL)
    assert timing(by_kernel) == "12.3 ms ± 0.02 ms by the kernel's clock"
    in_part = Probe(Outcome.OK, latency_ms=12.345, error_ms=0.021, clock=Clock.KERNEL, looped=(1.0, 2.0))
    assert timing(in_part).endswith("by the kernel's clock, in part by the loop's")
    assert timing(Probe(Outcome.RESET, latency_ms=1234.5)) == "1234 ms by the loop's clock"
    assert timing(Probe(Outcome.BLOCKED)) == ""


def test_an_error_that_nobody_knows_is_null() -> None:
    spec, phases = Spec("http://a.example"), Phases(connect_ms=0.1 + 0.2)
    by_loop = as_json(spec, Probe(Outcome.RESET, phases, latency_ms=0.1 + 0.2))
    assert (by_loop["error_ms"], by_loop["latency_ms"], by_loop["phases"]["connect_ms"]) == (None, 0.3, 0.3)
    by_kernel = as_json(spec, Probe(Outcome.OK, latency_ms=1.0, error_ms=0.02, clock=Clock.KERNEL))
    assert by_kernel["error_ms"] == 0.02


def test_a_time_has_the_digits_that_a_person_reads() -> None:
    assert [milliseconds(value) for value in (0.034, 9.5, 42.42, 1999.6)] == [
        "0.03 ms",
        "9.50 ms",
        "42.4 ms",
        "2000 ms",
    ]


def test_what_a_site_may_be_sent_a_check_may_be_sent() -> None:
    pem = trustme.CA().issue_cert("prober.example").private_key_and_cert_chain_pem.bytes().decode()
    sent = {
        "headers": {"X-Key": "k"},
        "body": "b",
        "auth": {"username": "me", "password": "pw"},
        "client_certificate": pem,
        "verify_tls": False,
        "max_redirects": 0,
        "family": "ipv4",
    }
    spec = spec_of("https://a.example", 5, "propfind", {"status": ["207"]}, sent)
    assert (spec.method, spec.headers, spec.body, spec.auth) == ("PROPFIND", {"X-Key": "k"}, "b", Auth("pw", "me"))
    assert (spec.client_certificate, spec.verify_tls, spec.max_redirects) == (pem.strip(), False, 0)
    assert (spec.family, spec.expect.status) == (Family.IPV4, ((207, 207),))


@pytest.mark.parametrize("sent", [{"headers": {"a": "b"}}, {"body": "b"}, {"auth": {"token": "t"}}])
def test_a_connection_is_sent_nothing(sent: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError, match="sends no request"):
        spec_of("tcp://db.example:5432", 5, "GET", {}, sent)


def test_of_a_failure_there_is_its_way_its_certificate_and_its_answer() -> None:
    names = tuple(f"{name}.example" for name in "abcdef")
    leaf = Certificate("CN=a.example", "CN=Us", names, YEAR, YEAR.replace(year=2027), "0" * 64)
    snapshot = Snapshot(
        "answer",
        hops=(Hop("https://a.example/", "127.0.0.1", 302), Hop("https://b.example/")),
        certificate=leaf,
        tls="TLSv1.3",
        status_line="HTTP/1.1 500 \x1b[31mOops",
        headers=(("Server", "x\ny"),),
        body="\n".join(["l" * 500, *"0123456789abcdef"]),
    )
    told = dict(parts(snapshot))
    assert told["Redirects"] == ["302  https://a.example/", "-  https://b.example/"]
    assert told["Certificate"] == [
        "for a.example, b.example, c.example, d.example and 2 more",
        "from 2026-01-01 until 2027-01-01",
        "issued by CN=Us",
        "over TLSv1.3",
    ]
    assert told["Answer"] == ["HTTP/1.1 500 �[31mOops", "Server: x�y"]
    assert (len(told["Body, its beginning"]), told["Body, its beginning"][-1]) == (13, "…")
    assert told["Body, its beginning"][0] == "l" * 160 + " …"


def test_of_nothing_seen_nothing_is_told() -> None:
    assert list(parts(None)) == []
    assert list(parts(Snapshot("connect", hops=(Hop("https://a.example/"),)))) == []
    assert clean("\x9b2J") == "�2J"
