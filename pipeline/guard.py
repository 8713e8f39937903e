"""Which addresses may be connected to. Pure; whoever connects asks at connect, for every hop, and connects to that
very address: a name may mean another one a moment later.

Three classes. *Public* addresses are for everybody. *Near* ones (this machine, private networks) belong to whoever
runs the workbench: fine to watch on one's own machine, forbidden where others share the installation. *Forbidden* ones
(metadata services, link-local, multicast, what stands for another address) are no site under either rule; an operator
who means one lists its network. The standard library's `is_private` and `is_global` miss several of them.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Policy = Literal["allow", "deny"] | tuple[Network, ...]
"""What holds for near addresses; networks are allowed whatever is in them, and deny the other near ones."""
Table = tuple[tuple[Network, str], ...]

SETTING = "BETTERSTACK_PRIVATE_TARGETS"


def _table(text: str) -> Table:
    """`network  what it is`, one a line."""
    rows = (line.split(maxsplit=1) for line in text.strip().splitlines())
    return tuple((ip_network(network), what) for network, what in rows)


# The first network that holds an address says what it is, so the narrow ones come first.
FORBIDDEN = _table("""
    168.63.129.16/32     the address of a cloud's own services (Azure)
    192.0.0.192/32       the metadata service of a cloud (Oracle)
    100.100.100.200/32   the metadata service of a cloud (Alibaba)
    169.254.0.0/16       a link-local address, where clouds keep their metadata services
    0.0.0.0/8            no address of a host (write 127.0.0.1 for this machine)
    192.0.0.0/24         reserved for protocols
    192.88.99.0/24       a relay of 6to4
    224.0.0.0/4          a multicast address
    255.255.255.255/32   the broadcast address
    240.0.0.0/4          reserved
    ::/128               no address of a host (write ::1 for this machine)
    fd00:ec2::/32        the metadata service of a cloud (AWS)
    fd20:ce::/32         the metadata service of a cloud (Google)
    fe80::/10            a link-local address
    ff00::/8             a multicast address
    2001::/32            a Teredo address, which stands for others
    2002::/16            a 6to4 address, which stands for another
""")
NEAR = _table("""
    127.0.0.0/8          this machine itself (loopback)
    10.0.0.0/8           a private address
    172.16.0.0/12        a private address
    192.168.0.0/16       a private address
    100.64.0.0/10        an address inside a provider's or a mesh's network
    192.0.2.0/24         an address for documentation
    198.51.100.0/24      an address for documentation
    203.0.113.0/24       an address for documentation
    198.18.0.0/15        an address for benchmarks and local proxies
    ::1/128              this machine itself (loopback)
    fc00::/7             a private address
    fec0::/10            a private address (site-local)
    2001:db8::/32        an address for documentation
    3fff::/20            an address for documentation
    64:ff9b::/96         an IPv4 address behind NAT64
    64:ff9b:1::/48       an IPv4 address behind a NAT64 of one's own
""")
GLOBAL_V6 = ip_network("2000::/3")  # all that was ever given to anybody; the rest has some meaning of its own
MAPPED = ip_network("::ffff:0:0/96")  # the same host as the IPv4 address in it
LOCALHOST, METADATA = IPv4Address("127.0.0.1"), IPv4Address("169.254.169.254")
NAMED: dict[str, Address] = {
    **dict.fromkeys(("localhost", "localhost.localdomain", "localhost6", "ip6-localhost"), LOCALHOST),
    **dict.fromkeys(("metadata.google.internal", "metadata.goog", "instance-data"), METADATA),
}
CARRIERS = (MAPPED, ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48"))


def read_policy(text: str) -> Policy:
    """`allow`, `deny`, or networks with commas between. Errors: ValueError with advice."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if len(words) == 1 and (word := words[0].lower()) in ("allow", "deny"):
        return "allow" if word == "allow" else "deny"
    try:
        networks = tuple(ip_network(word) for word in words)
    except ValueError as error:
        raise ValueError(f"{error}: write allow, deny, or networks such as 10.1.0.0/16,fd00::/8") from None
    if not networks:
        raise ValueError("write allow, deny, or networks such as 10.1.0.0/16,fd00::/8")
    return networks


def judge(address: Address, policy: Policy) -> str | None:
    """Why nothing may connect to this address, as what it is: `a private address`; None where it may."""
    if isinstance(address, IPv6Address) and address in MAPPED:
        return judge(_carried(address), policy)
    listed = [] if isinstance(policy, str) else [each for each in policy if _holds(each, address)]
    if row := _row(address, FORBIDDEN):
        # 100.64.0.0/10 allows a mesh, not the metadata service that a cloud put into it: that one is named by itself.
        network, what = row
        return None if any(_within(each, network) for each in listed) else what
    if row := _row(address, NEAR):
        return _judge_carried(address, policy) if listed or policy == "allow" else row[1]
    if isinstance(address, IPv6Address) and address not in GLOBAL_V6 and not listed:
        return "no address of the internet"
    return None


def allowed(policy: Policy) -> Callable[[Address], bool]:
    """The rule for a dialer, which asks it for each connection and mostly about the same addresses."""

    @functools.lru_cache(maxsize=4096)
    def may_connect(address: Address) -> bool:
        return judge(address, policy) is None

    return may_connect


def advice(policy: Policy) -> str:
    """What to do about a refusal, for whoever runs this installation."""
    networks = "its network" if policy == "allow" else "its network, or all that are private,"
    return f"Whoever runs this installation can allow {networks} with {SETTING}."


def is_near(host: str) -> bool:
    """Whether a host as written means this machine or a private network."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith((".localhost", ".local", ".internal", ".lan", ".home.arpa")):
        return True
    try:
        return _row(ip_address(name.strip("[]")), NEAR) is not None
    except ValueError:
        return False


def meant(host: str) -> Address | None:
    """The address that a host stands for, whoever resolves it: as such, as 127.1, 0x7f.1 or 2130706433, as localhost.

    None for all other names. For those who hand a host on to somebody who resolves it.
    """
    name = host.lower().rstrip(".")
    if name.endswith(".localhost"):
        return LOCALHOST
    try:
        return NAMED.get(name) or ip_address(name.strip("[]"))
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(name))
    except (OSError, ValueError):
        return None


def _row(address: Address, table: Table) -> tuple[Network, str] | None:
    return next((row for row in table if _holds(row[0], address)), None)


def _holds(network: Network, address: Address) -> bool:
    return address.version == network.version and address in network


def _within(network: Network, other: Network) -> bool:
    return network.version == other.version and network.prefixlen >= other.prefixlen and network[0] in other


def _judge_carried(address: Address, policy: Policy) -> str | None:
    """An address that only carries another is no better than that one, whoever allowed it."""
    if isinstance(address, IPv6Address) and any(address in carrier for carrier in CARRIERS):
        return judge(_carried(address), policy)
    return None


def _carried(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)
