"""What a resolver may do to us: each name has its outcome, and no name suffers from another's answer.

What turns this red: taking a resolver's silence for the name's, trusting an answer to a question that nobody asked,
giving up with the first datagram, believing addresses of names that nobody asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from pipeline.guard import Address, allowed
from pipeline.vocabulary import Family, Network, Outcome, Probe, Spec
from tests.faults.names import NXDOMAIN, REFUSED, SERVFAIL, Zone, answering
from tests.integration.hostile import ok, run, serving
from workers.probes import http
from workers.probes.network import Dialer, allow_all
from workers.probes.racing import ADDRESS_LIMIT

NAME = "site.example"


@contextlib.asynccontextmanager
async def asking(zone: Zone, allowed: object = allow_all) -> AsyncIterator[tuple[Dialer, Network]]:
    dialer = Dialer(allowed=allowed)  # type: ignore[arg-type] # mypy takes the default for the type
    try:
        async with answering(zone) as where:
            yield dialer, Network(resolvers=(where,))
    finally:
        await dialer.aclose()


def check(zone: Zone, *, name: str = NAME, timeout_s: float = 10.0, family: Family = Family.ANY) -> Probe:
    """Probe a server on 127.0.0.1 by a name of the zone."""

    async def main() -> Probe:
        async with serving(ok()) as server, asking(zone) as (dialer, network):
            spec = Spec(server.url(host=name), timeout_s=timeout_s, family=family)
            return await http.probe(spec, network, dialer=dialer)

    return run(main())


@pytest.mark.parametrize(
    ("zone", "sentence"),
    [
        (Zone(), f"The name {NAME} does not exist (NXDOMAIN)"),
        (Zone(codes={NAME: NXDOMAIN}), f"The name {NAME} does not exist (NXDOMAIN)"),
        (Zone(codes={NAME: SERVFAIL}), f"The resolver failed to look up {NAME} (SERVFAIL)"),
        (Zone(codes={NAME: REFUSED}), f"The resolver refused to look up {NAME}"),
        (Zone({NAME: []}), f"The name {NAME} has no address"),
        (Zone(aliases={NAME: "nowhere.example"}), NAME),
        (Zone(aliases={NAME: "a.example", "a.example": NAME}), NAME),
        (Zone({NAME: ["127.0.0.1"]}, broken={NAME: lambda wire: wire[:12] + b"\xc0\x0c" * 40}), NAME),
        (Zone({NAME: ["127.0.0.1"]}, broken={NAME: lambda wire: wire[:-2]}), NAME),
    ],
    ids=["unknown", "nxdomain", "servfail", "refused", "none", "alias-to-nowhere", "alias-loop", "pointer-loop", "cut"],
)
def test_an_answer_that_is_none_is_dns(zone: Zone, sentence: str) -> None:
    found = check(zone)
    assert found.outcome is Outcome.DNS, found
    assert sentence in (found.detail or "")
    assert found.phases.connect_ms is None


@pytest.mark.parametrize(
    "zone",
    [
        Zone({NAME: ["127.0.0.1"]}, silent={NAME}),
        Zone({NAME: ["127.0.0.1"]}, delays_s={NAME: 30.0}),
        Zone({NAME: ["127.0.0.1"]}, broken={NAME: lambda wire: b"\x00\x00" + wire[2:]}),
        Zone({NAME: ["127.0.0.1"]}, broken={NAME: lambda wire: wire.replace(b"\x04site", b"\x04evil", 1)}),
        Zone({NAME: ["127.0.0.1"]}, broken={NAME: lambda _: b""}),
    ],
    ids=["silent", "late", "other-id", "other-question", "empty"],
)
def test_what_answers_nothing_that_was_asked_is_waited_for(zone: Zone) -> None:
    found = check(zone, timeout_s=1.0)
    assert (found.outcome, found.detail) == (Outcome.DNS, "The name was not resolved within 1 s"), found


@pytest.mark.parametrize(
    "zone",
    [
        Zone({NAME: ["127.0.0.1"]}, delays_s={NAME: 0.6}),
        Zone({NAME: ["127.0.0.1"]}, truncated={NAME}),
        Zone({NAME: ["127.0.0.1"] + [f"127.9.{n // 200}.{n % 200}" for n in range(600)]}, truncated={NAME}),
        Zone(turns={NAME: [["127.0.0.1"]]}, ttl_s=2**31 - 1),
        Zone({"end.example": ["127.0.0.1"]}, aliases={NAME: "mid.example", "mid.example": "end.example"}),
    ],
    ids=["slow", "cut-short", "six-hundred-addresses", "for-ever", "aliases"],
)
def test_an_answer_that_takes_its_way_is_found(zone: Zone) -> None:
    found = check(zone)
    assert found.outcome is Outcome.OK, found


def test_of_many_addresses_the_first_few_are_tried() -> None:
    found = check(Zone({NAME: [f"127.9.0.{n + 1}" for n in range(ADDRESS_LIMIT)] + ["127.0.0.1"]}))
    assert found.outcome is Outcome.REFUSED
    assert (found.detail or "").endswith(f"none of {ADDRESS_LIMIT} addresses did better")


def test_records_of_another_owner_are_no_way_around_the_guard() -> None:
    """Addresses of a name that nobody asked for are none of this name's, and behind an alias they are judged."""

    async def main(zone: Zone) -> Probe:
        async with asking(zone, allowed("deny")) as (dialer, network):
            return await http.probe(Spec(f"http://{NAME}/"), network, dialer=dialer)

    inside = ["10.0.0.1", "169.254.169.254"]
    lied = run(main(Zone({NAME: inside}, lies={NAME: "other.example"})))
    assert (lied.outcome, lied.detail) == (Outcome.DNS, f"The name {NAME} has no address")
    assert run(main(Zone({"other.example": inside}, aliases={NAME: "other.example"}))).outcome is Outcome.BLOCKED


def test_a_name_with_the_other_family_only_is_reached_by_it() -> None:
    judged: list[str] = []

    def spy(address: Address) -> bool:
        judged.append(str(address))
        return True

    async def main() -> Probe:
        async with asking(Zone({NAME: ["::1"]}), spy) as (dialer, network):
            return await http.probe(Spec(f"http://{NAME}:1/"), network, dialer=dialer)

    found = run(main())
    assert judged == ["::1"]
    assert found.outcome in {Outcome.REFUSED, Outcome.PROBE_NETWORK}, "the latter where this machine has no IPv6"
    assert check(Zone({NAME: ["::1"]}), family=Family.IPV4).outcome is Outcome.DNS


def test_an_answer_that_cannot_be_read_is_no_other_names_fault() -> None:
    """Nor do look-ups of other names that are under way end with it."""

    async def main() -> list[Outcome]:
        names = [f"slow{n}.example" for n in range(5)]
        zone = Zone({NAME: []} | {name: ["127.0.0.1"] for name in names}, delays_s=dict.fromkeys(names, 0.5))
        zone.broken[NAME] = lambda wire: wire[:12] + b"\xc0\x0c" * 40
        async with serving(ok()) as server, asking(zone) as (dialer, network):

            async def one(name: str) -> Outcome:
                return (await http.probe(Spec(server.url(host=name)), network, dialer=dialer)).outcome

            slow = [asyncio.create_task(one(name)) for name in names]
            while not set(names) <= set(zone.asked):  # noqa: ASYNC110 - until all are on their way
                await asyncio.sleep(0.01)
            garbled = [await one(NAME) for _ in range(3)]
            return [*garbled, *await asyncio.gather(*slow)]

    assert run(main()) == [Outcome.DNS] * 3 + [Outcome.OK] * 5
