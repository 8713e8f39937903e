"""Is it the site, or is it us? A region whose own network is gone must not call the world down.

When an attempt fails as it would with the network gone, we ask others before we believe it: the region's reference
targets where it has some; else the other sites that answered a while ago, each in another network, so that one
provider's outage is not taken for ours. If nobody can be reached, the attempt says nothing about the site. The same for
names: a resolver that finds none of those that it found before is the region's trouble.

Nothing is asked while all is well, and nobody but the operator's references and the sites that are watched anyway.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pipeline import guard
from pipeline.vocabulary import Network, Outcome, Probe

SUSPECT = frozenset({Outcome.DNS, Outcome.UNREACHABLE, Outcome.CONNECT_TIMEOUT, Outcome.TIMEOUT})
REMEMBERED_S = 600.0  # who answered longer ago than this may be gone by itself
REMEMBERED = 64  # networks, and as many names
ENOUGH = 3  # others, each in a network (or a domain) of its own: fewer may well fail together
ASKED = 5
BELIEVED_S = 2.0  # many attempts fail together, and ask once
PORTS = {"http": 80, "https": 443}
WIDE = {4: 16, 6: 32}  # bits: what one provider was given is seldom larger

NO_REFERENCE = "none of this region's reference targets answers: the prober's own network is gone"
NO_OTHER = "none of {count} other sites in other networks answers either: the prober's own network is gone"
NO_NAME = "none of {count} names that were found before is found now: the region's resolver is gone"

Reach = Callable[[str, int, Network], Coroutine[Any, Any, bool]]
Find = Callable[[str, Network], Coroutine[Any, Any, bool]]
T = TypeVar("T")


class Peer(NamedTuple):
    """Somebody who answered: at which address and port, and when (monotonic seconds)."""

    address: str
    port: int
    at: float


class Vantage:
    """What one prober knows about its own way out. `reach` connects to an address or name, `find` looks a name up."""

    def __init__(self, reach: Reach, find: Find, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._reach = reach
        self._find = find
        self._clock = clock
        self._peers: OrderedDict[str, Peer] = OrderedDict()
        self._names: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._asked: dict[object, tuple[float, asyncio.Task[bool]]] = {}

    def saw(self, host: str, port: int, probe: Probe) -> None:
        """Remember whom an attempt reached, and that a name was found."""
        now = self._clock()
        reached = probe.phases.connect_ms is not None and probe.outcome not in SUSPECT
        if probe.ip is not None and reached and not is_loopback(probe.ip):
            _note(self._peers, neighbourhood(probe.ip), Peer(probe.ip, probe.port or port, now))
        # A site that is an address may redirect to a name: that one was looked up then.
        if probe.phases.dns_ms is not None and probe.outcome is not Outcome.DNS and not is_address(host):
            _note(self._names, domain(host), (host, now))

    async def lost(self, host: str, probe: Probe, network: Network) -> str | None:
        """Why a failure says nothing about the site, as a sentence; None where it is to be believed."""
        if probe.outcome not in SUSPECT or network.proxy is not None or is_loopback(probe.ip):
            return None
        if probe.outcome is Outcome.DNS and (names := self._other_names(host)):
            found = await self._any("names", (self._find(name, network) for name in names))
            return None if found else NO_NAME.format(count=len(names))
        if network.references:
            asked = (self._reach(*place(reference), network) for reference in network.references)
            return None if await self._any("references", asked) else NO_REFERENCE
        others = self._others(probe.ip)
        if len(others) < ENOUGH:
            return None
        reached = await self._any(
            tuple(each.address for each in others), (self._reach(each.address, each.port, network) for each in others)
        )
        return None if reached else NO_OTHER.format(count=len(others))

    def _others(self, address: str | None) -> list[Peer]:
        """The last to answer elsewhere, of the kind that is asked about: who is near tells nothing of the internet."""
        here, near = address and neighbourhood(address), address is not None and guard.is_near(address)
        fresh = self._clock() - REMEMBERED_S
        found = [
            peer
            for key, peer in reversed(self._peers.items())
            if key != here and peer.at >= fresh and guard.is_near(peer.address) == near
        ]
        return found[:ASKED]

    def _other_names(self, host: str) -> list[str]:
        fresh, own = self._clock() - REMEMBERED_S, domain(host)
        found = [name for key, (name, at) in reversed(self._names.items()) if key != own and at >= fresh]
        return found[:ASKED] if len(found) >= ENOUGH else []

    async def _any(self, about: object, asked: Iterable[Coroutine[Any, Any, bool]]) -> bool:
        """Whether anybody answers; those who ask the same at the same time share the answer, and nobody asks twice."""
        now = self._clock()
        self._asked = {
            key: (at, answer) for key, (at, answer) in self._asked.items() if now - at < BELIEVED_S or not answer.done()
        }
        known = self._asked.get(about)
        if known is None:
            known = self._asked[about] = now, asyncio.ensure_future(first_true(asked))
        return await asyncio.shield(known[1])


async def first_true(asked: Iterable[Coroutine[Any, Any, bool]]) -> bool:
    """Whether any of them is true, as soon as one is; the others are cancelled."""
    tasks = {asyncio.ensure_future(each) for each in asked}
    try:
        for done in asyncio.as_completed(tasks):
            if await done:
                return True
        return False
    finally:
        for task in tasks:
            task.cancel()


@lru_cache(maxsize=4096)  # every check that is answered asks
def neighbourhood(address: str) -> str:
    """The network of an address: for public ones as wide as a provider's, for near ones the host itself."""
    if guard.is_near(address):
        return address
    parsed = ip_address(address)
    return str(ip_network((parsed, WIDE[parsed.version]), strict=False))


def domain(host: str) -> str:
    """The last two labels: names below them are often served together."""
    return ".".join(host.lower().rstrip(".").split(".")[-2:])


def place(reference: str) -> tuple[str, int]:
    """`host:port` or `[address]:port` as its two parts."""
    host, _, port = reference.rpartition(":")
    return host.strip("[]"), int(port)


@lru_cache(maxsize=4096)
def origin(url: str) -> tuple[str, int]:
    """Host and port of a site's URL; port 0 where neither the URL nor its scheme says one."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)


@lru_cache(maxsize=4096)
def is_loopback(address: str | None) -> bool:
    """Whether an address is this machine's, to which no network leads."""
    return address is not None and ip_address(address).is_loopback


@lru_cache(maxsize=4096)
def is_address(host: str) -> bool:
    """Whether a host is an address, or `localhost`: whoever is asked for that finds it, be the resolver gone or not."""
    return guard.meant(host) is not None


def _note(known: OrderedDict[str, T], key: str, what: T) -> None:
    known[key] = what
    known.move_to_end(key)
    while len(known) > REMEMBERED:
        known.popitem(last=False)
