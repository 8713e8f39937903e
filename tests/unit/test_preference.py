"""RFC 6724's examples (section 10), where they are about destinations, and what we do where nobody knows."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from workers.probes import preference
from workers.probes.preference import preferred, standing


@pytest.mark.parametrize(
    ("better", "source", "worse", "other_source"),
    [
        # scopes that match, 10.2
        ("2001:db8:1::1", "2001:db8:1::2", "198.51.100.121", "169.254.13.78"),
        ("198.51.100.121", "198.51.100.117", "2001:db8:1::1", "fe80::1"),
        # precedence of IPv6
        ("2001:db8:1::1", "2001:db8:1::2", "10.1.2.3", "10.1.2.4"),
        # the smaller scope
        ("fe80::1", "fe80::2", "2001:db8:1::1", "2001:db8:1::2"),
        # the label that matches
        ("2002:c633:6401::1", "2002:c633:6401::2", "2001:db8:1::1", "2002:c633:6401::2"),
        # the longest prefix that both share
        ("2001:db8:1::1", "2001:db8:1::2", "2001:db8:3ffe::1", "2001:db8:3f44::2"),
        # unique local addresses come after everybody's, 10.6
        ("2001:db8:1::1", "2001:db8:1::2", "fc00:1::1", "fc00:1::2"),
    ],
)
def test_the_better_address_comes_first(better: str, source: str, worse: str, other_source: str) -> None:
    assert standing(ip_address(better), ip_address(source)) < standing(ip_address(worse), ip_address(other_source))


def test_an_address_without_a_way_to_it_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preference, "source_for", lambda each: None if each.version == 6 else ip_address("10.0.0.9"))
    six, four = ip_address("2001:db8::1"), ip_address("192.0.2.1")
    assert preferred([six, four]) == [four, six]


def test_what_stands_alike_stays_in_the_resolvers_order(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(preference, "source_for", asked.append)
    addresses = [ip_address(f"192.0.2.{n}") for n in (7, 3, 9)]
    assert preferred(addresses) == addresses
    assert asked == [], "and nobody is asked for the way"
