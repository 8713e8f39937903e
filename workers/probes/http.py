"""The HTTP(S) probe: one attempt, one hard deadline, one outcome."""

from __future__ import annotations

import asyncio
import functools
import importlib.metadata
import logging
from typing import Any, NamedTuple

import httpx

from pipeline.vocabulary import Network, Outcome, Probe, Spec
from workers.probes.expect import judge
from workers.probes.network import DIALER, Dialer, basic
from workers.probes.trace import ProbeError, Trace
from workers.probes.transport import OneShotTransport, encode

BODY_LIMIT = 2 * 1024 * 1024  # what a content check will look at; the rest of a body says nothing about being up
PREPARED_LIMIT = 4096  # requests kept encoded, some 3 KB each: the sites of one prober

# It logs every URL at INFO, and a URL may hold a token.
logging.getLogger("httpx").setLevel(logging.WARNING)

OUR_HEADERS = {"accept": "*/*", "accept-encoding": "identity"}
FRAMING = frozenset({"connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"})  # ours alone
UNAUTHENTICATED = httpx.Auth()  # a URL's user and password are encoded once, not in each send
DEFAULT_PORTS = {"http": 80, "https": 443}


class _NoCookies(httpx.Cookies):
    """Sites share one client, so it keeps nobody's cookies; an attempt has its own along its redirects."""

    def extract_cookies(self, response: httpx.Response) -> None:
        pass


class _Client(httpx.AsyncClient):
    """One for the whole process: it holds no connection, no cookie and nothing of a loop."""

    def __init__(self) -> None:
        super().__init__(transport=OneShotTransport(), trust_env=False, timeout=None)  # an attempt has its own
        self._cookies = _NoCookies()


class _Prepared(NamedTuple):
    request: httpx.Request
    head: bytes
    cookie: str


_CLIENT = _Client()


async def probe(spec: Spec, network: Network, *, dialer: Dialer = DIALER) -> Probe:
    """Check a site once, redirects included, within `spec.timeout_s`.

    Whatever the other side can cause is an outcome. An exception is a fault of ours, and no statement about the site.
    """
    trace = Trace(spec.timeout_s)
    deadline = asyncio.timeout(spec.timeout_s)
    try:
        async with deadline:
            status = await _fetch(spec, network, dialer, trace)
        outcome, detail = judge(status, spec.expect)
    except ProbeError as failure:
        outcome, detail = failure.outcome, failure.detail
    except TimeoutError:
        if not deadline.expired():
            raise
        outcome, detail = _late(trace, spec.timeout_s)
    trace.leave()
    return Probe(outcome, trace.phases(), trace.latency_ms(), trace.status, trace.ip, trace.bytes, detail)


async def _fetch(spec: Spec, network: Network, dialer: Dialer, trace: Trace) -> int:
    """Ask, follow redirects, read the last body; returns the last status."""
    prepared = _prepare(spec.method, spec.url, tuple(spec.headers.items()), network.proxy)
    cookies: httpx.Cookies | None = None
    seen = set()
    for _ in range(spec.max_redirects + 1):
        extensions = {"dialer": dialer, "network": network, "trace": trace, "head": prepared.head, "timeout": {}}
        try:
            response = await _CLIENT.send(
                _fresh(prepared.request, extensions), stream=True, auth=UNAUTHENTICATED, follow_redirects=False
            )
        except (httpx.RemoteProtocolError, httpx.InvalidURL, ValueError) as error:
            # httpx reads the Location of any redirect, also of one that we would not follow.
            if trace.status is None:
                raise
            if not spec.max_redirects:
                return trace.status
            raise ProbeError(Outcome.REDIRECT, "Redirects to an address that is no URL") from error
        try:
            following = response.next_request
            if following is None or not spec.max_redirects:
                await response.extensions["answer"].drain(BODY_LIMIT)
                return response.status_code
            if "set-cookie" in response.headers:
                cookies = httpx.Cookies() if cookies is None else cookies
                cookies.extract_cookies(response)
        finally:
            await response.aclose()
        trace.leave()
        seen.add((prepared.request.method, _bare(prepared.request.url), prepared.cookie))
        prepared = _follow(following, spec, network, cookies)
        if (prepared.request.method, _bare(prepared.request.url), prepared.cookie) in seen:
            raise ProbeError(Outcome.REDIRECT, f"Redirects in a circle, back to {_shown(following.url)}")
    raise ProbeError(
        Outcome.REDIRECT, f"More than {spec.max_redirects} redirects, the last one to {_shown(prepared.request.url)}"
    )


