"""One look-up against resolvers that are slow, dead, forged or from another time; and what it says that it took."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from pipeline.vocabulary import Clock, Family, Network, Outcome, Probe, Spec
from tests.faults.names import SERVFAIL, Zone, answering
from tests.integration.hostile import dialing, ok, open_descriptors, run, serving, settled
from workers.probes import http, lookups, resolver
from workers.probes.dns_settings import ReadFile, read_settings
from workers.probes.resolver import Resolver
from workers.probes.trace import ProbeError, Trace

NAME = "site.example"
NS = dns.rdatatype.NS
Asker = tuple[str, int]
Script = Callable[[dns.message.Message, Asker, "Port"], None]
T = TypeVar("T")


class Port(asyncio.DatagramProtocol):
    """A resolver's port, which a script answers for; questions about the root are answered by themselves."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.asked: list[dns.message.Message] = []
        self.askers: list[Asker] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Asker) -> None:
        question = dns.message.from_wire(data)
        if question.question[0].rdtype == NS:
            self.send(dns.message.make_response(question).to_wire(), addr)
            return
        self.asked.append(question)
        self.askers.append(addr)
        self._script(question, addr, self)

    def send(self, wire: bytes, asker: Asker) -> None:
        self.transport.sendto(wire, asker)

    def kinds(self) -> list[str]:
        return [dns.rdatatype.to_text(each.question[0].rdtype) for each in self.asked]


@contextlib.asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[tuple[str, Port]]:
    """A resolver over UDP: its `ip:port`."""
    loop = asyncio.get_running_loop()
    transport, port = await loop.create_datagram_endpoint(lambda: Port(script), local_addr=("127.0.0.1", 0))
    try:
        yield "{}:{}".format(*transport.get_extra_info("sockname")[:2]), port
    finally:
        transport.close()


def sound(question: dns.message.Message, address: str = "127.0.0.1") -> dns.message.Message:
    """The answer: this address and no other."""
    response = dns.message.make_response(question, recursion_available=True)
    if question.question[0].rdtype == (dns.rdatatype.AAAA if ":" in address else dns.rdatatype.A):
        name, kind = question.question[0].name.to_text(), question.question[0].rdtype
        response.answer.append(dns.rrset.from_text(name, 0, "IN", kind, address))
    return response


def well(question: dns.message.Message, asker: Asker, port: Port) -> None:
    port.send(sound(question).to_wire(), asker)


def silently(_question: dns.message.Message, _asker: Asker, _port: Port) -> None:
    pass


async def looked_up(*where: str, family: Family = Family.ANY, name: str = NAME) -> list[str]:
    resolver = Resolver(where)
    try:
        return await resolver.addresses(name, family)
    finally:
        await resolver.aclose()


def failing(main: Coroutine[Any, Any, object]) -> ProbeError:
    with pytest.raises(ProbeError) as caught:
        run(main)
    return caught.value


# Forged


def test_what_comes_from_another_address_or_port_is_not_heard() -> None:
    def forged(question: dns.message.Message, asker: Asker, port: Port) -> None:
        evil = sound(question, "127.6.6.6").to_wire()
        for host in ("127.0.0.1", "127.0.0.9"):  # another port, and another address
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                other.bind((host, 0))
                other.sendto(evil, asker)
        well(question, asker, port)

    async def main() -> list[str]:
        async with scripted(forged) as (where, _):
            return await looked_up(where)

    assert run(main()) == ["127.0.0.1"]


