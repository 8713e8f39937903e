"""How the dialer reaches a name with several addresses, and whose fault it is where it does not."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_address

import httpx
import pytest

from pipeline import guard
from pipeline.guard import Address
from pipeline.vocabulary import Family, Network, Outcome, Probe, Spec
from tests.faults.names import Zone, answering
from tests.integration.hostile import Handler, dialing, ok, open_descriptors, raw, redirects, run, serving, settled
from workers.probes import http
from workers.probes.network import Dialer
from workers.probes.racing import START_EVERY_S, alternate, start_every_s
from workers.probes.trace import Trace

NAME = "site.example"


@contextlib.contextmanager
def swallowing(port: int, *addresses: str) -> Iterator[None]:
    """Addresses of this machine that never answer a SYN: their backlogs are full."""
    with contextlib.ExitStack() as held:
        for address in addresses:
            listener = held.enter_context(socket.socket())
            listener.bind((address, port))
            listener.listen(0)
            for _ in range(4):
                filler = held.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex((address, port))
        yield


def check(
    addresses: list[str], *, silent: tuple[str, ...] = (), dialer: Dialer | None = None, **fields: object
) -> Probe:
    """Probe a name with these addresses, of which 127.0.0.1 (and ::1) serve, and some are `silent`."""

    async def main() -> Probe:
        async with serving(ok()) as server, answering(Zone({NAME: addresses})) as where, dialing(dialer) as ours:
            spec = Spec(server.url(host=NAME), **fields)  # type: ignore[arg-type]
            with swallowing(server.port, *silent):
                return await http.probe(spec, Network(resolvers=(where,)), dialer=ours)

    return run(main())


# The race


def test_a_dead_address_costs_what_the_next_waits_and_no_more() -> None:
    found = check(["127.0.0.7", "127.0.0.1"], silent=("127.0.0.7",), timeout_s=10)
    assert (found.outcome, found.ip) == (Outcome.OK, "127.0.0.1"), found
    assert found.phases.connect_ms is not None
    assert START_EVERY_S * 1000 <= found.phases.connect_ms < 5_000
    assert found.latency_ms is not None
    assert found.latency_ms >= found.phases.connect_ms, "the wait for the dead one is part of what a client sees"


def test_a_refused_address_costs_nothing() -> None:
    found = check(["127.0.0.7", "127.0.0.8", "127.0.0.9", "127.0.0.1"], timeout_s=10)
    assert (found.outcome, found.ip) == (Outcome.OK, "127.0.0.1")
    assert found.phases.connect_ms is not None
    assert found.phases.connect_ms < START_EVERY_S * 1000


def test_the_first_address_wins_where_it_answers() -> None:
    assert check(["127.0.0.1", "127.0.0.7"], silent=("127.0.0.7",)).ip == "127.0.0.1"


def test_a_short_deadline_leaves_no_address_out() -> None:
    dead = tuple(f"127.0.0.{n}" for n in range(10, 22))
    found = check([*dead, "127.0.0.1"], silent=dead, timeout_s=2.0)
    assert (found.outcome, found.ip) == (Outcome.OK, "127.0.0.1"), found


def test_of_several_failures_the_one_that_says_most_is_told_with_their_number() -> None:
    async def main() -> Probe:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))  # bound, but not listening: nobody else gets the port
            port = sock.getsockname()[1]
            names = Zone({NAME: ["127.0.0.7", "127.0.0.1"]})
            async with answering(names) as where, dialing() as dialer:
                spec = Spec(f"http://{NAME}:{port}/")
                return await http.probe(spec, Network(resolvers=(where,)), dialer=dialer)

    found = run(main())
    assert found.outcome is Outcome.REFUSED
    assert found.detail is not None
    assert found.detail.startswith("Nothing listens on 127.0.0.7:")
    assert found.detail.endswith("none of 2 addresses did better")


@pytest.mark.parametrize(
    ("addresses", "silent", "outcome", "sentence"),
    [
        (["127.0.0.7", "127.0.0.8"], ("127.0.0.7", "127.0.0.8"), Outcome.CONNECT_TIMEOUT, "No connection within 1 s"),
        (["127.0.0.7", "127.0.0.8"], ("127.0.0.7",), Outcome.REFUSED, "Nothing listens on 127.0.0.8"),
    ],
    ids=["all-silent", "one-refuses"],
)
def test_the_deadline_ends_a_race_and_tells_what_is_known(
    addresses: list[str], silent: tuple[str, ...], outcome: Outcome, sentence: str
) -> None:
    found = check(addresses, silent=silent, timeout_s=1.0)
    assert found.outcome is outcome
    assert found.detail is not None
    assert sentence in found.detail
    assert "2 addresses" in found.detail


def test_losers_are_closed_and_cancelling_leaves_nothing_open() -> None:
    async def main() -> None:
        dead = ("127.0.0.7", "127.0.0.8")
        names = Zone({NAME: [*dead, "127.0.0.1"], "dead.example": list(dead)})
        async with serving(ok()) as server, answering(names) as where, dialing() as dialer:
            network = Network(resolvers=(where,))
            with swallowing(server.port, *dead):
                await http.probe(Spec(server.url(host=NAME)), network, dialer=dialer)
                before = open_descriptors()
                for _ in range(3):
                    found = await http.probe(Spec(server.url(host=NAME)), network, dialer=dialer)
                    assert found.outcome is Outcome.OK
                    await http.probe(Spec(server.url(host="dead.example"), timeout_s=0.4), network, dialer=dialer)
                    task = asyncio.create_task(
                        http.probe(Spec(server.url(host="dead.example"), timeout_s=30), network, dialer=dialer)
                    )
                    await asyncio.sleep(START_EVERY_S + 0.05)  # both are being tried
                    task.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await task
                assert await settled(before)

    run(main())


def test_a_fault_of_ours_ends_a_race_as_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("workers.probes.network.connect", none_left)
    with pytest.raises(OSError, match="Too many"):
        check(["127.0.0.1", "127.0.0.7"])


# Families


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


@ipv6
@pytest.mark.parametrize(
    ("family", "ip"), [(Family.IPV4, "127.0.0.1"), (Family.IPV6, "::1"), (Family.ANY, "127.0.0.1")]
)
def test_a_site_says_which_family_is_tried(family: Family, ip: str) -> None:
    async def main() -> Probe:
        async with serving(ok()) as four, answering(Zone({NAME: ["127.0.0.1", "::1"]})) as where, dialing() as dialer:
            six = await asyncio.start_server(_answer, "::1", four.port)
            async with six:
                # Of both, the one that connects first: ::1 is tried first, and refuses where it does not listen.
                if family is Family.ANY:
                    six.close()
                spec = Spec(four.url(host=NAME), family=family)
                return await http.probe(spec, Network(resolvers=(where,)), dialer=dialer)

    found = run(main())
    assert (found.outcome, found.ip) == (Outcome.OK, ip)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    writer.close()


@pytest.mark.parametrize(
    ("addresses", "family", "sentence"),
    [
        (["127.0.0.1"], Family.IPV6, f"The name {NAME} has no IPv6 address"),
        (["::1"], Family.IPV4, f"The name {NAME} has no IPv4 address"),
    ],
)
def test_a_name_without_an_address_of_the_family_is_dns(addresses: list[str], family: Family, sentence: str) -> None:
    found = check(addresses, family=family)
    assert (found.outcome, found.detail) == (Outcome.DNS, sentence)


def test_families_alternate_and_a_short_deadline_hastens_the_race() -> None:
    addresses = list(map(ip_address, ["::1", "::2", "127.0.0.1", "::1", "127.0.0.2", "127.0.0.3"]))
    assert list(map(str, alternate(addresses))) == ["::1", "127.0.0.1", "::2", "127.0.0.2", "127.0.0.3"]
    assert alternate([]) == []
    assert start_every_s(2, 10) == START_EVERY_S
    assert start_every_s(9, 1) == 0.1


# The guard, in a race and in every spelling


DENY = guard.allowed("deny")


def test_a_race_is_between_the_addresses_that_are_allowed() -> None:
    judged: list[str] = []

    def allowed(address: Address) -> bool:
        judged.append(str(address))
        return str(address) != "127.0.0.1"

    found = check(["127.0.0.1", "127.0.0.7", "127.0.0.8"], dialer=Dialer(allowed=allowed))
    assert found.outcome is Outcome.REFUSED, "the one that serves is not to be asked"
    assert sorted(judged) == ["127.0.0.1", "127.0.0.7", "127.0.0.8"]
    assert found.detail is not None
    assert "2 addresses" in found.detail


SPELLINGS = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "0x7f.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "0177.0.0.01",
    "127.0.0.1.",
    "localhost",
    "LOCALHOST.",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[::127.0.0.1]",
    "[::1%25lo]",
    "\uff11\uff12\uff17.0.0.1",
    "\u2460\u2461\u2466.0.0.1",
    "127\u30020\u30020\u30021",
    "%31%32%37.0.0.1",
]


@pytest.mark.parametrize("host", SPELLINGS)
def test_no_spelling_of_a_forbidden_address_gets_past_the_guard(host: str) -> None:
    """Neither written into a site nor as the aim of a redirect; and whatever a resolver makes of it is judged, too."""

    async def main() -> tuple[list[Probe], int]:
        lying = Zone({}, otherwise=["127.0.0.1"])
        async with serving(ok()) as server, answering(lying) as where, dialing(Dialer(allowed=DENY)) as dialer:
            network = Network(resolvers=(where,))
            aim = f"http://{host}:{server.port}/"
            moved = raw(f"HTTP/1.1 302 Moved\r\nLocation: {aim}\r\nContent-Length: 0\r\n\r\n".encode())

            def first_hop(address: Address) -> bool:
                return str(address) == "127.0.0.3" or DENY(address)

            listener = await asyncio.start_server(_with(moved), "127.0.0.3", 0)
            port = listener.sockets[0].getsockname()[1]
            async with listener, dialing(Dialer(allowed=first_hop)) as hopping:
                found = [
                    await http.probe(Spec(aim), network, dialer=dialer),
                    await http.probe(Spec(f"http://127.0.0.3:{port}/"), network, dialer=hopping),
                ]
            return found, len(server.peers)

    found, reached = run(main())
    assert reached == 0
    for each in found:
        assert each.outcome in {Outcome.BLOCKED, Outcome.DNS, Outcome.REDIRECT, Outcome.PROTOCOL}, each


def _with(handler: Handler) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await handler(head, reader, writer)
        writer.close()

    return serve


def test_a_name_that_changes_to_a_forbidden_address_is_judged_each_time() -> None:
    async def main() -> list[Probe]:
        zone = Zone({NAME: ["127.0.0.3"]}, ttl_s=3600)

        def allowed(address: Address) -> bool:
            return str(address) == "127.0.0.3"

        async def moved(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            zone.names[NAME] = zone.names["other.example"] = ["127.0.0.1"]
            aim = f"http://other.example:{server.port}/"
            await redirects({"/": aim})(head, reader, writer)

        async with (
            serving(ok()) as server,
            answering(zone) as where,
            dialing(Dialer(allowed=allowed)) as dialer,
            await asyncio.start_server(_with(moved), "127.0.0.3", 0) as listener,
        ):
            network = Network(resolvers=(where,))
            port = listener.sockets[0].getsockname()[1]
            return [await http.probe(Spec(f"http://{NAME}:{port}/"), network, dialer=dialer)]

    [found] = run(main())
    assert found.outcome is Outcome.BLOCKED
    assert found.ip == "127.0.0.3"


# Without a name, without a site


def test_the_proxy_resolves_names_so_that_no_family_can_be_asked_for() -> None:
    spec = Spec(f"http://{NAME}/", family=Family.IPV6)
    found = run(http.probe(spec, Network(proxy="http://127.0.0.1:1")))
    assert found.outcome is Outcome.PROBE_NETWORK
    assert found.detail is not None
    assert "family" in found.detail


def test_a_url_of_its_own_can_be_dialled_without_a_site() -> None:
    async def main() -> int:
        async with serving(ok()) as server, dialing() as dialer:
            stream = await dialer.dial(httpx.URL(server.url()), Network(), Trace())
            await server.connected.wait()
            stream.close()
            await server.hung_up.wait()
            return len(server.peers)

    assert run(main()) == 1