def _follow(following: httpx.Request, spec: Spec, network: Network, cookies: httpx.Cookies | None) -> _Prepared:
    """The next request. A site's own headers, which may be secrets, stay with its own origin."""
    url = following.url
    if url.scheme not in DEFAULT_PORTS or not url.raw_host:
        raise ProbeError(Outcome.REDIRECT, f"Redirects to {_shown(url)}, which is not HTTP")
    headers = tuple(spec.headers.items()) if _same_origin(httpx.URL(spec.url), url) else ()
    return _build(following.method, url, headers, network.proxy, cookies)


@functools.lru_cache(maxsize=PREPARED_LIMIT)
def _prepare(method: str, url: str, headers: tuple[tuple[str, str], ...], proxy: str | None) -> _Prepared:
    try:
        parsed = httpx.URL(url)
        named = parsed.host  # decodes it, which is where a broken `xn--` shows
    except UnicodeError as error:
        raise ProbeError(Outcome.DNS, f"The host name cannot be encoded ({error})") from error
    except httpx.InvalidURL as error:
        outcome = Outcome.DNS if "IDNA" in str(error) else Outcome.PROTOCOL
        raise ProbeError(outcome, f"The URL cannot be used ({error})") from error
    if not named:
        raise ProbeError(Outcome.PROTOCOL, "The URL names no host")
    return _build(method, parsed, headers, proxy)


def _build(
    method: str,
    url: httpx.URL,
    headers: tuple[tuple[str, str], ...],
    proxy: str | None,
    cookies: httpx.Cookies | None = None,
) -> _Prepared:
    own = [(n.lower(), v.strip()) for n, v in headers if n.lower() not in FRAMING]
    named = {name for name, _ in own}
    ours = [(n, v) for n, v in (("user-agent", user_agent()), *OUR_HEADERS.items()) if n not in named]
    if url.userinfo and "authorization" not in named:
        own.append(("authorization", basic(url)))
    raw = [(n.encode("ascii"), v.encode("utf-8")) for n, v in (*ours, *own, ("connection", "close"))]
    request = httpx.Request(method, url, headers=raw)
    if cookies is not None:
        _add_cookies(request, cookies)
    return _Prepared(request, encode(request, proxy), request.headers.get("cookie", ""))


def _add_cookies(request: httpx.Request, cookies: httpx.Cookies) -> None:
    own = request.headers.pop("cookie", None)
    cookies.set_cookie_header(request)
    if own is not None:
        received = request.headers.get("cookie")
        request.headers["cookie"] = own if received is None else f"{own}; {received}"


def _fresh(request: httpx.Request, extensions: dict[str, Any]) -> httpx.Request:
    """The same request with extensions of its own, so that it can be on its way many times at once.

    A `Request` is a bag of attributes, and nobody on our path writes to its headers.
    """
    twin = object.__new__(httpx.Request)
    twin.__dict__.update(request.__dict__, extensions=extensions)
    return twin


def _same_origin(site: httpx.URL, url: httpx.URL) -> bool:
    """Also true for the upgrade of a host from HTTP to HTTPS on the usual ports: the same site, better protected."""
    if site.raw_host != url.raw_host:
        return False
    here, there = _port(site), _port(url)
    return (site.scheme, here) == (url.scheme, there) or (site.scheme, here, url.scheme, there) == (
        "http",
        80,
        "https",
        443,
    )


def _port(url: httpx.URL) -> int | None:
    return url.port or DEFAULT_PORTS.get(url.scheme)


def _bare(url: httpx.URL) -> tuple[str, bytes, int | None, bytes]:
    return url.scheme, url.raw_host, _port(url), url.raw_path


def _shown(url: httpx.URL) -> str:
    """A URL without user, password and query, which may be secrets."""
    host = url.raw_host.decode("ascii", "replace")
    port = f":{url.port}" if url.port else ""
    return f"{url.scheme}://{host}{port}{url.raw_path.split(b'?', 1)[0].decode('ascii', 'replace')}"[:200]


def _late(trace: Trace, timeout_s: float) -> tuple[Outcome, str]:
    within = f"within {timeout_s:g} s"
    if trace.to_proxy:
        return Outcome.PROBE_NETWORK, f"The proxy of this region did not accept a connection {within}"
    match trace.phase:
        case "dns":
            return Outcome.DNS, f"The name was not resolved {within}"
        case None | "connect":
            return Outcome.CONNECT_TIMEOUT, f"No connection {within}"
        case "tls":
            return Outcome.TIMEOUT, f"Connected, but no TLS handshake {within}"
        case "ttfb":
            return Outcome.TIMEOUT, f"Connected, but no answer {within}"
        case "transfer":
            part = (
                "the headers did not end" if trace.status is None else f"the body did not end after {trace.bytes} bytes"
            )
            return Outcome.TIMEOUT, f"The answer was not complete {within}: {part}"


@functools.cache
def user_agent() -> str:
    try:
        return f"BetterStackWorkbench/{importlib.metadata.version('betterstack-workbench')}"
    except importlib.metadata.PackageNotFoundError:
        return "BetterStackWorkbench"
