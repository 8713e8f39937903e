"""Which addresses may be connected to: every row of the list, in the spellings that an address has."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.guard import Policy, allowed, is_near, judge, meant, read_policy
from pipeline.settings import Settings

# An address of each row -> what it is. The first half is fine on one's own machine.
NEAR = {
    "127.0.0.1": "this machine itself",
    "127.255.255.254": "this machine itself",
    "10.0.0.1": "private",
    "10.255.255.255": "private",
    "172.16.0.1": "private",
    "172.31.255.255": "private",
    "192.168.1.1": "private",
    "100.64.0.1": "provider",
    "100.127.255.254": "provider",
    "198.18.0.1": "benchmarks",
    "::1": "this machine itself",
    "fc00::1": "private",
    "fdff:ffff::1": "private",
    "fec0::1": "site-local",
    "feff::1": "site-local",
}
NEVER = {
    "169.254.169.254": "link-local",
    "169.254.0.1": "link-local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "febf::1": "link-local",
    "168.63.129.16": "Azure",
    "192.0.0.192": "Oracle",
    "100.100.100.200": "Alibaba",
    "fd00:ec2::254": "AWS",
    "fd20:ce::254": "Google",
    "224.0.0.1": "multicast",
    "239.255.255.255": "multicast",
    "ff02::1": "multicast",
    "0.0.0.0": "no address of a host",
    "0.1.2.3": "no address of a host",
    "::": "no address of a host",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "2001:0:1::1": "Teredo",
    "2002::1": "6to4",
    "100::1": "no address of the internet",
    "4000::1": "no address of the internet",
}
PUBLIC = ["1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0",
          "168.63.129.17", "192.0.1.1", "223.255.255.255", "2606:4700::1111", "::ffff:1.1.1.1"]  # fmt: skip


def carried(address: str) -> list[str]:
    """IPv6 addresses that stand for an IPv4 address: mapped, compatible, translated, NAT64, 6to4, Teredo."""
    value = int(IPv4Address(address))
    high, low = value >> 16, value & 0xFFFF
    return [
        f"::ffff:{address}",
        f"::ffff:{high:x}:{low:x}",
        f"0:0:0:0:0:FFFF:{high:04X}:{low:04X}",
        f"::{address}",
        f"::ffff:0:{address}",
        f"64:ff9b::{address}",
        f"64:ff9b::{high:x}:{low:x}",
        f"64:ff9b:1::{address}",
        f"2002:{high:x}:{low:x}::1",
        f"2001::{~high & 0xFFFF:x}:{~low & 0xFFFF:x}",
    ]


@pytest.mark.parametrize(("address", "what"), [*NEAR.items(), *NEVER.items()])
def test_a_forbidden_address_is_named_for_what_it_is(address: str, what: str) -> None:
    assert what in (judge(ip_address(address), "deny") or "allowed")


@pytest.mark.parametrize("address", [a for a in [*NEAR, *NEVER] if "." in a])
def test_no_ipv6_spelling_of_a_forbidden_ipv4_address_passes(address: str) -> None:
    for spelling in carried(address):
        assert judge(ip_address(spelling), "deny"), spelling


@pytest.mark.parametrize("address", NEVER)
def test_what_is_no_site_is_forbidden_on_ones_own_machine_too(address: str) -> None:
    assert judge(ip_address(address), "allow")
    for spelling in carried(address) if "." in address else ():
        assert judge(ip_address(spelling), "allow"), spelling


@pytest.mark.parametrize("address", NEAR)
def test_ones_own_machine_and_network_can_be_watched_where_that_is_allowed(address: str) -> None:
    assert judge(ip_address(address), "allow") is None


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_for_everybody(address: str) -> None:
    policies: list[Policy] = ["allow", "deny", (ip_network("10.0.0.0/8"),)]
    assert [judge(ip_address(address), policy) for policy in policies] == [None, None, None]


def test_nat64_leads_to_public_addresses_where_it_is_allowed_and_never_to_others() -> None:
    by_network: Policy = (ip_network("64:ff9b::/96"),)
    assert judge(ip_address("64:ff9b::1.1.1.1"), "deny")
    policies: list[Policy] = ["allow", by_network]
    for policy in policies:
        assert judge(ip_address("64:ff9b::1.1.1.1"), policy) is None
        assert judge(ip_address("64:ff9b::169.254.169.254"), policy)
    assert judge(ip_address("64:ff9b::10.0.0.1"), by_network) == "a private address"


def test_a_listed_network_is_allowed_and_its_neighbours_are_not() -> None:
    policy = read_policy("10.1.0.0/16, fd00:1::/32")
    allow = allowed(policy)
    assert allow(ip_address("10.1.2.3"))
    assert allow(ip_address("::ffff:10.1.2.3"))
    assert allow(ip_address("fd00:1::5"))
    assert not allow(ip_address("10.2.0.1"))
    assert not allow(ip_address("127.0.0.1"))


def test_a_metadata_service_is_allowed_by_its_own_network_only() -> None:
    mesh, all_of_it, itself = (read_policy(text) for text in ("100.64.0.0/10", "0.0.0.0/0", "100.100.100.200/32"))
    address = ip_address("100.100.100.200")
    assert judge(ip_address("100.100.100.201"), mesh) is None
    assert judge(address, mesh)
    assert judge(address, all_of_it)
    assert judge(address, itself) is None
    assert judge(ip_address("169.254.7.7"), read_policy("169.254.0.0/16")) is None


@given(st.ip_addresses())
def test_whoever_is_allowed_less_reaches_no_more(address: IPv4Address | IPv6Address) -> None:
    assert judge(address, "deny") is not None or judge(address, "allow") is None


@pytest.mark.parametrize("text", ["maybe", ",", "10.0.0.1/8", "10.0.0.0/33", "allow,10.0.0.0/8"])
def test_a_setting_that_is_no_rule_is_refused_with_advice(text: str) -> None:
    with pytest.raises(ValidationError, match="write allow, deny, or networks"):
        Settings(private_targets=text)


def test_servers_of_ones_own_mean_that_others_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "REDIS_URL", "PRIVATE_TARGETS"):
        monkeypatch.delenv(f"BETTERSTACK_{name}", raising=False)
    assert Settings().targets == Settings(private_targets="").targets == "allow"
    shared = {"database_url": "postgresql://x", "redis_url": "redis://x"}
    assert Settings(**shared).targets == "deny"
    assert Settings(**shared, private_targets="10.0.0.0/8").targets == (ip_network("10.0.0.0/8"),)


def test_hosts_that_can_only_be_near_are_known_by_their_spelling() -> None:
    near = ["localhost", "app.localhost", "nas.local", "127.0.0.1", "192.168.0.4", "[::1]", "db.internal"]
    assert [host for host in near if not is_near(host)] == []
    assert [host for host in ("example.com", "8.8.8.8", "localhost.example.com", "") if is_near(host)] == []


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.1", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("017700000001", "127.0.0.1"),
        ("LocalHost.", "127.0.0.1"),
        ("a.localhost", "127.0.0.1"),
        ("[::1]", "::1"),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("metadata.google.internal", "169.254.169.254"),
        ("127.0.0.1.example", None),
        ("999.1", None),
        ("", None),
        ("b\xfccher.example", None),
    ],
)
def test_a_host_that_somebody_else_resolves_is_the_address_that_it_stands_for(host: str, address: str | None) -> None:
    assert meant(host) == (address and ip_address(address))
