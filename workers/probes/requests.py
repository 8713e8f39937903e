"""The requests of an attempt: what a site's spec asks for, and what follows a redirect. Pure.

A site's own headers, its body, its credentials and its client certificate stay with its own origin: whoever it
redirects to gets none of them.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
from typing import Any, NamedTuple

import httpx

from pipeline.vocabulary import Auth, Outcome, Spec
from workers.probes.proxy import basic, basic_of
from workers.probes.trace import ProbeError
from workers.probes.transport import encode

PREPARED_LIMIT = 4096  # requests kept encoded, some 3 KB each: the sites of one prober

OUR_HEADERS = {"accept": "*/*", "accept-encoding": "identity"}
FRAMING = frozenset({"connection", "content-length", "keep-alive", "te", "transfer-encoding", "upgrade"})  # ours alone
DEFAULT_PORTS = {"http": 80, "https": 443}
HIGHEST_PORT = 65_535
LONGEST_SHOWN = 4096  # letters of a URL in which secrets are looked for, before it is shortened for people

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

Headers = tuple[tuple[str, str], ...]


class Prepared(NamedTuple):
    """A request, encoded; `own` says that it goes to the site's own origin."""

    request: httpx.Request
    head: bytes
    cookie: str
    own: bool = True


def prepared(spec: Spec, proxy: str | None) -> Prepared:
    """The first request of an attempt. Errors: ProbeError where the URL cannot be used."""
    return _prepare(spec.method, spec.url, tuple(spec.headers.items()), spec.body, spec.auth, proxy)


def following(redirect: httpx.Request, spec: Spec, proxy: str | None, cookies: httpx.Cookies | None) -> Prepared:
    """The request that httpx made of a redirect, as we send it. Errors: ProbeError."""
    url = redirect.url
    if url.scheme not in DEFAULT_PORTS or not url.raw_host:
        raise ProbeError(Outcome.REDIRECT, f"Redirects to {shown(url)}, which is not HTTP")
    if url.port is not None and not 0 < url.port <= HIGHEST_PORT:
        raise ProbeError(Outcome.REDIRECT, f"Redirects to port {url.port}, and there is none of that number")
    own = _same_origin(httpx.URL(spec.url), url)
    headers = tuple(spec.headers.items()) if own else ()
    # httpx keeps the body along 307 and 308 only, as it should; no other origin sees it.
    body = spec.body if own and redirect.method == spec.method else ""
    return _build(redirect.method, url, headers, body, spec.auth if own else None, proxy, cookies)._replace(own=own)


def fresh(request: httpx.Request, extensions: dict[str, Any]) -> httpx.Request:
    """The same request with extensions of its own, so that it can be on its way many times at once.

    A `Request` is a bag of attributes, and nobody on our path writes to its headers.
    """
    twin = object.__new__(httpx.Request)
    twin.__dict__.update(request.__dict__, extensions=extensions)
    return twin


def shown(url: httpx.URL) -> str:
    """A URL without user, password and query, which may be secrets.

    Its path may repeat one: whoever shows it to people cuts that out first and shortens it then.
    """
    where = url.netloc + url.raw_path.split(b"?", 1)[0]
    return f"{url.scheme}://{where.decode('ascii', 'replace')}"[:LONGEST_SHOWN]


def bare(url: httpx.URL) -> tuple[str, bytes, int | None, bytes]:
    """What makes two URLs the same request."""
    return url.scheme, url.raw_host, port_of(url), url.raw_path


@functools.cache
def user_agent() -> str:
    """Who we are, as the site's log shows it."""
    try:
        return f"BetterStackWorkbench/{importlib.metadata.version('betterstack-workbench')}"
    except importlib.metadata.PackageNotFoundError:
        return "BetterStackWorkbench"


def usable(url: str) -> httpx.URL:
    """A site's URL with a host in it. Errors: ProbeError where it cannot be used."""
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
    return parsed


@functools.lru_cache(maxsize=PREPARED_LIMIT)
def _prepare(method: str, url: str, headers: Headers, body: str, auth: Auth | None, proxy: str | None) -> Prepared:
    return _build(method, usable(url), headers, body, auth, proxy)


def _build(
    method: str,
    url: httpx.URL,
    headers: Headers,
    body: str,
    auth: Auth | None,
    proxy: str | None,
    cookies: httpx.Cookies | None = None,
) -> Prepared:
    own = [(n.lower(), v.strip()) for n, v in headers if n.lower() not in FRAMING]
    named = {name for name, _ in own}
    ours = [(n, v) for n, v in (("user-agent", user_agent()), *OUR_HEADERS.items()) if n not in named]
    if "authorization" not in named:
        if auth is not None:
            own.append(("authorization", authorization(auth)))
        elif url.userinfo:
            own.append(("authorization", basic(url)))
    content = body.encode()
    if content:
        own.append(("content-length", str(len(content))))
    raw = [(n.encode("ascii"), v.encode("utf-8")) for n, v in (*ours, *own, ("connection", "close"))]
    request = httpx.Request(method, url, headers=raw, content=content or None)
    if cookies is not None:
        _add_cookies(request, cookies)
    return Prepared(request, encode(request, proxy), request.headers.get("cookie", ""))


def authorization(auth: Auth) -> str:
    """The value of the header that says who we are."""
    return f"Bearer {auth.secret}" if auth.username is None else basic_of(auth.username, auth.secret)


def _add_cookies(request: httpx.Request, cookies: httpx.Cookies) -> None:
    own = request.headers.pop("cookie", None)
    request.headers.encoding = "utf-8"  # httpx would take ASCII, and a cookie may hold any letter
    for each in [each for each in cookies.jar if _CONTROL.search(f"{each.name}{each.value}")]:
        cookies.jar.clear(each.domain, each.path, each.name)  # as browsers do: no header can hold it
    cookies.set_cookie_header(request)
    if own is not None:
        received = request.headers.get("cookie")
        request.headers["cookie"] = own if received is None else f"{own}; {received}"


def _same_origin(site: httpx.URL, url: httpx.URL) -> bool:
    """Also true for the upgrade of a host from HTTP to HTTPS on the usual ports: the same site, better protected."""
    if site.raw_host != url.raw_host:
        return False
    here, there = port_of(site), port_of(url)
    return (site.scheme, here) == (url.scheme, there) or (site.scheme, here, url.scheme, there) == (
        "http",
        80,
        "https",
        443,
    )


def port_of(url: httpx.URL) -> int | None:
    """The port of an HTTP URL, its scheme's where it says none."""
    return url.port or DEFAULT_PORTS.get(url.scheme)
