"""Which address of a name comes first: the rules of RFC 6724 that a client without a configuration of its own follows.

Which address of ours would be used is the kernel's word, asked with a socket that sends nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from ipaddress import IPv6Address, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from pipeline.guard import Address

LOOKED_AT = 32  # addresses: only half of them are tried
ANY_PORT = 9  # the kernel wants one; nothing is sent to it
LINK_LOCAL, SITE_LOCAL, GLOBAL = 0x2, 0x5, 0xE  # scopes, as multicast addresses write them

# The RFC's table: (prefix, precedence, label), the longest first.
POLICIES = sorted(
    (
        (IPv6Network("::1/128"), 50, 0),
        (IPv6Network("::/0"), 40, 1),
        (IPv6Network("::ffff:0:0/96"), 35, 4),
        (IPv6Network("2002::/16"), 30, 2),
        (IPv6Network("2001::/32"), 5, 5),
        (IPv6Network("fc00::/7"), 3, 13),
        (IPv6Network("::/96"), 1, 3),
        (IPv6Network("fec0::/10"), 1, 11),
        (IPv6Network("3ffe::/16"), 1, 12),
    ),
    key=lambda row: -row[0].prefixlen,
)
MAPPED = 0xFFFF << 32
LINK_LOCAL_V4 = ip_network("169.254.0.0/16")


class Standing(NamedTuple):
    """How an address stands among others, the smaller the better."""

    unusable: bool
    other_scope: bool
    other_label: bool
    precedence: int
    scope: int
    not_shared: int


def preferred(addresses: Sequence[Address]) -> list[Address]:
    """The addresses in their order; those that stand alike stay as the resolver had them.

    Those of IPv4 alone stand alike where they are of one scope, and nobody is asked.
    """
    first, rest = addresses[:LOOKED_AT], addresses[LOOKED_AT:]
    if all(each.version == 4 for each in first) and len({_scope(each) for each in first}) == 1:
        return list(addresses)
    return [*sorted(first, key=standing), *rest]


def standing(address: Address, source: Address | None = None) -> Standing:
    """How an address stands, from `source`; by itself the one that the kernel would use."""
    source = source or source_for(address)
    precedence, label = _policy(address)
    scope = _scope(address)
    if source is None:
        return Standing(True, True, True, -precedence, scope, 0)
    shared = 128 - (int(address) ^ int(source)).bit_length() if address.version == 6 else 0
    return Standing(False, _scope(source) != scope, _policy(source)[1] != label, -precedence, scope, -min(shared, 64))


def source_for(address: Address) -> Address | None:
    """Which of our addresses is used to reach another; None where there is no way."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((str(address), ANY_PORT))
            return ip_address(asked.getsockname()[0].partition("%")[0])
    except (OSError, ValueError):
        return None


def _policy(address: Address) -> tuple[int, int]:
    wide = address if isinstance(address, IPv6Address) else IPv6Address(MAPPED | int(address))
    return next((precedence, label) for prefix, precedence, label in POLICIES if wide in prefix)


def _scope(address: Address) -> int:
    if isinstance(address, ipaddress.IPv4Address):
        return LINK_LOCAL if address.is_loopback or address in LINK_LOCAL_V4 else GLOBAL
    if address.is_multicast:
        return int(address) >> 112 & 0xF
    if address.is_loopback or address.is_link_local:
        return LINK_LOCAL
    return SITE_LOCAL if address.is_site_local else GLOBAL