@pytest.mark.parametrize(
    "forge",
    [
        lambda wire: bytes((wire[0] ^ 1,)) + wire[1:],
        lambda wire: wire.replace(b"\x04site", b"\x04evil"),
        lambda wire: wire[:12] + wire[12:].replace(b"\x00\x01\x00\x01", b"\x00\x10\x00\x01", 1),
        lambda wire: wire[:2] + bytes((wire[2] & 0x7F,)) + wire[3:],
        lambda wire: wire[:5],
        lambda _: b"",
    ],
    ids=["id", "name", "kind", "a-question", "a-few-bytes", "nothing"],
)
def test_a_forged_answer_that_comes_first_is_passed_over(forge: Callable[[bytes], bytes]) -> None:
    def racing(question: dns.message.Message, asker: Asker, port: Port) -> None:
        port.send(forge(sound(question, "127.6.6.6").to_wire()), asker)
        well(question, asker, port)

    async def main() -> list[str]:
        async with scripted(racing) as (where, _):
            return await looked_up(where, family=Family.IPV4)

    assert run(main()) == ["127.0.0.1"]


def guessing(question: dns.message.Message, asker: Asker, port: Port) -> None:
    wire = sound(question, "127.6.6.6").to_wire()
    for wrong in range(1, 1 + lookups.MOST_STRAYS):
        port.send((question.id ^ wrong).to_bytes(2, "big") + wire[2:], asker)
    port.send(wire, asker)  # one of them was right


def test_whoever_guesses_on_is_too_late_since_the_question_goes_over_tcp() -> None:
    async def main() -> list[str]:
        async with scripted(guessing) as (where, port):
            host, number = where.split(":")

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                answer = sound(dns.message.from_wire(wire)).to_wire()
                writer.write(len(answer).to_bytes(2, "big")[:1])
                await asyncio.sleep(0.01)  # in pieces, as it may come
                writer.write(len(answer).to_bytes(2, "big")[1:] + answer)
                await writer.drain()
                writer.close()

            async with await asyncio.start_server(serve, host, int(number)):
                found = await looked_up(where, family=Family.IPV4)
            assert len(port.asked) == 1
            return found

    assert run(main()) == ["127.0.0.1"]


def test_forgers_whom_no_tcp_refutes_are_no_fault_of_the_site() -> None:
    async def main() -> list[str]:
        async with scripted(guessing) as (where, _):
            return await looked_up(where, family=Family.IPV4)

    found = failing(main())
    assert found.outcome is Outcome.PROBE_NETWORK
    assert "Others answer in the place" in found.detail


def test_each_question_has_an_id_of_its_own_and_each_look_up_a_port() -> None:
    async def main() -> tuple[set[int], set[Asker]]:
        async with scripted(well) as (where, port):
            for _ in range(10):
                await looked_up(where)
            return {each.id for each in port.asked}, set(port.askers)

    ids, askers = run(main())
    assert len(ids) > 15
    assert len(askers) > 8


# Broken, and from another time


def test_a_resolver_from_before_edns_is_asked_without_it() -> None:
    def old(question: dns.message.Message, asker: Asker, port: Port) -> None:
        response = sound(question)
        if question.edns >= 0:
            response = dns.message.make_response(question)
            response.use_edns(edns=False)
            response.set_rcode(dns.rcode.FORMERR)
        port.send(response.to_wire(), asker)

    async def main() -> list[str]:
        async with scripted(old) as (where, _):
            return await looked_up(where)

    assert run(main()) == ["127.0.0.1"]


def test_an_answer_cut_short_that_cannot_be_had_over_tcp_is_dns() -> None:
    def cut(question: dns.message.Message, asker: Asker, port: Port) -> None:
        response = dns.message.make_response(question)
        response.flags |= dns.flags.TC
        port.send(response.to_wire(), asker)

    async def main() -> list[str]:
        async with scripted(cut) as (where, _):
            return await looked_up(where)

    found = failing(main())
    assert (found.outcome, "does not give it over TCP" in found.detail) == (Outcome.DNS, True), found


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP])
def test_of_several_resolvers_the_next_is_asked_where_one_fails(code: dns.rcode.Rcode) -> None:
    async def main() -> list[str]:
        failing, good = Zone(codes={NAME: code}), Zone({NAME: ["127.0.0.1"]})
        async with answering(failing) as first, answering(good) as second:
            return await looked_up(first, second)

    assert run(main()) == ["127.0.0.1"]


