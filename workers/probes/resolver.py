"""Names to addresses through c-ares: never the default thread pool, where twelve hanging look-ups stop everybody's."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import aiodns

from pipeline.vocabulary import Outcome
from workers.probes.trace import ProbeError

TRY_S = 1.5  # one question to one resolver
TRIES = 2
LOOKUP_LIMIT_S = 5.0  # with the second try's back-off: whoever needs longer has a broken resolver
ANSWER_AGE_S = 5.0  # c-ares keeps answers for their TTL; a monitor asks again, so channels are renewed

SENTENCES = {
    aiodns.error.ARES_ENOTFOUND: "The name {host} does not exist (NXDOMAIN)",
    aiodns.error.ARES_ENODATA: "The name {host} has no address",
    aiodns.error.ARES_ESERVFAIL: "The resolver failed to look up {host} (SERVFAIL)",
    aiodns.error.ARES_EREFUSED: "The resolver refused to look up {host}",
    aiodns.error.ARES_ETIMEOUT: "No resolver answered for {host} in time",
    aiodns.error.ARES_EBADNAME: "{host} is not a valid host name",
}


class Resolver:
    """Look-ups against one set of resolvers (`ip` or `ip:port`; none means the system's), in one loop.

    /etc/hosts and `localhost` come first, as c-ares does it.
    """

    def __init__(self, servers: tuple[str, ...]) -> None:
        self._servers = servers
        self._loop = asyncio.get_running_loop()
        self._channel: aiodns.DNSResolver | None = None
        self._renew_at = 0.0

    async def addresses(self, host: str) -> list[str]:
        """Addresses in RFC 6724 order; `ProbeError` (dns) where there are none."""
        # The local name keeps a channel that was renewed meanwhile alive until its last answer is in.
        channel = self._current()
        try:
            async with asyncio.timeout(LOOKUP_LIMIT_S):
                answer = await channel.getaddrinfo(host, family=socket.AF_UNSPEC)
        except TimeoutError:
            raise ProbeError(Outcome.DNS, SENTENCES[aiodns.error.ARES_ETIMEOUT].format(host=host)) from None
        except aiodns.error.DNSError as error:
            raise self._failure(host, error) from None
        return [node.addr[0].decode("ascii") for node in answer.nodes]

    def _current(self) -> aiodns.DNSResolver:
        now = self._loop.time()
        if self._channel is None or now >= self._renew_at:
            self._channel = aiodns.DNSResolver(nameservers=self._servers or None, timeout=TRY_S, tries=TRIES)
            self._renew_at = now + ANSWER_AGE_S
        return self._channel

    def _failure(self, host: str, error: aiodns.error.DNSError) -> ProbeError:
        code = error.args[0] if error.args else None
        if code == aiodns.error.ARES_ECONNREFUSED:
            # Nothing listens where we ask: that says nothing about the site.
            where = ", ".join(self._servers) or "the system's resolver"
            return ProbeError(Outcome.PROBE_NETWORK, f"The resolver of this region is not running ({where})")
        sentence = SENTENCES.get(code, "Looking up {host} failed ({error})")
        return ProbeError(Outcome.DNS, sentence.format(host=host, error=error.args[-1] if error.args else "no reason"))

    async def aclose(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            with contextlib.suppress(aiodns.error.DNSError):
                await channel.close()
