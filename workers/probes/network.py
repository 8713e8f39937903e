"""The one dialer for everything that we connect to: it resolves, judges, connects, secures, or says why not."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import ipaddress
import socket
import ssl
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import httpx

from pipeline import guard
from pipeline.guard import Address
from pipeline.vocabulary import Family, Network, Outcome, Spec
from workers.probes.connection import Connection, ImmediateError, Stream, TlsConnection, connect
from workers.probes.identity import context_showing
from workers.probes.proxy import tunnel_to
from workers.probes.racing import ADDRESS_LIMIT, Opened, alternate, race, start_every_s
from workers.probes.resolver import Resolver
from workers.probes.secure import tls_context, tls_sentence
from workers.probes.trace import ProbeError, Trace

Allowed = Callable[[Address], bool]

SECURED = frozenset({"https", "tls"})  # schemes that begin with a TLS handshake
VERSIONS = {Family.IPV4: 4, Family.IPV6: 6}

# Running out of descriptors or memory is ours, so it stays an exception.
OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# Refused before a packet left: no route or free port of ours, or a firewall of ours.
NO_WAY_OUT = frozenset({errno.ENETUNREACH, errno.ENETDOWN, errno.EPERM, errno.EADDRNOTAVAIL})
IP_BIND_ADDRESS_NO_PORT = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)  # named in the module from 3.12 on


def allow_all(_address: Address) -> bool:
    return True


class Dialer:
    """Opens connections. `allowed` judges each address just before we connect to that very address."""

    def __init__(self, *, allowed: Allowed = allow_all, context: ssl.SSLContext | None = None) -> None:
        self._allowed = allowed
        self._context = context
        self._resolvers: dict[tuple[asyncio.AbstractEventLoop, tuple[str, ...]], Resolver] = {}

    def obey(self, allowed: Allowed) -> None:
        """Judge by this rule from now on."""
        self._allowed = allowed

    async def dial(
        self, url: httpx.URL, network: Network, trace: Trace, spec: Spec | None = None, *, own: bool = True
    ) -> Stream:
        """A connection to a URL's origin (through the region's proxy), secured where its scheme says so.

        `spec` says which addresses and certificates are meant; its client certificate is shown where the origin is the
        site's `own`. The caller closes the stream. `ProbeError` where there is none; cancelling closes what was opened.
        """
        trace.url = url
        host = host_of(url)
        secured = url.scheme in SECURED
        port = url.port or (443 if secured else 80)
        family = spec.family if spec is not None else Family.ANY
        # First of all: building one takes milliseconds that are none of the site's.
        context = await self._context_of(spec, own=own) if secured else None
        if network.proxy is None:
            stream: Stream = await self._connect(host, port, network, trace, family)
        else:
            tunnel = url.scheme != "http"
            stream = await self._connect_proxied(host, port, network, trace, family, tunnel=tunnel)
        if context is None:
            return stream
        try:
            return await self._secure(stream, context, host, trace)
        except BaseException:
            stream.close()
            raise

    async def aclose(self) -> None:
        """Close the resolvers of the running loop."""
        loop = asyncio.get_running_loop()
        for key in [key for key in self._resolvers if key[0] is loop]:
            await self._resolvers.pop(key).aclose()

    async def _context_of(self, spec: Spec | None, *, own: bool) -> ssl.SSLContext:
        verify = spec is None or spec.verify_tls
        if own and spec is not None and spec.client_certificate is not None:
            return await context_showing(spec.client_certificate, verify=verify, trusting=self._context)
        # A cache takes a default that is written out for another call.
        return (self._context or tls_context()) if verify else tls_context(verify=False)

    async def _resolve(self, host: str, network: Network, trace: Trace, family: Family) -> Sequence[Address]:
        """The addresses of a host, all of them, families alternating, the first family as RFC 6724 has it."""
        found = literal(host)
        if found is None:
            trace.failures = ()
            trace.enter("dns")
            resolver = self._resolver(network)
            asked_at = asyncio.get_running_loop().time()
            try:
                texts = await resolver.addresses(host, family, trace)
            except asyncio.CancelledError:
                if resolver.is_silent_since(asked_at):
                    trace.failures = (resolver.nobody(),)  # in case it is the deadline that ends us
                raise
            trace.leave()
            return alternate(ipaddress.ip_address(text) for text in texts)
        if family is not Family.ANY and found.version != VERSIONS[family]:
            raise ProbeError(Outcome.DNS, f"{found} is not an IPv{VERSIONS[family]} address, and no other may be tried")
        return (found,)

    def _resolver(self, network: Network) -> Resolver:
        key = (asyncio.get_running_loop(), network.resolvers)
        resolver = self._resolvers.get(key)
        if resolver is None:
            self._resolvers = {k: r for k, r in self._resolvers.items() if not k[0].is_closed()}
            resolver = self._resolvers[key] = Resolver(network.resolvers)
        return resolver

    async def _connect(
        self,
        host: str,
        port: int,
        network: Network,
        trace: Trace,
        family: Family = Family.ANY,
        *,
        judge: bool = True,
    ) -> Connection:
        addresses = await self._resolve(host, network, trace, family)
        source = literal(network.source_address) if network.source_address else None
        if source is not None:
            addresses = [a for a in addresses if a.version == source.version]
            if not addresses:
                raise ProbeError(
                    Outcome.PROBE_NETWORK,
                    f"{host} has no IPv{source.version} address, and this region sends from {source}",
                )
        if judge:
            addresses, forbidden = [a for a in addresses if self._allowed(a)], addresses
            if not addresses:
                raise ProbeError(Outcome.BLOCKED, f"This installation does not allow checks of {_listed(forbidden)}")
        if len(addresses) == 1:
            return await _open_one(addresses[0], port, source, trace)
        return await _open_first(addresses[:ADDRESS_LIMIT], port, source, trace)

    async def _connect_proxied(
        self, host: str, port: int, network: Network, trace: Trace, family: Family, *, tunnel: bool
    ) -> Stream:
        assert network.proxy is not None
        # A name is resolved by the proxy, whose rules hold for it; what we can see to be an address is judged here,
        # also where it is written as only a resolver reads it.
        target, meant = literal(host), guard.meant(host)
        if target is None and family is not Family.ANY:
            detail = "The proxy of this region resolves names itself, so that no family can be asked for"
            raise ProbeError(Outcome.PROBE_NETWORK, detail)
        if meant is not None and not self._allowed(meant):
            raise ProbeError(Outcome.BLOCKED, f"This installation does not allow checks of {meant}")
        proxy = httpx.URL(network.proxy)
        trace.to_proxy = True
        try:
            stream = await self._connect(host_of(proxy), proxy.port or 80, network, trace, judge=False)
        except ProbeError as failure:
            raise ProbeError(Outcome.PROBE_NETWORK, f"The proxy of this region: {failure.detail}") from failure
        trace.to_proxy = False
        trace.ip = str(target) if target else None
        if not tunnel:
            return stream
        try:
            trace.enter("connect")
            await tunnel_to(stream, _shown(literal(host) or host, port), proxy)
            trace.leave()
        except OSError as error:
            stream.close()
            raise ProbeError(Outcome.PROBE_NETWORK, f"The proxy of this region hung up ({error.strerror})") from error
        except BaseException:
            stream.close()
            raise
        return stream

    async def _secure(self, plain: Stream, context: ssl.SSLContext, host: str, trace: Trace) -> Stream:
        trace.enter("tls")
        try:
            trace.tls = stream = TlsConnection(plain, context, host)
        except ValueError as error:
            raise ProbeError(Outcome.TLS, f"{host} cannot be asked for in a TLS handshake ({error})") from error
        try:
            await stream.handshake()
        except ssl.SSLError as error:
            raise ProbeError(Outcome.TLS, tls_sentence(host, error, stream.unverified_chain())) from error
        except ConnectionError as error:
            raise ProbeError(Outcome.RESET, f"{host} reset the connection during the TLS handshake") from error
        except OSError as error:
            raise ProbeError(
                Outcome.UNREACHABLE, f"{host} was lost during the TLS handshake ({error.strerror})"
            ) from error
        trace.leave()
        return stream


async def _open_one(address: Address, port: int, source: Address | None, trace: Trace) -> Connection:
    trace.ip, trace.tried, trace.failures = str(address), 1, ()
    trace.enter("connect")
    try:
        opened = await _open(address, port, source)
    except ProbeError:
        trace.leave()
        raise
    trace.connected(opened.connection)
    return opened.connection


async def _open_first(addresses: Sequence[Address], port: int, source: Address | None, trace: Trace) -> Connection:
    """The race of several; its phase ends when the winner stood, not when we heard of it."""

    def opening(address: Address) -> Coroutine[Any, Any, Opened]:
        trace.ip = str(address)
        trace.tried += 1
        return _open(address, port, source)

    failures: list[ProbeError] = []
    trace.tried, trace.failures = 0, failures
    trace.enter("connect")
    every_s = start_every_s(len(addresses), trace.remaining_s())
    try:
        opened = await race(addresses, opening, every_s=every_s, failures=failures)
    except ProbeError:
        trace.leave()
        raise
    trace.ip = str(opened.address)
    trace.connected(opened.connection)
    return opened.connection


async def _open(address: Address, port: int, source: Address | None) -> Opened:
    loop = asyncio.get_running_loop()
    try:
        sock = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise _connect_failure(error, address, port) from error
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            _bind(sock, source)
        stood = await connect(sock, (str(address), port), loop)
        return Opened(Connection(sock, loop, stood), address)
    except OSError as error:
        sock.close()
        raise _connect_failure(error, address, port) from error
    except BaseException:
        sock.close()
        raise


def _bind(sock: socket.socket, source: Address) -> None:
    # The port is then chosen at connect, by the whole four-tuple, so that one source address does not run out of them.
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    try:
        sock.bind((str(source), 0))
    except OSError as error:
        detail = f"This prober cannot send from {source} ({error.strerror})"
        raise ProbeError(Outcome.PROBE_NETWORK, detail) from error


@functools.lru_cache(maxsize=4096)
def literal(host: str) -> Address | None:
    """An address written as such, which needs no resolver."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def host_of(url: httpx.URL) -> str:
    """The host as it goes on the wire: IDNA-encoded, no brackets, no final dot."""
    return url.raw_host.decode("ascii").rstrip(".")


