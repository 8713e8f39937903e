"""Is it the site, or is it us? Judged with a network that the tests make up."""

from __future__ import annotations

import asyncio

import pytest
from msgspec import structs

from pipeline.vocabulary import Network, Outcome, Phases, Probe
from workers.vantage import BELIEVED_S, REMEMBERED_S, Vantage, place

ELSEWHERE = ("8.8.8.8", "9.9.9.9", "93.184.215.14", "151.101.1.69")
PLAIN = Network()
FAILED = Probe(Outcome.CONNECT_TIMEOUT, ip="1.2.3.4")
UNFOUND = Probe(Outcome.DNS, phases=Phases(dns_ms=5000.0))


class World:
    """Who answers, which names are found, and what was asked; with the time that the tests set."""

    def __init__(self) -> None:
        self.up: set[str] = set()
        self.asked: list[str] = []
        self.slow = False
        self.now = 1000.0
        self.vantage = Vantage(self._answers, self._answers_name, clock=lambda: self.now)

    def saw(self, *addresses: str) -> None:
        for address in addresses:
            self.vantage.saw(
                "site.example", 443, Probe(Outcome.OK, ip=address, phases=Phases(connect_ms=1.0, ttfb_ms=1.0))
            )

    def found(self, *names: str) -> None:
        for name in names:
            self.vantage.saw(name, 443, Probe(Outcome.REFUSED, phases=Phases(dns_ms=1.0)))

    def lost(self, probe: Probe = FAILED, network: Network = PLAIN, *, host: str = "dead.example") -> str | None:
        return asyncio.run(self.vantage.lost(host, probe, network))

    async def _answers(self, host: str, _port: int, _network: Network) -> bool:
        self.asked.append(host)
        await asyncio.sleep(0)
        while self.slow:  # noqa: ASYNC110 - the test says when it is over
            await asyncio.sleep(0)
        return host in self.up

    async def _answers_name(self, name: str, network: Network) -> bool:
        return await self._answers(name, 0, network)


@pytest.fixture
def world() -> World:
    return World()


def test_where_nobody_in_other_networks_answers_it_is_us(world: World) -> None:
    world.saw(*ELSEWHERE)
    assert world.lost() == ("none of 4 other sites in other networks answers either: the prober's own network is gone")


def test_where_anybody_answers_it_is_the_site(world: World) -> None:
    world.saw(*ELSEWHERE)
    world.up.add("9.9.9.9")
    assert world.lost() is None


@pytest.mark.parametrize(
    "seen",
    [
        (),
        ELSEWHERE[:2],
        ("8.8.8.8", "8.8.4.4", "8.8.1.1", "8.8.2.2"),
        ("1.2.9.9", "8.8.8.8", "9.9.9.9"),
        ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"),
        ("10.0.0.1", "10.0.0.2", "192.168.0.1", "10.9.0.1"),
    ],
    ids=["nobody", "too-few", "one-provider", "its-own-network", "this-machine", "near-ones"],
)
def test_without_enough_others_a_failure_is_believed(world: World, seen: tuple[str, ...]) -> None:
    world.saw(*seen)
    assert world.lost() is None
    assert world.asked == []


def test_who_is_near_is_judged_by_who_is_near(world: World) -> None:
    world.saw("10.0.0.1", "10.0.0.2", "192.168.0.1", *ELSEWHERE)
    world.up.update(ELSEWHERE)
    assert world.lost(Probe(Outcome.UNREACHABLE, ip="10.0.0.9")) is not None
    assert set(world.asked) == {"10.0.0.1", "10.0.0.2", "192.168.0.1"}


def test_who_answered_long_ago_is_no_witness(world: World) -> None:
    world.saw(*ELSEWHERE)
    world.now += REMEMBERED_S + 1
    assert world.lost() is None


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.RESET, Outcome.TLS, Outcome.STATUS, Outcome.OK])
def test_what_somebody_answered_is_never_questioned(world: World, outcome: Outcome) -> None:
    world.saw(*ELSEWHERE)
    assert world.lost(Probe(outcome, ip="1.2.3.4")) is None
    assert world.asked == []


def test_this_machine_needs_no_network(world: World) -> None:
    world.saw(*ELSEWHERE)
    assert world.lost(Probe(Outcome.TIMEOUT, ip="127.0.0.1")) is None


