"""Sitemaps (sitemaps.org 0.9): which pages one names, and which of them are worth a monitor. Pure, and wary."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Hashable, Iterable
from enum import StrEnum
from urllib.parse import urlsplit
from xml.parsers.expat import ExpatError

from defusedxml.common import DefusedXmlException, DTDForbidden
from defusedxml.ElementTree import ParseError, XMLParser
from msgspec import Struct

from pipeline.errors import InvalidInputError, Problem

LARGEST = 10 << 20  # 10 MiB unpacked: some 60 000 pages, more than the protocol allows in one file
MOST_PAGES = 5_000  # as many as a person adds at once
MOST_PARTS = 50  # sitemaps that an index names
LAYERS = 2  # a .gz file, which the server packs once more on its way
GZIP = b"\x1f\x8b"


class Sitemap(Struct, frozen=True):
    """What a sitemap names: pages, or further sitemaps. `notes` say what was left out, and why."""

    pages: list[str] = []
    parts: list[str] = []
    notes: list[str] = []


class Choice(StrEnum):
    """Which pages to watch. A sitemap of 3 000 pages is not 3 000 monitors."""

    FRONT = "front"
    SECTIONS = "sections"
    FIRST = "first"
    ALL = "all"


def choose(pages: list[str], choice: Choice, first: int = 20) -> list[str]:
    """Of these pages the front page of each host, the shortest address of each section, the first so many, or all."""
    match choice:
        case Choice.FRONT:
            return _shortest(pages, lambda page: urlsplit(page).netloc)
        case Choice.SECTIONS:
            return _shortest(pages, _section)
        case Choice.FIRST:
            return pages[:first]
        case Choice.ALL:
            return pages


def _section(page: str) -> tuple[str, str]:
    parts = urlsplit(page)
    return parts.netloc, parts.path.strip("/").partition("/")[0]


def _shortest(pages: Iterable[str], group: Callable[[str], Hashable]) -> list[str]:
    """The shortest of each group, groups in the order in which they come."""
    best: dict[Hashable, str] = {}
    for page in pages:
        key = group(page)
        if key not in best or len(page) < len(best[key]):
            best[key] = page
    return list(best.values())


def looks_like_one(text: str) -> bool:
    """Whether this is XML or HTML, rather than anything else that can be pasted."""
    return text.lstrip("\ufeff \t\r\n").startswith("<")


def unpacked(data: bytes) -> bytes:
    """The document in what a server sent, whether or not it said that it is packed. Errors: InvalidInputError."""
    for _ in range(LAYERS):
        if data.startswith(GZIP):
            data = _gunzip(data)
    return data


def _gunzip(data: bytes) -> bytes:
    out = b""
    try:
        while data.startswith(GZIP):  # a gzip file may have several members
            unzip = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            out += unzip.decompress(data, LARGEST + 1 - len(out))
            if len(out) > LARGEST:
                raise too_large()
            if not unzip.eof:
                raise refused("it is packed, and ends in the middle")
            data = unzip.unused_data
    except zlib.error as error:
        raise refused(f"it is packed, and cannot be unpacked ({error})") from None
    return out


def read_sitemap(data: bytes | str) -> Sitemap:
    """The first pages or parts that a document names. Errors: InvalidInputError says what it is instead."""
    target = _Target()
    parser = XMLParser(target=target, forbid_dtd=True)
    try:
        parser.feed(data.strip())
        parser.close()
    except _EnoughError:
        target.notes.append(f"there are more: the first {len(target.found):,} were read")
    except DTDForbidden as error:
        raise _foreign(error.name) from None
    except DefusedXmlException:
        raise _foreign("") from None
    except (ParseError, ExpatError, LookupError, ValueError) as error:
        raise _unreadable(data, target.root, error) from None
    if not target.found:
        raise refused("it names no pages: there is no <loc> with a URL in it")
    pages, parts = (target.found, []) if target.root == "urlset" else ([], target.found)
    return Sitemap(pages, parts, target.notes)


def refused(reason: str) -> InvalidInputError:
    """This is no sitemap that we can use."""
    return InvalidInputError([Problem("", reason)])


def too_large(what: str = "it") -> InvalidInputError:
    return refused(f"{what} is larger than {LARGEST >> 20} MB, unpacked: paste the part of it that you want")


def _foreign(document: str) -> InvalidInputError:
    if document.lower() == "html":
        return refused("it is a web page, not a sitemap: look for one in the site's /robots.txt")
    return refused("it declares a document type or entities, which no sitemap needs and which are not read here")


def _unreadable(data: bytes | str, root: str, error: Exception) -> InvalidInputError:
    head = data[:200].lower()
    if root == "html" or "<html" in (head if isinstance(head, str) else head.decode("latin-1")):
        return _foreign("html")
    return refused(f"it is not XML that can be read ({error})")


class _EnoughError(Exception):
    """As many as anybody adds at once."""


class _Target:
    """Collects `<url><loc>` or `<sitemap><loc>` as the parser comes by; no tree is kept."""

    def __init__(self) -> None:
        self.root = ""
        self.found: list[str] = []
        self.notes: list[str] = []
        self._path: list[str] = []
        self._text: list[str] | None = None
        self._limit = MOST_PAGES

    def start(self, tag: str, _attributes: dict[str, str]) -> None:
        if not self._path:
            self._begin(tag)
        self._path.append(tag)
        namespace, _, _ = self._path[0].rpartition("}")
        inside = "url" if self.root == "urlset" else "sitemap"
        # <image:loc> names a picture: only the sitemap's own words count, and only where they belong.
        names = [namespace + "}" * bool(namespace) + word for word in (self.root, inside, "loc")]
        self._text = [] if self._path == names else None

    def _begin(self, tag: str) -> None:
        self.root = tag.rpartition("}")[2]
        if self.root.lower() == "html":
            raise _foreign("html")
        if self.root not in ("urlset", "sitemapindex"):
            raise refused(
                f"its outermost element is <{self.root[:40]}>; that of a sitemap is <urlset> or <sitemapindex>"
            )
        self._limit = MOST_PAGES if self.root == "urlset" else MOST_PARTS

    def data(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)

    def end(self, _tag: str) -> None:
        self._path.pop()
        if self._text is None:
            return
        url, self._text = "".join(self._text).strip(), None
        if url:
            if len(self.found) >= self._limit:
                raise _EnoughError
            self.found.append(url)

    def close(self) -> None:
        """Nothing is kept that would have to be ended."""
