"""Names to addresses, through a client of our own: anew for each check, and never through the default thread pool.

Twelve hanging look-ups would stop everybody's in that pool; and what an answer took is known by the kernel's clock.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Iterator, Sequence

from pipeline.guard import Address
from pipeline.vocabulary import Family, Outcome
from workers.probes.dns_messages import Answer, Code, Kind, question
from workers.probes.dns_settings import SETTINGS, TABLE, Server, Settings, server
from workers.probes.exchanges import Asked, Trouble
from workers.probes.kernel import Meter
from workers.probes.lookups import TRY_S, Lookup
from workers.probes.preference import preferred
from workers.probes.trace import ProbeError, Trace

WONDER_S = 5.0  # who did not answer for so long does not answer; and how often one who was silent is asked again

ASKED = {Family.ANY: (Kind.A, Kind.AAAA), Family.IPV4: (Kind.A,), Family.IPV6: (Kind.AAAA,)}
VERSIONS = {Family.ANY: (4, 6), Family.IPV4: (4,), Family.IPV6: (6,)}
KINDS = {Family.ANY: "address", Family.IPV4: "IPv4 address", Family.IPV6: "IPv6 address"}
LOOPBACK = ("127.0.0.1", "::1")
NEVER_ASKED = "onion"  # RFC 7686: no name of the DNS
SENTENCES: dict[int, str] = {
    Code.SERVFAIL: "The resolver failed to look up {host} (SERVFAIL)",
    Code.REFUSED: "The resolver refused to look up {host}",
    Code.FORMERR: "The resolver did not understand the question for {host} (FORMERR)",
    Code.NOTIMP: "The resolver does not answer questions such as that for {host} (NOTIMP)",
    Trouble.UNREADABLE: "The answer of the resolver for {host} cannot be read",
    Trouble.CUT_SHORT: "The answer for {host} is too long for UDP, and the resolver does not give it over TCP",
    Trouble.SILENT: "No resolver answered for {host} in time",
}
# Nothing listens where we ask, no packet gets there, or others' do: that says nothing about the site.
OURS: dict[int, str] = {
    Trouble.UNREACHABLE: "The resolver of this region is not running ({where})",
    Trouble.FORGED: "Others answer in the place of this region's resolver, which does not answer over TCP ({where})",
}
NO_NAME = "The name {host} does not exist (NXDOMAIN)"
NO_ADDRESS = "The name {host} has no {kind}"


class Resolver:
    """Look-ups against one set of resolvers (`ip` or `ip:port`; none means the system's), in one loop.

    The machine's own table and `localhost` come first. Nothing is kept from one look-up for the next one.
    """

    def __init__(self, servers: tuple[str, ...]) -> None:
        self._servers = tuple(found for text in servers if (found := server(text)) is not None)
        self._named = servers
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._wondered_at = 0.0
        self._wondering: dict[tuple[Server, ...], asyncio.Task[None]] = {}
        self._unheard: dict[Server, float] = {}  # who was silent, and when to see about that
        self._turn = 0

    async def addresses(self, host: str, family: Family = Family.ANY, trace: Trace | None = None) -> list[str]:
        """Addresses in RFC 6724 order; `ProbeError` where there are none. It takes as long as it may: cancel it.

        A trace's phase is closed with the time that the answers took.
        """
        own = _own(host, family)
        if own:
            if trace is not None:
                trace.looked_up(Meter())
            return own
        if self._named and not self._servers:
            raise ProbeError(Outcome.PROBE_NETWORK, f"The resolver of this region is no address ({self._where()})")
        settings = SETTINGS.said()
        waited: Meter | None = Meter()
        failure: ProbeError | None = None
        for name in _candidates(host, settings):
            lookup = await self._look_up(host, name, family, settings)
            waited = _sum(waited, lookup.meter())
            found = [address for asked in lookup.asked if asked.answer for address in asked.answer.addresses]
            if found:
                if trace is not None:
                    trace.looked_up(waited, lookup.at)
                return found if len(found) == 1 else _ordered(found)
            if failure is None or name == host:
                failure = self._failure(host, family, lookup.asked)
            if not any(asked.answer for asked in lookup.asked):
                break
        assert failure is not None, "a name is asked for as it is, at least"
        raise failure

    def is_silent_since(self, asked_at: float) -> bool:
        """Whether it answered nobody since a time of the loop, though it was asked for what every resolver knows."""
        now = self._loop.time()
        had_time = now - asked_at >= 2 * TRY_S and now - self._wondered_at >= TRY_S
        return had_time and self._heard_at < min(asked_at, self._wondered_at)

    def nobody(self) -> ProbeError:
        """What to say then."""
        return ProbeError(Outcome.PROBE_NETWORK, f"The resolver of this region answers nobody ({self._where()})")

    async def aclose(self) -> None:
        for task in self._wondering.values():
            task.cancel()
        if self._wondering:
            await asyncio.wait(self._wondering.values())
        self._wondering.clear()

    async def _look_up(self, host: str, name: str, family: Family, settings: Settings) -> Lookup:
        try:
            questions = [question(name, kind) for kind in ASKED[family]]
        except ValueError:
            raise ProbeError(Outcome.DNS, f"{host} is not a valid host name") from None
        lookup = Lookup(
            self._in_turn(settings),
            questions,
            heard=self._heard,
            unheard=self._was_silent,
            use_tcp=settings.use_tcp and not self._servers,
        )
        await lookup.run()
        return lookup

    def _in_turn(self, settings: Settings) -> Sequence[Server]:
        """The resolvers, those last that were silent: they are asked on the side whether they are back."""
        servers = self._servers or settings.servers
        if len(servers) == 1:
            return servers
        if settings.rotate and not self._servers:
            self._turn = (self._turn + 1) % len(servers)
            servers = servers[self._turn :] + servers[: self._turn]
        if not self._unheard:
            return servers
        for each, see_at in self._unheard.items():
            if self._loop.time() >= see_at:
                self._unheard[each] = self._loop.time() + WONDER_S
                self._wonder((each,))
        return sorted(servers, key=self._unheard.__contains__)

    def _heard(self, server: Server) -> None:
        self._heard_at = self._loop.time()
        if self._unheard:
            self._unheard.pop(server, None)

    def _was_silent(self, server: Server) -> None:
        """Ask who answers for the root: whoever says nothing to that is silent altogether."""
        self._unheard.setdefault(server, self._loop.time() + WONDER_S)
        if self._heard_at >= self._wondered_at:  # else somebody wonders already, and hears nothing
            self._wondered_at = self._loop.time()
        self._wonder(self._servers or SETTINGS.said().servers)

    def _wonder(self, servers: tuple[Server, ...]) -> None:
        if servers not in self._wondering:
            task = self._wondering[servers] = self._loop.create_task(self._ask_for_the_root(servers))
            task.add_done_callback(lambda _: self._wondering.pop(servers, None))

    async def _ask_for_the_root(self, servers: tuple[Server, ...]) -> None:
        """What comes of it is heard, or not: `Lookup` tells."""
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(WONDER_S):
                root = [question("", Kind.NS)]
                await Lookup(servers, root, heard=self._heard, unheard=lambda _: None).run()

    def _failure(self, host: str, family: Family, asked: Sequence[Asked]) -> ProbeError:
        """What says most: that the name is nowhere, else what kept a resolver from telling, else that there is none."""
        told = [each.answer for each in asked if each.answer]
        nowhere = next((answer for answer in told if answer.code == Code.NXDOMAIN), None)
        failures = [each.failure for each in asked if each.failure is not None and not each.answer]
        if nowhere is None and failures:
            worst = min(failures, key=lambda code: (code == Trouble.SILENT, code == Trouble.UNREACHABLE))
            if worst in OURS:
                return ProbeError(Outcome.PROBE_NETWORK, OURS[worst].format(where=self._where()))
            sentence = SENTENCES.get(worst, "Looking up {host} failed (code {code})")
            return ProbeError(Outcome.DNS, sentence.format(host=host, code=worst))
        return ProbeError(Outcome.DNS, _sentence(nowhere or told[0], host, KINDS[family]))

    def _where(self) -> str:
        return ", ".join(self._named) or "the system's: " + ", ".join(map(str, SETTINGS.said().servers))


def _own(host: str, family: Family) -> list[str]:
    """What nobody has to be asked for: what the machine's own table says, and `localhost` (RFC 6761)."""
    name = host.lower()
    known = TABLE.said().get(name, ())
    if not known and (name == "localhost" or name.endswith(".localhost")):
        known = LOOPBACK
    return [each for each in known if (6 if ":" in each else 4) in VERSIONS[family]]


def _candidates(host: str, settings: Settings) -> Iterator[str]:
    """The names that a host may stand for, as the C library tries them: with enough dots, as it is comes first."""
    if host.rpartition(".")[2].lower() == NEVER_ASKED:
        raise ProbeError(Outcome.DNS, NO_NAME.format(host=host))
    known = host.count(".") >= settings.dots
    if known:
        yield host
    for domain in settings.domains:
        yield f"{host}.{domain}"
    if not known:
        yield host


def _sentence(answer: Answer, host: str, kind: str) -> str:
    if answer.circular:
        return f"The name {host} stands for another ({answer.alias}), and so on without an end"
    if answer.code == Code.NXDOMAIN:
        if answer.alias:
            return f"The name {host} stands for {answer.alias}, which does not exist (NXDOMAIN)"
        return NO_NAME.format(host=host)
    if answer.alias:
        return f"The name {host} stands for {answer.alias}, which has no {kind}"
    return NO_ADDRESS.format(host=host, kind=kind)


def _ordered(found: Sequence[str]) -> list[str]:
    addresses: list[Address] = [ipaddress.ip_address(text) for text in found]
    return [str(address) for address in preferred(addresses)]


def _sum(before: Meter | None, more: Meter | None) -> Meter | None:
    if before is None or more is None:
        return None
    before.waited_ns += more.waited_ns
    before.unsure_ns += more.unsure_ns
    return before
