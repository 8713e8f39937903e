"""A site's secrets, and how they are cut out of what a server says: it may echo whatever we sent. Pure."""

from __future__ import annotations

import base64
import binascii
import functools
import html
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote

import httpx

from pipeline.secrets import is_public
from pipeline.vocabulary import Network, Spec

CUT = "•••"
# Headers whose values are somebody's secret, whatever they say.
HIDDEN = frozenset({"authorization", "proxy-authorization", "proxy-authenticate", "authentication-info"})
TELLING = re.compile("cookie|token|secret|key|session|password|credential|csrf|xsrf|jwt")
SHORTEST = 4  # what is shorter occurs in any text, and its absence would tell it
SHORTEST_QUERY = 8  # a query may say `format=json`, which is no secret
MOST_PARTS = 200  # of a body or a certificate; a body of 64 KB may be a list of words
LINE = 40  # letters of a PEM's line that make it one
LONGEST = 4096  # of a secret; no text that is shown has more
KEPT = 64  # failing sites whose secrets are kept in all spellings, up to 1 MB each: a body of 64 KB takes 0.2 s
IN_A_PATH = ":/?#[]@!$&'()*+,;=%~"  # what httpx leaves as it is in the path of a URL
URL_SAFE = str.maketrans("+/", "-_")

_ESCAPE = re.compile(r"%[0-9A-F]{2}")


class Cutter:
    """Cuts secrets. It looks for them once in all that there is, so that the usual text, which holds none, is cheap."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = _spelled(frozenset(secrets))
        self._found: list[str] = []

    def look(self, text: str) -> None:
        """Find which of the secrets occur at all."""
        self._found = [secret for secret in self._secrets if secret in text]

    def cut(self, text: str) -> str:
        """The text without those that were found."""
        for secret in self._found:
            text = text.replace(secret, CUT)
        return text

    def cut_start(self, text: str) -> str:
        """The same for the beginning of a longer text, which may end in the beginning of a secret."""
        text = self.cut(text)
        for secret in self._secrets:
            if secret[:SHORTEST] not in text[-len(secret) :]:
                continue
            for length in range(min(len(secret), len(text)), SHORTEST - 1, -1):
                if text.endswith(secret[:length]):
                    return text[:-length] + CUT
        return text


@functools.lru_cache(maxsize=KEPT)
def _spelled(secrets: frozenset[str]) -> list[str]:
    spelled = {spelling for secret in secrets for spelling in _spellings(secret[:LONGEST])}
    # The longest first: one may be part of another.
    return sorted((s for s in spelled if len(s) >= SHORTEST), key=lambda s: (-len(s), s))


def is_telling(header: str) -> bool:
    """Whether a header of that name, in small letters, may tell a secret."""
    return header in HIDDEN or TELLING.search(header) is not None


def cutting(spec: Spec, network: Network) -> Callable[[str], str]:
    """What takes a check's secrets out of a text; made when it is first asked, since most checks quote nobody."""
    made: list[Cutter] = []

    def cut(text: str) -> str:
        if not made:
            made.append(Cutter(private_texts(spec, network)))
        made[0].look(text)
        return made[0].cut(text)

    return cut


def private_texts(spec: Spec, network: Network) -> set[str]:
    """What must not be shown of a check: all that it sends which a stranger does not know, its parts, too.

    More than `pipeline.secrets.secrets_of`, which is what is stored sealed, by name: also what a URL holds.
    """
    return {secret for secret in _secrets(spec, network) if len(secret) >= SHORTEST}


def _secrets(spec: Spec, network: Network) -> Iterator[str]:
    for name, value in spec.headers.items():
        if not is_public(name):
            yield value.strip()
            # `Bearer x`, `Basic x`, `a=x; b=y`: its parts, too
            yield from (part for part in re.split(r"[\s;,=]+", value) if len(part) >= SHORTEST_QUERY)
    if spec.auth is not None:
        yield spec.auth.secret
        if spec.auth.username is not None:
            yield _base64(f"{spec.auth.username}:{spec.auth.secret}")
    yield from _of_body(spec.body)
    yield from _of_url(spec.url)
    if network.proxy is not None:
        yield from _of_url(network.proxy)
    for line in (spec.client_certificate or "").splitlines()[:MOST_PARTS]:
        if len(line) >= LINE and not line.startswith("-"):
            yield line.strip()


def _of_url(text: str) -> Iterator[str]:
    """The password and the values of the query."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        return
    if url.userinfo:
        yield from (url.password, _base64(f"{url.username}:{url.password}"), url.userinfo.decode("ascii", "replace"))
    if url.query:
        query = url.query.decode("ascii", "replace")
        yield query
        yield from (value for _, value in parse_qsl(query) if len(value) >= SHORTEST_QUERY)


def _of_body(body: str) -> Iterator[str]:
    """The body, its lines, and the values in it where it is JSON or a form."""
    if not body:
        return
    yield body.strip()
    yield from (line.strip() for line in body.splitlines()[:MOST_PARTS])
    try:
        leaves: Iterable[str] = _leaves(json.loads(body))
    except (ValueError, RecursionError):
        leaves = (value for _, value in parse_qsl(body, max_num_fields=None))
    for leaf, _ in zip(leaves, range(MOST_PARTS), strict=False):
        yield leaf


def _leaves(value: Any) -> Iterator[str]:
    """Texts and numbers of a JSON value. Bounded by the body's length; json has bounded its depth."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, str):
            yield each
        elif isinstance(each, int | float) and not isinstance(each, bool):
            yield str(each)


def _spellings(secret: str) -> Iterator[str]:
    """A secret as servers write it back: as it is, in JSON, in HTML, in a URL, in base64, in another charset."""
    yield secret
    yield _base64(secret)
    if secret.isalnum() and secret.isascii():  # which looks the same everywhere
        yield from _decoded(secret)
        return
    yield _base64(secret).translate(URL_SAFE)
    for written in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield written
        yield written.replace("/", "\\/")  # PHP
    escaped = html.escape(secret)
    yield escaped
    for apostrophe in ("&#39;", "&#039;", "&apos;", "'"):
        yield escaped.replace("&#x27;", apostrophe)
    yield escaped.replace("&#x27;", "&#39;").replace("&quot;", "&#34;").replace("+", "&#43;")  # Go
    for safe in ("", "/", IN_A_PATH):
        quoted = quote(secret, safe=safe)
        yield quoted
        yield _ESCAPE.sub(lambda escape: escape[0].lower(), quoted)
    yield quote_plus(secret)
    yield unquote(secret)
    for charset in ("latin-1", "cp1252"):  # what was UTF-8, read as what it is not
        yield secret.encode("utf-8", "replace").decode(charset, "replace")
    yield from _decoded(secret)


def _decoded(secret: str) -> Iterator[str]:
    """What base64 stands for, be it a user with a password."""
    try:
        decoded = base64.b64decode(secret + "=" * (-len(secret) % 4), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return
    if len(decoded) >= SHORTEST_QUERY and decoded.isprintable():
        yield decoded
        yield decoded.partition(":")[2]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")
