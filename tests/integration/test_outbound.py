"""The app's own requests: a sitemap is read from where it may be, within its limits, or it is said why not."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ssl
from collections.abc import AsyncIterator
from ipaddress import ip_address, ip_network

import pytest
import trustme

from app.outbound import fetch_sitemap
from pipeline.errors import InvalidInputError
from pipeline.guard import Address, Policy
from pipeline.sitemaps import LARGEST, MOST_PAGES, Sitemap
from tests.integration.hostile import Handler, drip, flood, ok, raw, redirects, run, serving, status

ONE: Policy = (ip_network("127.0.0.1/32"),)  # the server of a test, and nothing else that is near


def urlset(*pages: str) -> bytes:
    locations = "".join(f"<url><loc>{page}</loc><lastmod>2026-01-01</lastmod></url>" for page in pages)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    return f"{head}{locations}</urlset>".encode()


def index(*parts: str) -> bytes:
    return f"<sitemapindex>{''.join(f'<sitemap><loc>{part}</loc></sitemap>' for part in parts)}</sitemapindex>".encode()


def by_path(answers: dict[str, bytes | Handler]) -> Handler:
    async def handler(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = answers.get(head.split(b" ")[1].decode("ascii"), status(404))
        await (ok(answer) if isinstance(answer, bytes) else answer)(head, reader, writer)

    return handler


def fetched(
    handler: Handler | None,
    *,
    path: str = "/sitemap.xml",
    policy: Policy = ONE,
    deadline_s: float = 10.0,
) -> Sitemap:
    async def main() -> Sitemap:
        async with serving(handler) as server:
            return await fetch_sitemap(server.url(path), policy, deadline_s=deadline_s)

    return run(main())


def refusal(handler: Handler | None, *, deadline_s: float = 10.0) -> str:
    with pytest.raises(InvalidInputError) as refused:
        fetched(handler, deadline_s=deadline_s)
    return refused.value.problems[0].message


def test_it_reads_the_pages_of_a_sitemap() -> None:
    pages = ["https://shop.example/", "https://shop.example/a?b=1&amp;c=2"]
    found = fetched(ok(urlset(*pages)))
    assert found == Sitemap(["https://shop.example/", "https://shop.example/a?b=1&c=2"])


def test_it_reads_a_packed_file_that_the_server_packed_once_more() -> None:
    packed = gzip.compress(gzip.compress(urlset("https://shop.example/")))
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(packed), packed)
    assert fetched(raw(answer)).pages == ["https://shop.example/"]


def test_it_reads_the_parts_of_an_index_in_its_order_and_tells_which_failed() -> None:
    async def main() -> Sitemap:
        answers: dict[str, bytes | Handler] = {}
        async with serving(by_path(answers)) as server:
            answers["/sitemap.xml"] = index(*(server.url(f"/{part}.xml") for part in ("b", "gone", "a", "deeper")))
            answers["/b.xml"] = urlset("https://shop.example/b")
            answers["/a.xml"] = urlset("https://shop.example/a")
            answers["/deeper.xml"] = index(server.url("/a.xml"))  # one level is read
            return await fetch_sitemap(server.url("/sitemap.xml"), ONE)

    found = run(main())
    assert found.pages == ["https://shop.example/b", "https://shop.example/a"]
    assert len(found.notes) == 1
    assert "1 of its 4 parts could not be read" in found.notes[0]
    assert "answers 404" in found.notes[0]


def test_it_stops_at_as_many_pages_as_anybody_adds() -> None:
    found = fetched(ok(urlset(*(f"https://shop.example/{number}" for number in range(MOST_PAGES + 10)))))
    assert (len(found.pages), found.notes) == (MOST_PAGES, [f"there are more: the first {MOST_PAGES:,} were read"])


def test_it_follows_three_redirects_and_no_fourth() -> None:
    hops = {f"/{number}": f"/{number + 1}" for number in range(5)}

    async def handler(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await (ok(urlset("https://a.example/")) if b"GET /5 " in head else redirects(hops))(head, reader, writer)

    assert fetched(handler, path="/2").pages == ["https://a.example/"]
    with pytest.raises(InvalidInputError, match="redirects more than 3 times"):
        fetched(handler, path="/1")


@contextlib.asynccontextmanager
async def forbidden(port: int = 0) -> AsyncIterator[tuple[int, list[str]]]:
    """A server on an address that is not allowed: its port, and who came."""
    came: list[str] = []

    def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer.get_extra_info("peername")[0])
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.2", port)
    async with server:
        yield server.sockets[0].getsockname()[1], came


@pytest.mark.parametrize("where", ["http://127.0.0.2:{port}/", "http://[::ffff:7f00:2]:{port}/", "//127.0.0.2:{port}/"])
def test_a_redirect_to_a_forbidden_address_is_not_followed(where: str) -> None:
    async def main() -> tuple[str, list[str]]:
        async with forbidden() as (port, came), serving(redirects({"/": where.format(port=port)})) as server:
            with pytest.raises(InvalidInputError) as refused:
                await fetch_sitemap(server.url(), ONE)
            return refused.value.problems[0].message, came

    message, came = run(main())
    assert "this machine itself (loopback): nothing is fetched from there" in message
    assert "BETTERSTACK_PRIVATE_TARGETS" in message
    assert came == []


@pytest.mark.parametrize("host", ["169.254.169.254", "[fd00:ec2::254]", "[::ffff:169.254.169.254]", "100.100.100.200"])
def test_a_metadata_service_is_forbidden_even_where_private_addresses_are_allowed(host: str) -> None:
    with pytest.raises(InvalidInputError, match="nothing is fetched from there"):
        run(fetch_sitemap(f"http://{host}/latest/meta-data/", "allow"))


@pytest.mark.parametrize("host", ["0x7f.2", "2130706434", "\uff11\uff12\uff17.0.0.2", "127.2"])
def test_other_spellings_of_a_forbidden_address_lead_nowhere(host: str) -> None:
    async def main() -> list[str]:
        async with forbidden() as (port, came):
            with pytest.raises(InvalidInputError):
                await fetch_sitemap(f"http://{host}:{port}/", ONE)
            return came

    assert run(main()) == []


def test_a_name_is_asked_once_and_the_connection_goes_to_the_address_that_was_judged() -> None:
    answers: list[list[Address]] = [[ip_address("127.0.0.1")], [ip_address("127.0.0.2")]]
    asked: list[str] = []

    async def rebinding(host: str) -> list[Address]:
        asked.append(host)
        return answers[len(asked) - 1]

    async def main() -> tuple[Sitemap, list[bytes], list[str]]:
        async with serving(ok(urlset("https://a.example/"))) as server, forbidden(server.port) as (_, came):
            url = f"http://rebinding.test:{server.port}/sitemap.xml"
            found = await fetch_sitemap(url, ONE, resolve=rebinding)
            with pytest.raises(InvalidInputError, match=r"rebinding\.test is at 127\.0\.0\.2, this machine itself"):
                await fetch_sitemap(url, ONE, resolve=rebinding)
            return found, server.heads, came

    found, heads, came = run(main())
    assert found.pages == ["https://a.example/"]
    assert asked == ["rebinding.test"] * 2
    assert len(heads) == 1
    assert b"Host: rebinding.test:" in heads[0]
    assert came == []


def test_of_a_names_addresses_only_those_that_are_allowed_are_tried() -> None:
    async def both(_host: str) -> list[Address]:
        return [ip_address("127.0.0.2"), ip_address("127.0.0.1")]

    async def main() -> tuple[list[str], list[str]]:
        async with serving(ok(urlset("https://a.example/"))) as server, forbidden(server.port) as (_, came):
            found = await fetch_sitemap(f"http://both.test:{server.port}/", ONE, resolve=both)
            return found.pages, came

    assert run(main()) == (["https://a.example/"], [])


def test_tls_is_verified_for_the_name_and_not_for_the_address() -> None:
    authority, server_context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("good.test").configure_cert(server_context)
    client = ssl.create_default_context()
    authority.configure_trust(client)

    async def here(_host: str) -> list[Address]:
        return [ip_address("127.0.0.1")]

    async def main() -> tuple[list[str], str]:
        async with serving(ok(urlset("https://good.test/")), server_context) as server:
            found = await fetch_sitemap(server.url(host="good.test"), ONE, resolve=here, context=client)
            with pytest.raises(InvalidInputError) as refused:
                await fetch_sitemap(server.url(host="evil.test"), ONE, resolve=here, context=client)
            return found.pages, refused.value.problems[0].message

    pages, message = run(main())
    assert pages == ["https://good.test/"]
    assert "evil.test" in message
    assert "certificate" in message


def test_a_name_that_does_not_resolve_is_told() -> None:
    with pytest.raises(InvalidInputError, match=r"the name nowhere\.invalid does not resolve"):
        run(fetch_sitemap("https://nowhere.invalid/sitemap.xml", "allow"))


HEAD = b"HTTP/1.1 200 OK\r\n"
BOMB = b"<!DOCTYPE b [<!ENTITY a 'aa'><!ENTITY b '&a;&a;&a;&a;'>]><urlset><url><loc>&b;&b;</loc></url></urlset>"


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (status(404), "answers 404: there is nothing there"),
        (status(403), "answers 403: it does not hand it out"),
        (ok(b"<!DOCTYPE html><html><body>no</body></html>"), "it is a web page, not a sitemap"),
        (ok(b'{"pages": []}'), "it is not XML that can be read"),
        (ok(b"<rss><channel/></rss>"), "its outermost element is <rss>"),
        (ok(b"<urlset></urlset>"), "it names no pages"),
        (ok(BOMB), "it declares a document type or entities"),
        (ok(b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><urlset/>"), "it declares a document type or entities"),
        (ok(gzip.compress(bytes(64 << 20))), "it is larger than 10 MB, unpacked"),
        (ok(gzip.compress(gzip.compress(bytes(64 << 20)))), "it is larger than 10 MB, unpacked"),
        (ok(gzip.compress(urlset("https://a.example/"))[:-9]), "it is packed, and ends in the middle"),
        (ok(bytes(LARGEST + 1)), "is larger than 10 MB"),
        (flood(HEAD + b"\r\n", b"<!--" + b" " * 65536 + b"-->"), "is larger than 10 MB"),
        (raw(b"hello\r\n\r\n"), "cannot be read"),
        (raw(HEAD + b"Content-Length: 100\r\n\r\n<urlset>"), "cannot be read"),
        (raw(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"), "cannot be fetched"),
    ],
)
def test_whatever_cannot_be_used_is_told_in_words(handler: Handler, said: str) -> None:
    assert said in refusal(handler)


@pytest.mark.parametrize(
    "handler",
    [
        drip(HEAD + b"\r\n<urlset>", b" "),
        drip(HEAD, b"X-More: x\r\n"),
        drip(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        None,
    ],
    ids=["body", "headers", "103", "silence"],
)
def test_a_server_that_takes_its_time_gets_no_more_than_the_deadline(handler: Handler | None) -> None:
    assert "did not answer in full within 0.5 seconds" in refusal(handler, deadline_s=0.5)


def test_of_an_index_with_a_part_that_hangs_the_other_parts_are_kept() -> None:
    async def main() -> Sitemap:
        answers: dict[str, bytes | Handler] = {}
        async with serving(by_path(answers)) as server:
            answers["/sitemap.xml"] = index(server.url("/hangs.xml"), server.url("/a.xml"))
            answers["/hangs.xml"] = drip(HEAD + b"\r\n", b" ")
            answers["/a.xml"] = urlset("https://shop.example/a")
            return await fetch_sitemap(server.url("/sitemap.xml"), ONE, deadline_s=1.5)

    found = run(main())
    assert found.pages == ["https://shop.example/a"]
    assert found.notes == ["it took longer than 1.5 seconds: only some of its parts were read"]
