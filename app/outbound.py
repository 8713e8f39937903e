"""What the app itself asks of the outside: a sitemap, when somebody names one. The only place in it that does.

Whoever may open a page may name an address, so the request goes nowhere that `pipeline.guard` forbids: each hop is
resolved once, the addresses are judged, and the connection goes to the very address that was judged, with the name in
`Host` and in the TLS handshake. A server gets ten seconds in all and ten megabytes, packed or unpacked.
"""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable

import aiodns
import certifi
import httpx

from pipeline import guard
from pipeline.errors import InvalidInputError
from pipeline.guard import Address, Policy
from pipeline.sitemaps import LARGEST, MOST_PAGES, Sitemap, read_sitemap, refused, too_large, unpacked

DEADLINE_S = 10.0  # for all of it; whoever waits looks at a spinner
CONNECT_S = 3.0  # for an address that has another behind it
REDIRECTS = 3  # http to https, apex to www, old name to new
ADDRESSES = 3  # tried of one name
AT_ONCE = 4  # parts of an index, at the same time
HEADERS = {"User-Agent": "BetterStack-Workbench (sitemap import)", "Accept-Encoding": "gzip", "Accept": "*/*"}
PASTE = "You can also paste the sitemap's text here."

Resolve = Callable[[str], Awaitable[list[Address]]]


def sitemap(url: str, policy: Policy) -> Sitemap:
    """The pages that a sitemap, or an index of sitemaps, names. Errors: InvalidInputError says why not."""
    return asyncio.run(fetch_sitemap(url, policy))


async def fetch_sitemap(
    url: str,
    policy: Policy,
    *,
    resolve: Resolve | None = None,
    context: ssl.SSLContext | None = None,
    deadline_s: float = DEADLINE_S,
) -> Sitemap:
    """As `sitemap`; the resolver and the certificate authorities may be others."""
    transport = httpx.AsyncHTTPTransport(verify=context or _context(), trust_env=False)
    timeout = httpx.Timeout(None, connect=CONNECT_S)  # all of it has one deadline
    async with httpx.AsyncClient(transport=transport, timeout=timeout, trust_env=False) as client:
        fetcher = _Fetcher(client, policy, resolve or _resolve)
        index = Sitemap()
        try:
            async with asyncio.timeout(deadline_s):
                index = await fetcher.read(url)
                if not index.parts:
                    return index
                await fetcher.read_parts(index.parts)
        except TimeoutError:
            if not fetcher.pages:
                raise refused(
                    f"{_shown(url)} did not answer in full within {deadline_s:g} seconds. Try again later. {PASTE}"
                ) from None
            fetcher.notes.append(f"it took longer than {deadline_s:g} seconds: only some of its parts were read")
        return fetcher.all_pages(index)