def _connect_failure(error: OSError, address: Address, port: int) -> ProbeError:
    where = _shown(address, port)
    if error.errno == errno.ECONNREFUSED:
        return ProbeError(Outcome.REFUSED, f"Nothing listens on {where}")
    if error.errno == errno.ETIMEDOUT:
        return ProbeError(Outcome.CONNECT_TIMEOUT, f"{where} did not accept a connection")
    if error.errno in OURS:
        raise error
    if error.errno == errno.EAFNOSUPPORT or (isinstance(error, ImmediateError) and error.errno in NO_WAY_OUT):
        return ProbeError(Outcome.PROBE_NETWORK, f"This prober has no way to {where} ({error.strerror})")
    if isinstance(error, ConnectionError):
        return ProbeError(Outcome.RESET, f"{where} reset the connection while it was opened")
    return ProbeError(Outcome.UNREACHABLE, f"{where} is unreachable ({error.strerror})")


def _shown(address: Address | str, port: int) -> str:
    return f"[{address}]:{port}" if isinstance(address, ipaddress.IPv6Address) else f"{address}:{port}"


def _listed(addresses: Sequence[Address]) -> str:
    return ", ".join(map(str, addresses))


DIALER = Dialer()
"""The default of this process. Give your own to bring a guard or another certificate authority."""