def test_reference_targets_decide_alone_where_there_are_some(world: World) -> None:
    network = Network(references=("one.example:443", "[2001:db8::1]:53"))
    world.saw(*ELSEWHERE)
    world.up.update(ELSEWHERE)
    assert world.lost(network=network) == (
        "none of this region's reference targets answers: the prober's own network is gone"
    )
    world.now += BELIEVED_S
    world.up.add("2001:db8::1")
    assert world.lost(network=network) is None
    assert not set(world.asked) & set(ELSEWHERE)


def test_a_resolver_that_finds_nothing_any_more_is_ours(world: World) -> None:
    world.found("a.example", "b.test", "c.invalid", "d.example")
    assert world.lost(UNFOUND, host="www.dead.org") == (
        "none of 4 names that were found before is found now: the region's resolver is gone"
    )
    world.now += BELIEVED_S
    world.up.add("b.test")
    assert world.lost(UNFOUND, host="www.dead.org") is None


def test_of_a_few_names_none_is_a_witness(world: World) -> None:
    world.found("a.shop.test", "b.shop.test", "c.shop.test")
    assert world.lost(UNFOUND, host="dead.org") is None


def test_through_a_proxy_we_see_only_the_proxy(world: World) -> None:
    world.saw(*ELSEWHERE)
    assert world.lost(network=Network(proxy="http://proxy:1")) is None


def test_many_failures_at_once_ask_once(world: World) -> None:
    world.saw(*ELSEWHERE)

    async def main() -> list[str | None]:
        return await asyncio.gather(*(world.vantage.lost("dead.example", FAILED, Network()) for _ in range(50)))

    assert None not in asyncio.run(main())
    assert len(world.asked) == len(ELSEWHERE)


def test_a_question_that_takes_long_is_not_asked_anew(world: World) -> None:
    world.saw(*ELSEWHERE)

    async def main() -> list[str | None]:
        first = asyncio.create_task(world.vantage.lost("dead.example", FAILED, Network()))
        while len(world.asked) < len(ELSEWHERE):  # noqa: ASYNC110 - the test is the one who waits
            await asyncio.sleep(0)
        world.now += 2 * BELIEVED_S
        second = asyncio.create_task(world.vantage.lost("dead.example", FAILED, Network()))
        await asyncio.sleep(0)
        world.slow = False
        return [await first, await second]

    world.slow = True
    assert None not in asyncio.run(main())
    assert len(world.asked) == len(ELSEWHERE)


def test_it_remembers_no_more_than_it_needs(world: World) -> None:
    for n in range(1, 200):
        world.saw(f"{n}.1.1.1" if n != 127 else "8.8.8.8")
        world.found(f"site.name{n}")
    assert len(world.vantage._peers) <= 64
    assert len(world.vantage._names) <= 64


def test_references_are_written_as_host_and_port() -> None:
    assert place("one.example:443") == ("one.example", 443)
    assert place("[2001:db8::1]:53") == ("2001:db8::1", 53)


def test_what_needs_no_resolver_is_no_name_that_was_found(world: World) -> None:
    """A site that is an address may redirect to a name, and `localhost` is found by whoever is asked for it."""
    world.found("a.example", "b.test", "10.0.0.1", "localhost", "c.localhost", "127.1")
    assert world.lost(UNFOUND) is None
    world.found("c.site")
    world.lost(UNFOUND)
    assert set(world.asked) == {"a.example", "b.test", "c.site"}


def test_others_are_asked_at_the_port_that_redirects_led_to() -> None:
    asked: list[tuple[str, int]] = []

    async def reach(host: str, port: int, _network: Network) -> bool:
        asked.append((host, port))
        return False

    async def find(_name: str, _network: Network) -> bool:
        return False

    vantage = Vantage(reach, find, clock=lambda: 1000.0)
    answered = Probe(Outcome.OK, phases=Phases(connect_ms=1.0))
    for address, port in (("8.8.8.8", None), ("9.9.9.9", 443), ("93.184.215.14", 8443)):
        vantage.saw("site.example", 80, structs.replace(answered, ip=address, port=port))
    assert asyncio.run(vantage.lost("dead.example", FAILED, PLAIN))
    assert sorted(asked) == [("8.8.8.8", 80), ("9.9.9.9", 443), ("93.184.215.14", 8443)]