class _Fetcher:
    """One import: what it may reach, and what was found so far."""

    def __init__(self, client: httpx.AsyncClient, policy: Policy, resolve: Resolve) -> None:
        self._client = client
        self._policy = policy
        self._resolve = resolve
        self.pages: dict[str, list[str]] = {}  # by part, so that their order is the index's
        self.notes: list[str] = []

    async def read(self, url: str) -> Sitemap:
        """One document. Errors: InvalidInputError."""
        body = await self._fetch(url)
        try:
            return read_sitemap(unpacked(body))
        except InvalidInputError as error:
            raise refused(f"{_shown(url)} is no sitemap that can be read: {error.problems[0].message}") from None

    async def read_parts(self, urls: list[str]) -> None:
        """The pages of an index's parts; one that cannot be read is told and left out."""
        free, failures = asyncio.Semaphore(AT_ONCE), list[str]()

        async def read(url: str) -> None:
            async with free:
                if sum(map(len, self.pages.values())) >= MOST_PAGES:
                    return
                try:
                    self.pages[url] = (await self.read(url)).pages
                except InvalidInputError as error:
                    failures.append(error.problems[0].message)

        await asyncio.gather(*map(read, dict.fromkeys(urls)))
        if failures and not self.pages:
            raise refused(failures[0])
        if failures:
            self.notes.append(f"{len(failures)} of its {len(urls)} parts could not be read, such as: {failures[0]}")

    def all_pages(self, index: Sitemap) -> Sitemap:
        pages = [page for part in index.parts for page in self.pages.get(part, ())]
        if not pages:
            raise refused("its parts name no pages: it is an index of indexes. Paste the address of one of its parts.")
        if len(pages) > MOST_PAGES:
            self.notes.append(f"there are more: the first {MOST_PAGES:,} were read")
        return Sitemap(pages[:MOST_PAGES], [], index.notes + self.notes)

    async def _fetch(self, url: str) -> bytes:
        """The body at the end of the redirects, as it was sent."""
        target = _url(url)
        for _ in range(REDIRECTS + 1):
            response = await self._open(target)
            try:
                if response.next_request is None:
                    return await _body(response, target)
            finally:
                await response.aclose()
            target = _url(str(target.join(response.headers["location"])))
        raise refused(f"{_shown(url)} redirects more than {REDIRECTS} times. Paste the address at the end of them.")

    async def _open(self, url: httpx.URL) -> httpx.Response:
        """The response's head, from an address that was judged."""
        host = url.raw_host.decode("ascii").strip("[]")
        failure: httpx.TransportError | None = None
        for address in await self._permitted(host):
            headers = {**HEADERS, "Host": url.netloc.decode("ascii")}
            request = self._client.build_request(
                "GET", url.copy_with(host=str(address)), headers=headers, extensions={"sni_hostname": host}
            )
            try:
                return await self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
            except httpx.HTTPError as error:
                raise _broken(url, error) from None
        assert failure is not None
        raise _broken(url, failure)

    async def _permitted(self, host: str) -> list[Address]:
        try:
            addresses: list[Address] = [ipaddress.ip_address(host)]
        except ValueError:
            addresses = list(dict.fromkeys(await self._resolve(host)))
        judged = {address: guard.judge(address, self._policy) for address in addresses}
        permitted = [address for address, what in judged.items() if what is None]
        if permitted:
            return permitted[:ADDRESSES]
        address, what = next(iter(judged.items()))
        is_what = f"is {what}" if host == str(address) else f"is at {address}, {what}"
        raise refused(f"{host} {is_what}: nothing is fetched from there. {guard.advice(self._policy)} {PASTE}")


async def _body(response: httpx.Response, url: httpx.URL) -> bytes:
    if not response.is_success:
        what = "there is nothing there" if response.status_code in (404, 410) else "it does not hand it out"
        raise refused(
            f"{_shown(url)} answers {response.status_code}: {what}. Look into the site's /robots.txt for one."
        )
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > LARGEST:
                raise too_large(_shown(url))
    except httpx.HTTPError as error:
        raise _broken(url, error) from None
    return bytes(body)


async def _resolve(host: str) -> list[Address]:
    """Addresses through c-ares: the default thread pool would make us wait for a resolver that hangs."""
    resolver = aiodns.DNSResolver(timeout=1.5, tries=2)
    try:
        found = await resolver.getaddrinfo(host, family=socket.AF_UNSPEC)
    except aiodns.error.DNSError:
        raise refused(f"the name {host} does not resolve: check how it is written") from None
    finally:
        await resolver.close()
    return [ipaddress.ip_address(node.addr[0].decode("ascii")) for node in found.nodes]


def _url(text: str) -> httpx.URL:
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError) as error:
        raise refused(f"{text[:100]} is no URL ({error})") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise refused(f"{text[:100]} cannot be fetched: write http:// or https:// and a host")
    return url.copy_with(username=None, password=None, fragment=None)


def _broken(url: httpx.URL, error: httpx.HTTPError) -> InvalidInputError:
    said = str(error).strip() or type(error).__name__
    return refused(f"{_shown(url)} cannot be read ({said}). Check the address, or try again later. {PASTE}")


def _shown(url: object) -> str:
    return str(url)[:100]


@functools.cache
def _context() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certifi.where())