def test_addresses_of_one_family_are_enough_where_the_other_cannot_be_told() -> None:
    """Clients go on with what they have, and so do we: after the RFC's 50 ms, or at once where a resolver fails."""

    def halting(question: dns.message.Message, asker: Asker, port: Port) -> None:
        if question.question[0].rdtype == dns.rdatatype.A:
            well(question, asker, port)

    def refusing(question: dns.message.Message, asker: Asker, port: Port) -> None:
        response = sound(question)
        if question.question[0].rdtype == dns.rdatatype.AAAA:
            response.set_rcode(SERVFAIL)
        port.send(response.to_wire(), asker)

    async def main(script: Script) -> tuple[list[str], float | None]:
        trace = Trace()
        async with scripted(script) as (where, _):
            resolver = Resolver((where,))
            trace.enter("dns")
            found = await resolver.addresses(NAME, trace=trace)
            await resolver.aclose()
        return found, trace._kernel_s.get("dns")

    found, waited_s = run(main(halting))
    assert found == ["127.0.0.1"]
    assert waited_s is not None
    assert 0.05 <= waited_s < 0.2
    assert run(main(refusing))[0] == ["127.0.0.1"]


def test_ipv6_alone_waits_for_ipv4_since_the_prober_may_have_no_other_way() -> None:
    def late(question: dns.message.Message, asker: Asker, port: Port) -> None:
        if question.question[0].rdtype == dns.rdatatype.A:
            asyncio.get_running_loop().call_later(0.15, well, question, asker, port)
        else:
            port.send(sound(question, "::1").to_wire(), asker)

    async def main() -> list[str]:
        async with scripted(late) as (where, _):
            return await looked_up(where)

    assert set(run(main())) == {"127.0.0.1", "::1"}


# Lost, silent, dead


def test_a_lost_question_is_asked_again_and_its_time_holds_the_wait() -> None:
    def losing(question: dns.message.Message, asker: Asker, port: Port) -> None:
        if port.kinds().count(dns.rdatatype.to_text(question.question[0].rdtype)) > 1:
            well(question, asker, port)

    async def main() -> tuple[Probe, int]:
        async with serving(ok()) as server, scripted(losing) as (where, port), dialing() as dialer:
            found = await http.probe(Spec(server.url(host=NAME)), Network(resolvers=(where,)), dialer=dialer)
            return found, len(port.asked)

    found, asked = run(main())
    assert (found.outcome, asked) == (Outcome.OK, 4)
    assert found.phases.dns_ms is not None
    assert lookups.TRY_S * 1000 <= found.phases.dns_ms < 5_000


def test_a_resolver_that_was_silent_is_not_waited_for_again_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "WONDER_S", 0.05)
    silent = True

    def moody(question: dns.message.Message, asker: Asker, port: Port) -> None:
        if not silent:
            well(question, asker, port)

    class Deaf(Port):
        def datagram_received(self, data: bytes, addr: Asker) -> None:
            if not silent:
                super().datagram_received(data, addr)

    async def main() -> tuple[int, int, bool]:
        nonlocal silent
        loop = asyncio.get_running_loop()
        transport, deaf = await loop.create_datagram_endpoint(lambda: Deaf(moody), local_addr=("127.0.0.1", 0))
        first = "{}:{}".format(*transport.get_extra_info("sockname"))
        async with scripted(well) as (second, good):
            ours = Resolver((first, second))
            await ours.addresses(NAME)
            before = len(good.asked)
            trace = Trace()
            trace.enter("dns")
            await ours.addresses(NAME, trace=trace)
            at_once, asked = trace._kernel_s["dns"] < lookups.TRY_S, len(good.asked) - before
            silent = False
            while not deaf.asked:
                await asyncio.sleep(0.02)
                await ours.addresses(NAME)
            await ours.aclose()
        transport.close()
        return before, asked, at_once

    before, asked, at_once = run(main())
    assert (before, asked) == (2, 2)
    assert at_once


