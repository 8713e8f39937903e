"""Names to addresses through c-ares: never the default thread pool, where twelve hanging look-ups stop everybody's."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import aiodns
import pycares

from pipeline.vocabulary import Family, Outcome
from workers.probes.lookups import Lookups
from workers.probes.trace import ProbeError, Trace

# c-ares waits five times as long as answers took lately, 0.25 s at least, and then asks anew and no longer listens for
# the first answer. Names that a resolver knows come in a millisecond, so one that it has to look for would be lost.
# Hence a patient question beside the quick one where that takes longer than usual.
TRY_S = 1.5  # the quick one, before anything is known of the resolver: a lost packet is repeated after this
USUAL_S = 0.2  # whatever is known or near came by then
PATIENT_TRY_S = 5.0  # as long as c-ares waits at most: whoever needs longer has a broken resolver
TRIES = 6  # twice as long each: the attempt's deadline ends a look-up, not we
PATIENT_ANSWERS = 2  # from the third on it knows how long answers take, and is patient no more
ANSWER_AGE_S = 5.0  # c-ares keeps answers for their TTL; a monitor asks again, so channels are renewed

FAMILIES = {Family.ANY: socket.AF_UNSPEC, Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
KINDS = {Family.ANY: "address", Family.IPV4: "IPv4 address", Family.IPV6: "IPv6 address"}
SILENCE = (aiodns.error.ARES_ETIMEOUT, aiodns.error.ARES_ECONNREFUSED)
SENTENCES = {
    aiodns.error.ARES_ENOTFOUND: "The name {host} does not exist (NXDOMAIN)",
    aiodns.error.ARES_ENODATA: "The name {host} has no {kind}",
    aiodns.error.ARES_ESERVFAIL: "The resolver failed to look up {host} (SERVFAIL)",
    aiodns.error.ARES_EREFUSED: "The resolver refused to look up {host}",
    aiodns.error.ARES_ETIMEOUT: "No resolver answered for {host} in time",
    aiodns.error.ARES_EBADNAME: "{host} is not a valid host name",
}

Question = asyncio.Future[pycares.AddrInfoResult]


class Resolver:
    """Look-ups against one set of resolvers (`ip` or `ip:port`; none means the system's), in one loop.

    /etc/hosts and `localhost` come first, as c-ares does it.
    """

    def __init__(self, servers: tuple[str, ...]) -> None:
        self._servers = servers
        self._loop = asyncio.get_running_loop()
        self._channel: Lookups | None = None
        self._renew_at = 0.0
        self._patient: aiodns.DNSResolver | None = None
        self._patient_answers = 0
        self._patient_renew_at = 0.0
        self._heard_at = self._wondered_at = 0.0

    async def addresses(self, host: str, family: Family = Family.ANY, trace: Trace | None = None) -> list[str]:
        """Addresses in RFC 6724 order; `ProbeError` where there are none. It takes as long as it may: cancel it.

        A trace's phase is left at the time at which the answer was there, where that is known.
        """
        # The local name keeps a channel that was renewed meanwhile alive until its last answer is in.
        channel = self._current()
        question = channel.getaddrinfo(host, family=FAMILIES[family])
        try:
            await asyncio.wait((question,), timeout=USUAL_S)
            if question.done():
                answer = question.result()
                if trace is not None:
                    trace.leave(channel.answered_at(question))
            else:
                answer = await self._patiently(host, family, question)
        except aiodns.error.DNSError as error:
            self._note(error)
            if _code(error) != aiodns.error.ARES_EBADRESP:
                raise self._failure(host, family, error) from None
            answer = await self._alone(host, family)
        finally:
            question.cancel()
        self._heard_at = self._loop.time()
        return [node.addr[0].decode("ascii") for node in answer.nodes]

    def is_silent_since(self, asked_at: float) -> bool:
        """Whether it answered nobody since a time of the loop, though it was asked for what every resolver knows."""
        now = self._loop.time()
        had_time = now - asked_at >= 2 * USUAL_S and now - self._wondered_at >= USUAL_S
        return had_time and self._heard_at < min(asked_at, self._wondered_at)

    def nobody(self) -> ProbeError:
        """What to say then."""
        where = ", ".join(self._servers) or "the system's resolver"
        return ProbeError(Outcome.PROBE_NETWORK, f"The resolver of this region answers nobody ({where})")

    async def _patiently(self, host: str, family: Family, quick: Question) -> pycares.AddrInfoResult:
        """The first answer to either question; silence counts once both heard nothing."""
        patient = self._current_patient()
        slow = patient.getaddrinfo(host, family=FAMILIES[family])
        wondering = asyncio.ensure_future(self._wonder())
        questions = {quick, slow}
        try:
            while True:
                done, questions = await asyncio.wait(questions, return_when=asyncio.FIRST_COMPLETED)
                silent = [each for each in done if _code(each.exception()) == aiodns.error.ARES_ETIMEOUT]
                if len(silent) < len(done) or not questions:
                    if slow in done and slow not in silent:
                        self._patient_answers += 1
                    return next(each for each in done if each not in silent or not questions).result()
        finally:
            slow.cancel()
            wondering.cancel()

    async def _alone(self, host: str, family: Family) -> pycares.AddrInfoResult:
        """The answer to a question on a channel of its own. Errors: ProbeError.

        An answer that c-ares cannot read ends all look-ups that share a socket with it, and it is not told whose it is.
        """
        channel = aiodns.DNSResolver(nameservers=self._servers or None, timeout=PATIENT_TRY_S, tries=TRIES)
        try:
            return await channel.getaddrinfo(host, family=FAMILIES[family])
        except aiodns.error.DNSError as error:
            raise self._failure(host, family, error) from None
        finally:
            with contextlib.suppress(aiodns.error.DNSError):
                await channel.close()

    async def _wonder(self) -> None:
        """Ask who answers for the root: whoever says nothing to that is silent altogether."""
        channel = self._current()
        if self._heard_at >= self._wondered_at:  # else somebody wonders already, and hears nothing
            self._wondered_at = self._loop.time()
        try:
            await channel.query_dns(".", "NS")
        except aiodns.error.DNSError as error:
            self._note(error)
        else:
            self._heard_at = self._loop.time()

    def _note(self, error: aiodns.error.DNSError) -> None:
        if _code(error) not in SILENCE:
            self._heard_at = self._loop.time()

    def _current(self) -> Lookups:
        now = self._loop.time()
        if self._channel is None or now >= self._renew_at:
            self._channel = Lookups(nameservers=self._servers or None, timeout=TRY_S, tries=TRIES)
            self._renew_at = now + ANSWER_AGE_S
        return self._channel

    def _current_patient(self) -> aiodns.DNSResolver:
        now = self._loop.time()
        if self._patient is None or self._patient_answers >= PATIENT_ANSWERS or now >= self._patient_renew_at:
            self._patient = aiodns.DNSResolver(nameservers=self._servers or None, timeout=PATIENT_TRY_S, tries=TRIES)
            self._patient_answers, self._patient_renew_at = 0, now + ANSWER_AGE_S
        return self._patient

    def _failure(self, host: str, family: Family, error: aiodns.error.DNSError) -> ProbeError:
        code = _code(error)
        if code == aiodns.error.ARES_ECONNREFUSED:
            # Nothing listens where we ask, or no packet gets there: that says nothing about the site.
            where = ", ".join(self._servers) or "the system's resolver"
            return ProbeError(Outcome.PROBE_NETWORK, f"The resolver of this region is not running ({where})")
        sentence = SENTENCES.get(code or 0, "Looking up {host} failed ({error})")
        reason = error.args[-1] if error.args else "no reason"
        return ProbeError(Outcome.DNS, sentence.format(host=host, kind=KINDS[family], error=reason))

    async def aclose(self) -> None:
        channels, self._channel, self._patient = (self._channel, self._patient), None, None
        for channel in channels:
            if channel is not None:
                with contextlib.suppress(aiodns.error.DNSError):
                    await channel.close()


def _code(error: BaseException | None) -> int | None:
    return error.args[0] if isinstance(error, aiodns.error.DNSError) and error.args else None
