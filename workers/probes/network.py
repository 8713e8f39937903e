"""The one dialer for everything that we connect to: it resolves, judges, connects, secures, or says why not."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import errno
import functools
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterable

import httpx

from pipeline.vocabulary import Network, Outcome
from workers.probes.connection import Connection, ImmediateError, Stream, TlsConnection, connect
from workers.probes.resolver import Resolver
from workers.probes.secure import tls_context, tls_sentence
from workers.probes.trace import ProbeError, Trace

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Allowed = Callable[[Address], bool]

ADDRESS_LIMIT = 6  # addresses tried for one name: three of each family, more only stretch a failure
ADDRESS_SHARE_S = 2.0  # for an address that has another behind it: one lost SYN is repeated after 1 s
PROXY_HEAD_LIMIT = 16 * 1024  # a proxy's answer to CONNECT is a status line and a few headers

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

    async def dial(self, url: httpx.URL, network: Network, trace: Trace) -> Stream:
        """A connection to a URL's origin (through the region's proxy), secured where its scheme says so.

        The caller closes it. `ProbeError` where there is none; cancelling closes what was opened.
        """
        host = host_of(url)
        port = url.port or (443 if url.scheme == "https" else 80)
        if network.proxy is None:
            stream: Stream = await self._connect(host, port, network, trace)
        else:
            stream = await self._connect_proxied(host, port, network, trace, tunnel=url.scheme == "https")
        if url.scheme != "https":
            return stream
        try:
            return await self._secure(stream, host, trace)
        except BaseException:
            stream.close()
            raise

    async def aclose(self) -> None:
        """Close the resolvers of the running loop."""
        loop = asyncio.get_running_loop()
        for key in [key for key in self._resolvers if key[0] is loop]:
            await self._resolvers.pop(key).aclose()

    async def resolve(self, host: str, network: Network, trace: Trace) -> list[Address]:
        """Addresses to try, families alternating, the first family as RFC 6724 has it."""
        found = literal(host)
        if found is not None:
            return [found]
        trace.enter("dns")
        addresses = [ipaddress.ip_address(text) for text in await self._resolver(network).addresses(host)]
        trace.leave()
        return alternate(addresses)[:ADDRESS_LIMIT]

    def _resolver(self, network: Network) -> Resolver:
        key = (asyncio.get_running_loop(), network.resolvers)
        resolver = self._resolvers.get(key)
        if resolver is None:
            self._resolvers = {k: r for k, r in self._resolvers.items() if not k[0].is_closed()}
            resolver = self._resolvers[key] = Resolver(network.resolvers)
        return resolver

    async def _connect(self, host: str, port: int, network: Network, trace: Trace, *, judge: bool = True) -> Connection:
        addresses = await self.resolve(host, network, trace)
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
        failures = []
        for left, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True):
            share_s = min(ADDRESS_SHARE_S, trace.remaining_s() / (left + 1))
            try:
                if not left:
                    return await _open(address, port, source, trace)
                async with asyncio.timeout(share_s):
                    return await _open(address, port, source, trace)
            except TimeoutError:
                detail = f"{_shown(address, port)} did not accept a connection within {share_s:.2g} s"
                failures.append(ProbeError(Outcome.CONNECT_TIMEOUT, detail))
            except ProbeError as failure:
                failures.append(failure)
        raise min(failures, key=_telling)

    async def _connect_proxied(self, host: str, port: int, network: Network, trace: Trace, *, tunnel: bool) -> Stream:
        assert network.proxy is not None
        # A name is resolved by the proxy; an address that we can see is judged here.
        target = literal(host)
        if target is not None and not self._allowed(target):
            raise ProbeError(Outcome.BLOCKED, f"This installation does not allow checks of {target}")
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
            await _tunnel(stream, _shown(literal(host) or host, port), proxy)
            trace.leave()
        except OSError as error:
            stream.close()
            raise ProbeError(Outcome.PROBE_NETWORK, f"The proxy of this region hung up ({error.strerror})") from error
        except BaseException:
            stream.close()
            raise
        return stream

    async def _secure(self, plain: Stream, host: str, trace: Trace) -> Stream:
        trace.enter("tls")
        try:
            stream = TlsConnection(plain, self._context or tls_context(), host)
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


async def _open(address: Address, port: int, source: Address | None, trace: Trace) -> Connection:
    loop = asyncio.get_running_loop()
    text = str(address)
    try:
        sock = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise _connect_failure(error, address, port) from error
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if source is not None:
            _bind(sock, source)
        trace.ip = text
        trace.enter("connect")
        trace.leave(await connect(sock, (text, port), loop))
        return Connection(sock, loop)
    except OSError as error:
        sock.close()
        trace.leave()
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


async def _tunnel(stream: Stream, target: str, proxy: httpx.URL) -> None:
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    await stream.send(head.encode("ascii") + proxy_authorization(proxy) + b"\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = await stream.read()
        if not data or len(answer) > PROXY_HEAD_LIMIT:
            raise ProbeError(Outcome.PROBE_NETWORK, "The proxy of this region did not answer CONNECT")
        answer += data
    status = answer.split(b"\r\n", 1)[0].split(b" ")[1:2]
    if status == [b"200"]:
        return
    code = b"".join(status).decode("latin-1")
    if code in ("502", "503", "504"):
        raise ProbeError(Outcome.UNREACHABLE, f"The proxy of this region could not reach {target} (HTTP {code})")
    raise ProbeError(Outcome.PROBE_NETWORK, f"The proxy of this region refused CONNECT to {target} (HTTP {code})")


def proxy_authorization(proxy: httpx.URL) -> bytes:
    """The header line for a proxy URL with a user in it, or nothing."""
    if not proxy.userinfo:
        return b""
    return f"Proxy-Authorization: {basic(proxy)}\r\n".encode("ascii")


def basic(url: httpx.URL) -> str:
    """The Authorization of a URL with a user in it."""
    return basic_of(url.username, url.password)


def basic_of(username: str, password: str) -> str:
    """The Authorization of a user with a password."""
    token = base64.b64encode(f"{username}:{password}".encode())
    return f"Basic {token.decode('ascii')}"


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


def alternate(addresses: Iterable[Address]) -> list[Address]:
    """Families in turn (RFC 8305), each in its own order, the family of the first address first."""
    unique = list(dict.fromkeys(addresses))
    first = [a for a in unique if a.version == unique[0].version]
    second = [a for a in unique if a.version != unique[0].version]
    paired = [a for pair in zip(first, second, strict=False) for a in pair]
    rest = min(len(first), len(second))
    return paired + first[rest:] + second[rest:]


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


TELLING = (Outcome.REFUSED, Outcome.RESET, Outcome.CONNECT_TIMEOUT, Outcome.UNREACHABLE)


def _telling(failure: ProbeError) -> int:
    # Of several addresses, the one that got furthest says most about the site.
    return TELLING.index(failure.outcome) if failure.outcome in TELLING else len(TELLING)


def _shown(address: Address | str, port: int) -> str:
    return f"[{address}]:{port}" if isinstance(address, ipaddress.IPv6Address) else f"{address}:{port}"


def _listed(addresses: list[Address]) -> str:
    return ", ".join(map(str, addresses))


DIALER = Dialer()
"""The default of this process. Give your own to bring a guard or another certificate authority."""