def test_where_nobody_ever_answers_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "TRY_S", 0.001)

    async def main() -> list[str]:
        async with scripted(silently) as (where, _):
            return await looked_up(where)

    found = failing(main())
    assert (found.outcome, found.detail) == (Outcome.DNS, f"No resolver answered for {NAME} in time")


def test_of_a_look_up_that_is_given_up_nothing_stays_open() -> None:
    async def main() -> bool:
        async with scripted(silently) as (where, _):
            before = open_descriptors()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.4):
                    await looked_up(where)
            return await settled(before)

    assert run(main())


# By the kernel's clock


def test_a_loop_that_comes_late_to_an_answer_does_not_make_it_late() -> None:
    """The loop stands still while the answers come in; none of that is theirs, nor an error of the latency."""

    async def main() -> Probe:
        stalled = False

        def stalling(question: dns.message.Message, asker: Asker, port: Port) -> None:
            nonlocal stalled
            well(question, asker, port)
            if not stalled and len(port.asked) == 2:
                stalled = True
                time.sleep(0.3)  # it is what the test is about

        async with serving(ok()) as server, scripted(stalling) as (where, _), dialing() as dialer:
            return await http.probe(Spec(server.url(host=NAME)), Network(resolvers=(where,)), dialer=dialer)

    found = run(main())
    assert (found.outcome, found.clock) == (Outcome.OK, Clock.KERNEL)
    assert found.looped is None
    assert found.phases.dns_ms is not None
    assert found.phases.dns_ms < 250
    assert found.error_ms < 100


def test_an_answer_over_tcp_is_timed_by_the_kernel_too() -> None:
    async def main() -> Probe:
        zone = Zone({NAME: ["127.0.0.1"]}, truncated={NAME}, delays_s={NAME: 0.05})
        async with serving(ok()) as server, answering(zone) as where, dialing() as dialer:
            spec = Spec(server.url(host=NAME), family=Family.IPV4)
            return await http.probe(spec, Network(resolvers=(where,)), dialer=dialer)

    found = run(main())
    assert (found.outcome, found.clock, found.looped) == (Outcome.OK, Clock.KERNEL, None)
    assert found.phases.dns_ms is not None
    assert found.phases.dns_ms >= 100, "it was asked over both"


# Which names


def test_search_domains_and_tcp_are_as_the_system_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def main() -> tuple[list[str], list[str]]:
        zone = Zone({"web.lan.example": ["127.0.0.1"]})
        async with answering(zone) as where:
            host, port = where.split(":")
            file = tmp_path / "resolv.conf"
            file.write_text(f"nameserver {host}\nsearch none.example lan.example\noptions use-vc\n")
            monkeypatch.setattr("workers.probes.dns_settings.PORT", int(port))
            monkeypatch.setattr(resolver, "SETTINGS", ReadFile(file, read_settings))
            return await looked_up(name="web"), zone.asked

    assert run(main()) == (["127.0.0.1"], [])


def test_a_name_that_no_domain_makes_whole_is_told_as_it_is() -> None:
    async def main() -> list[str]:
        async with answering(Zone()) as where:
            return await looked_up(where, name="web")

    assert failing(main()).detail == "The name web does not exist (NXDOMAIN)"


@pytest.mark.parametrize(
    ("zone", "sentence"),
    [
        (Zone(aliases={NAME: "a.example"}), "stands for a.example, which does not exist (NXDOMAIN)"),
        (Zone({"a.example": []}, aliases={NAME: "a.example"}), "stands for a.example, which has no address"),
        (Zone(aliases={NAME: "a.example", "a.example": NAME}), "stands for another (a.example), and so on"),
    ],
)
def test_an_alias_is_told(zone: Zone, sentence: str) -> None:
    async def main() -> list[str]:
        async with answering(zone) as where:
            return await looked_up(where)

    found = failing(main())
    assert found.outcome is Outcome.DNS
    assert sentence in found.detail
