"""How names are looked up at the region's resolvers, and whose fault it is where no answer comes."""

from __future__ import annotations

import asyncio
import socket

import pytest

from pipeline.vocabulary import Network, Outcome, Probe, Spec
from tests.faults.names import Zone, answering
from tests.integration.hostile import dialing, ok, run, serving
from workers.probes import http, reaching

NAME = "site.example"


def test_an_answer_too_long_for_udp_is_asked_for_again_over_tcp() -> None:
    async def main() -> tuple[Probe, Zone]:
        zone = Zone({NAME: ["127.0.0.1"]}, truncated={NAME})
        async with serving(ok()) as server, answering(zone) as where, dialing() as dialer:
            return await http.probe(Spec(server.url(host=NAME)), Network(resolvers=(where,)), dialer=dialer), zone

    found, zone = run(main())
    assert found.outcome is Outcome.OK
    assert NAME in zone.asked_over_tcp


@pytest.mark.parametrize("alias", [{NAME: "nowhere.example"}, {NAME: "a.example", "a.example": NAME}])
def test_a_name_that_stands_for_one_that_is_nowhere_is_dns(alias: dict[str, str]) -> None:
    async def main() -> Probe:
        zone = Zone({}, aliases=alias)
        async with answering(zone) as where, dialing() as dialer:
            return await http.probe(Spec(f"http://{NAME}:1/"), Network(resolvers=(where,)), dialer=dialer)

    found = run(main())
    assert found.outcome is Outcome.DNS
    assert found.detail is not None
    assert NAME in found.detail


def test_a_slow_answer_within_the_time_is_fine_also_where_others_come_fast() -> None:
    """What is asked again after a quarter of a second is still listened for: a new name takes longer than others."""

    async def main() -> tuple[list[Probe], Probe]:
        zone = Zone({f"fast{n}.example": ["127.0.0.1"] for n in range(9)} | {NAME: ["127.0.0.1"]}, delays_s={NAME: 3.0})
        async with serving(ok()) as server, answering(zone) as where, dialing() as dialer:
            network = Network(resolvers=(where,))
            fast = [
                await http.probe(Spec(server.url(host=f"fast{n}.example")), network, dialer=dialer) for n in range(9)
            ]
            return fast, await http.probe(Spec(server.url(host=NAME), timeout_s=10), network, dialer=dialer)

    fast, slow = run(main())
    assert {each.outcome for each in fast} == {Outcome.OK}
    assert slow.outcome is Outcome.OK, slow
    assert slow.phases.dns_ms is not None
    assert 3_000 <= slow.phases.dns_ms < 8_000


def test_an_answer_that_comes_too_late_is_dns_and_the_deadline_is_hard() -> None:
    async def main() -> Probe:
        zone = Zone({NAME: ["127.0.0.1"]}, delays_s={NAME: 30.0})
        async with answering(zone) as where, dialing() as dialer:
            spec = Spec(f"http://{NAME}:1/", timeout_s=1.0)
            return await http.probe(spec, Network(resolvers=(where,)), dialer=dialer)

    found = run(main())
    assert (found.outcome, found.detail) == (Outcome.DNS, "The name was not resolved within 1 s")
    assert found.latency_ms == pytest.approx(1000, rel=0.2)


def test_a_resolver_that_answers_nobody_is_our_fault_and_not_the_sites() -> None:
    async def main() -> Probe:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.bind(("127.0.0.1", 0))
            where = f"127.0.0.1:{deaf.getsockname()[1]}"
            async with dialing() as dialer:
                spec = Spec(f"http://{NAME}/", timeout_s=1.0)
                return await http.probe(spec, Network(resolvers=(where,)), dialer=dialer)

    found = run(main())
    assert found.outcome is Outcome.PROBE_NETWORK, found
    assert found.detail is not None
    assert "answers nobody" in found.detail


def test_whether_a_name_is_found_is_not_waited_for_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "FOUND_IN_S", 0.5)

    async def main() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.bind(("127.0.0.1", 0))
            async with asyncio.timeout(30.0):
                return await reaching.finds(NAME, Network(resolvers=(f"127.0.0.1:{deaf.getsockname()[1]}",)))

    assert run(main()) is False


def test_names_that_nobody_answers_for_do_not_make_a_resolver_silent() -> None:
    """Nor does a resolver that is silent get a name's fault because many ask it at once."""

    async def main(where: str) -> list[Outcome]:
        async with dialing() as dialer:
            asked = []
            for n in range(10):
                spec = Spec(f"http://{n}.{NAME}/", timeout_s=1.5)
                asked.append(asyncio.create_task(http.probe(spec, Network(resolvers=(where,)), dialer=dialer)))
                await asyncio.sleep(0.05)
            return [(await each).outcome for each in asked]

    async def lives() -> list[Outcome]:
        zone = Zone({}, otherwise=["127.0.0.1"], delays_s={f"{n}.{NAME}": 30.0 for n in range(10)})
        async with answering(zone) as where:
            return await main(where)

    async def is_deaf() -> list[Outcome]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.bind(("127.0.0.1", 0))
            return await main(f"127.0.0.1:{deaf.getsockname()[1]}")

    assert run(lives()) == [Outcome.DNS] * 10
    assert run(is_deaf()) == [Outcome.PROBE_NETWORK] * 10


def test_a_resolver_of_the_region_that_is_out_of_reach_is_our_fault() -> None:
    async def main() -> Probe:
        async with dialing() as dialer:
            network = Network(resolvers=("255.255.255.255",))  # the kernel sends nothing there
            return await http.probe(Spec(f"http://{NAME}/", timeout_s=5.0), network, dialer=dialer)

    assert run(main()).outcome is Outcome.PROBE_NETWORK


def test_a_dead_resolver_beside_a_good_one_is_no_failure() -> None:
    async def main() -> Probe:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.bind(("127.0.0.1", 0))
            dead = f"127.0.0.1:{deaf.getsockname()[1]}"
            async with serving(ok()) as server, answering(Zone({NAME: ["127.0.0.1"]})) as where, dialing() as dialer:
                network = Network(resolvers=(dead, where))
                return await http.probe(Spec(server.url(host=NAME)), network, dialer=dialer)

    assert run(main()).outcome is Outcome.OK


def test_regions_ask_their_own_resolvers() -> None:
    async def main() -> list[Outcome]:
        here, there = Zone({NAME: ["127.0.0.1"]}), Zone({})
        async with (
            serving(ok()) as server,
            answering(here) as first,
            answering(there) as second,
            dialing() as dialer,
        ):
            spec = Spec(server.url(host=NAME))
            return [
                (await http.probe(spec, Network(resolvers=(where,)), dialer=dialer)).outcome
                for where in (first, second)
            ]

    assert run(main()) == [Outcome.OK, Outcome.DNS]


def test_a_name_that_moved_is_seen_moved_whatever_its_ttl_says() -> None:
    async def main() -> list[str | None]:
        zone = Zone({NAME: ["127.0.0.1"]}, ttl_s=3600)
        async with serving(ok()) as server, answering(zone) as where, dialing() as dialer:
            network, found = Network(resolvers=(where,)), []
            for address in ("127.0.0.1", "127.0.0.7"):
                zone.names[NAME] = [address]
                probe = await http.probe(Spec(server.url(host=NAME), timeout_s=2.0), network, dialer=dialer)
                found.append(probe.ip)
            return found

    assert run(main()) == ["127.0.0.1", "127.0.0.7"]
