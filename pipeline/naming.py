"""What a site is called when nobody said so: a key and a name that read like its URL, and when two URLs are one."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import chain, count
from urllib.parse import urlsplit

LONGEST_NAME = 200


def suggest_key(url: str, taken: Collection[str]) -> str:
    """A free key that reads like the URL: its host and path, numbered where that is taken."""
    words = stem(url)
    numbered = (f"{words}-{number}" for number in count(2))
    return next(key for key in chain([words], numbered) if key not in taken)


def stem(url: str) -> str:
    """The key that reads like the URL, free or not."""
    parts = urlsplit(url)
    words = re.sub(r"[^a-z0-9]+", "-", f"{parts.hostname or url} {parts.path}".lower())
    return words.strip("-")[:56].strip("-") or "site"


class Keys:
    """Hands out keys, each once. Of thousands that read alike, each costs what the first did."""

    def __init__(self, taken: Collection[str]) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._taken

    def take(self, key: str) -> None:
        self._taken.add(key)

    def free_for(self, url: str) -> str:
        """The key of `suggest_key`, which is taken from then on."""
        words = key = stem(url)
        number = self._next.get(words, 2)
        while key in self._taken:
            key, number = f"{words}-{number}", number + 1
        self._next[words] = number
        self._taken.add(key)
        return key


def name_of(url: str) -> str:
    """Host and path, as people say them."""
    parts = urlsplit(url)
    return f"{parts.netloc}{parts.path.rstrip('/')}"[:LONGEST_NAME]


def same(url: str) -> str:
    """Equal for URLs that ask for the same thing: case of the host, and the slash of an empty path."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.lower(), path=parts.path or "/", fragment="").geturl()


def spellings(url: str) -> set[str]:
    """The ways in which the store may hold this URL."""
    plain = same(url)
    parts = urlsplit(plain)
    bare = {parts._replace(path="").geturl()} if parts.path == "/" else set()
    return {url, plain} | bare
