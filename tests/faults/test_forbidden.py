"""No connection to a forbidden address: every row of the guard's tables, in every spelling, at every hop.

An audit hook sees each connect of this process, whoever asks for it, and lets none out but those to the test's own
servers; so the proof does not depend on the dialer that it is about.

What turns this red: judging a host as it is written rather than the address, judging the first hop only, connecting to
a name once more after it was judged, letting one allowed address of a name vouch for the others, a probe that dials by
itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest

from pipeline import guard
from pipeline.guard import FORBIDDEN, NEAR, Address
from pipeline.vocabulary import Network, Outcome, Probe, Spec
from tests.faults.names import Zone, answering
from tests.integration.hostile import ok, proxy, raw, redirects, run, serving
from workers.probes import PROBES
from workers.probes.network import Dialer

OURS = "127.0.0.3"  # the test's own servers: the only address that may be reached
NAME = "site.example"
DENY = guard.allowed("deny")

# What the rules name beside the tables' rows: the services of clouds, and the edges of private ranges.
NAMED = [
    "127.0.0.1", "10.255.255.255", "172.31.255.255", "192.168.1.1", "100.64.0.1", "169.254.169.254", "169.254.170.2",
    "168.63.129.16", "192.0.0.192", "100.100.100.200", "224.0.0.251", "::1", "fec0::1", "fc00::1", "fd00:ec2::254",
    "fe80::1", "ff02::1", "2002:7f00:1::1", "64:ff9b::7f00:1", "::7f00:1", "::ffff:127.0.0.1",
]  # fmt: skip

_connected: list[str] = []
_watching = False


def _hook(event: str, details: tuple[object, ...]) -> None:
    if not _watching or event != "socket.connect":
        return
    where = details[1]
    # A datagram's connect sends nothing: it is a question to the resolver, or to the kernel for its way.
    if isinstance(where, tuple) and getattr(details[0], "type", None) != socket.SOCK_DGRAM:
        _connected.append(where[0])
        if where[0] != OURS:
            raise AssertionError(f"something connects to {where[0]}")


sys.addaudithook(_hook)  # it stays for as long as the process, and does nothing unless a test watches


@contextlib.contextmanager
def watched() -> Iterator[list[str]]:
    """The addresses that anything connects to meanwhile."""
    global _watching  # noqa: PLW0603 - a hook cannot be taken back
    _connected.clear()
    _watching = True
    try:
        yield _connected
    finally:
        _watching = False


def allowed(address: Address) -> bool:
    return str(address) == OURS or DENY(address)


@contextlib.asynccontextmanager
async def dialing(zone: Zone, rule: guard.Policy | None = None) -> AsyncIterator[tuple[Dialer, Network]]:
    dialer = Dialer(allowed=allowed if rule is None else guard.allowed(rule))
    try:
        async with answering(zone) as resolver:
            yield dialer, Network(resolvers=(resolver,))
    finally:
        await dialer.aclose()


async def probe(url: str, network: Network, dialer: Dialer) -> Probe:
    return await PROBES[url.partition(":")[0]](Spec(url, timeout_s=10.0), network, dialer=dialer)  # type: ignore[call-arg] # the dialer is the probe's, not the contract's


def spellings(address: Address) -> list[str]:
    """A host that is this address, or leads to it, as one may write it into a URL."""
    if isinstance(address, IPv6Address):
        return [f"[{address}]", f"[{address.exploded.upper()}]"]
    a, b, c, d = address.packed  # noqa: RUF059
    number, low = int(address), int.from_bytes(address.packed[2:], "big")
    high = number >> 16
    return [
        str(address),
        f"{address}.",
        str(number),
        f"0x{number:08x}",
        f"0x{a:x}.{number & 0xFFFFFF}",
        f"{a}.{number & 0xFFFFFF}",
        f"{a}.{b}.{low}",
        f"[::ffff:{address}]",
        f"[0:0:0:0:0:FFFF:{high:04X}:{low:04X}]",
        f"[::{address}]",
        f"[::ffff:0:{address}]",
        f"[64:ff9b::{high:x}:{low:x}]",
        f"[64:ff9b:1::{address}]",
        f"[2002:{high:x}:{low:x}::1]",
        f"[2001::{~high & 0xFFFF:x}:{~low & 0xFFFF:x}]",
    ]


def odd_spellings(address: Address) -> list[str]:
    """Octal digits, full-width ones, ideographic dots, percent signs: some readers of URLs take them for the address."""  # noqa: E501
    if isinstance(address, IPv6Address):
        return []
    a, b, c, d = address.packed
    return [
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}",
        str(address).translate({ord("0") + n: 0xFF10 + n for n in range(10)}),
        f"{a}\u3002{b}\u3002{c}\u3002{d}",
        "".join(f"%{ord(digit):x}" for digit in str(address)),
    ]


def edges() -> list[str]:
    """First, last and a middle address of every row."""
    found = [network[at] for network, _ in (*FORBIDDEN, *NEAR) for at in (0, network.num_addresses // 2, -1)]
    return [str(each) for each in dict.fromkeys([*found, *map(ip_address, NAMED)]) if str(each) != OURS]


@pytest.mark.parametrize("text", edges())
def test_no_spelling_of_a_forbidden_address_is_reached_at_any_hop(text: str) -> None:
    address = ip_address(text)
    odd = odd_spellings(address)
    hosts = [*spellings(address), *odd]

    async def main() -> list[tuple[str, str, Outcome]]:
        # Whatever a resolver makes of a spelling, at worst it is that address.
        zone, found = Zone(otherwise=[text]), []
        aims = {f"/{n}".encode(): f"http://{host}/" for n, host in enumerate(hosts)}

        async def move(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = f"HTTP/1.1 307 x\r\nLocation: {aims[head.split(b' ')[1]]}\r\nContent-Length: 0\r\n\r\n".encode()
            await raw(head)(head, reader, writer)

        async with dialing(zone) as (dialer, network), serving(move, host=OURS) as first:
            for n, host in enumerate(hosts):
                urls = [f"http://{host}/", f"https://{host}/", f"tcp://{host}:80", f"tls://{host}:443"]
                for url in [*urls, first.url(f"/{n}", host=OURS)]:
                    found.append((host, url, (await probe(url, network, dialer)).outcome))  # noqa: PERF401
        return found

    with watched() as connected:
        found = run(main())
    assert [each for each in found if each[0] not in odd and each[2] is not Outcome.BLOCKED] == []
    refused = {Outcome.BLOCKED, Outcome.DNS, Outcome.PROTOCOL, Outcome.REDIRECT}  # as no host, or no URL
    assert [each for each in found if each[0] in odd and each[2] not in refused] == []
    assert set(connected) == {OURS}


@pytest.mark.parametrize("scheme", PROBES)
@pytest.mark.parametrize("zone_id", ["%25eth0", "%eth0", "%251", "%25lo"])
def test_an_address_with_a_zone_is_no_way_around(scheme: str, zone_id: str) -> None:
    async def main() -> list[Outcome]:
        async with dialing(Zone(otherwise=["fe80::1"])) as (dialer, network):
            urls = [f"{scheme}://[{address}{zone_id}]:80/" for address in ("fe80::1", "::1", "fd00:ec2::254")]
            return [(await probe(url, network, dialer)).outcome for url in urls]

    with watched() as connected:
        found = run(main())
    assert set(found) <= {Outcome.BLOCKED, Outcome.PROTOCOL, Outcome.DNS}
    assert connected == []


@pytest.mark.parametrize("scheme", PROBES)
def test_a_name_of_forbidden_addresses_is_blocked_however_many_race(scheme: str) -> None:
    async def main() -> Probe:
        async with dialing(Zone({NAME: [each for each in NAMED if "ffff" not in each]})) as (dialer, network):
            return await probe(f"{scheme}://{NAME}:80", network, dialer)

    with watched() as connected:
        found = run(main())
    assert found.outcome is Outcome.BLOCKED
    assert connected == []


@pytest.mark.parametrize("scheme", PROBES)
def test_an_allowed_address_does_not_vouch_for_the_others_of_its_name(scheme: str) -> None:
    async def main() -> Probe:
        with socket.socket() as sock:
            sock.bind((OURS, 0))  # bound, but not listening: the race goes on to the others
            url = f"{scheme}://{NAME}:{sock.getsockname()[1]}"
            async with dialing(Zone({NAME: ["10.0.0.1", OURS, "::1", "169.254.169.254"]})) as (dialer, network):
                return await probe(url, network, dialer)

    with watched() as connected:
        found = run(main())
    assert found.outcome is Outcome.REFUSED
    assert connected == [OURS]


@pytest.mark.parametrize("target", ["127.0.0.1", "10.0.0.1", "169.254.169.254"])
def test_a_name_that_is_bound_anew_is_judged_each_time(target: str) -> None:
    """The first answer is fine, the next one is not: between two checks, and between two hops of one."""

    async def main() -> list[Outcome]:
        async with serving(redirects({"/hop": f"http://{NAME}/"}), host=OURS) as server:
            aim = server.url(host=NAME)
            between_checks = Zone(turns={NAME: [[OURS], [target]]})
            between_hops = Zone(turns={NAME: [[OURS], [target]]})
            found = []
            async with dialing(between_checks) as (dialer, network):
                found += [(await probe(aim, network, dialer)).outcome for _ in range(2)]
            async with dialing(between_hops) as (dialer, network):
                found.append((await probe(server.url("/hop", host=NAME), network, dialer)).outcome)
            return found

    with watched() as connected:
        found = run(main())
    assert found == [Outcome.OK, Outcome.BLOCKED, Outcome.BLOCKED]
    assert set(connected) == {OURS}


def test_what_is_connected_to_is_what_was_judged() -> None:
    """The name means something else the moment after: it is looked up once, and the answer is dialled."""
    judged: list[str] = []

    def spy(address: Address) -> bool:
        judged.append(str(address))
        return True

    async def main() -> Probe:
        zone = Zone(turns={NAME: [[OURS], ["127.0.0.1"]]})
        dialer = Dialer(allowed=spy)
        async with serving(ok(), host=OURS) as server, answering(zone) as where:
            try:
                return await probe(server.url(host=NAME), Network(resolvers=(where,)), dialer)
            finally:
                await dialer.aclose()

    with watched() as connected:
        found = run(main())
    assert (found.outcome, found.ip) == (Outcome.OK, OURS)
    assert judged == connected == [OURS]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "10.0.0.1", "[::ffff:10.0.0.1]", "169.254.169.254", "[fe80::1]", "10.0.0.1.", "127.1", "0x7f.1",
        "2130706433", "0x7f000001", "localhost", "LOCALHOST.", "a.localhost", "metadata.google.internal",
    ],
)  # fmt: skip
@pytest.mark.parametrize("scheme", PROBES)
def test_a_proxy_is_not_asked_for_a_forbidden_address(scheme: str, host: str) -> None:
    async def main() -> tuple[Probe, int]:
        async with serving(proxy, host=OURS) as way, dialing(Zone()) as (dialer, network):
            through = Network(proxy=f"http://{OURS}:{way.port}", resolvers=network.resolvers)
            return await probe(f"{scheme}://{host}:80", through, dialer), len(way.peers)

    found, asked = run(main())
    assert (found.outcome, asked) == (Outcome.BLOCKED, 0)


def test_on_ones_own_machine_metadata_is_forbidden_all_the_same() -> None:
    async def main() -> list[Outcome]:
        async with dialing(Zone({NAME: ["169.254.169.254"]}), "allow") as (dialer, network):
            hosts = (NAME, "169.254.169.254", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[fe80::1]")
            return [(await probe(f"http://{host}/", network, dialer)).outcome for host in hosts]

    with watched() as connected:
        assert run(main()) == [Outcome.BLOCKED] * 5
    assert connected == []


def test_the_hook_sees_what_connects() -> None:
    """Else all of the above would prove nothing."""

    async def main() -> Probe:
        async with dialing(Zone(), "allow") as (dialer, network):
            return await probe("tcp://127.0.0.1:1", network, dialer)

    with watched() as connected, pytest.raises(AssertionError, match=r"connects to 127\.0\.0\.1"):
        run(main())
    assert connected == ["127.0.0.1"]
    assert isinstance(ip_address(connected[0]), IPv4Address)
