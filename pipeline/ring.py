"""The key ring, and what a secret looks like once it is sealed. Pure; `cryptography` is loaded with the first seal.

A stored secret is `sealed:<key id>:<fingerprint>:<base64>`, bound to its name: AES-256-GCM with a key that is derived
from one of the ring's. Its nonce is an HMAC of name and value (RFC 5297's idea), so that the same secret under the
same key is always the same text, and sealing twice changes nothing. What people see is `sealed:<fingerprint>`.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PREFIX = "sealed:"
STORED = re.compile(r"sealed:([0-9a-f]{8}):([0-9a-f]{8}):([A-Za-z0-9_-]{38,})")  # nonce and tag alone are 38 letters
SHOWN = re.compile(r"sealed:[0-9a-f]{8}")
UNSEALED = f"{PREFIX}00000000"  # how a secret is shown that an older release left plain, until it is sealed
SALT = b"betterstack-workbench 1"
NONCE_BYTES, MARK_BYTES = 12, 4


class LockedError(ValueError):
    """A stored secret that no key of the ring opens; the message says which key is missing, never what is in it."""


class Ring:
    """The installation's keys, newest first: the first seals, each opens what it sealed. It shows none of them."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self._keys = tuple(keys)

    def __bool__(self) -> bool:
        return bool(self._keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ring) and self._keys == other._keys

    def __hash__(self) -> int:
        return hash(self._keys)

    def __repr__(self) -> str:
        return f"Ring({', '.join(self.ids)})"

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys themselves, for what else is derived from them."""
        return self._keys

    @property
    def first(self) -> bytes | None:
        """What seals, and what the credentials of regions are derived from."""
        return self._keys[0] if self._keys else None

    @property
    def ids(self) -> tuple[str, ...]:
        """Eight letters for each key, in their order: they name a key and do not help to find it."""
        return tuple(_derived(key).id for key in self._keys)

    def seal(self, name: str, value: str) -> str:
        """The stored form of a secret. Errors: LockedError where the ring is empty."""
        if not self._keys:
            raise LockedError("there is no secret key to seal with")
        made, about = _derived(self._keys[0]), _about(name)
        text = about + b"\0" + value.encode("utf-8", "surrogatepass")
        nonce = hmac.digest(made.mac, b"nonce\0" + text, "sha256")[:NONCE_BYTES]
        box = nonce + _box(made.box).encrypt(nonce, value.encode("utf-8", "surrogatepass"), about)
        return f"{PREFIX}{made.id}:{_mark(made, text)}:{urlsafe_b64encode(box).decode().rstrip('=')}"

    def open(self, name: str, stored: str) -> str:
        """The secret of a stored form; what is not one is given back as it is. Errors: LockedError."""
        found = STORED.fullmatch(stored)
        if found is None:
            return stored
        made = next((each for each in map(_derived, self._keys) if each.id == found[1]), None)
        if made is None:
            raise LockedError(f"the key {found[1]}, which it is sealed with, is not at hand")
        from cryptography.exceptions import InvalidTag

        packed = unpacked(found[3])
        try:
            plain = _box(made.box).decrypt(packed[:NONCE_BYTES], packed[NONCE_BYTES:], _about(name))
        except InvalidTag:
            raise LockedError("it was changed, or is another's") from None
        return plain.decode("utf-8", "surrogatepass")

    def renewed(self, name: str, stored: str) -> str:
        """The same secret under the first key. Errors: LockedError."""
        return stored if self.is_newest(stored) else self.seal(name, self.open(name, stored))

    def is_newest(self, stored: str) -> bool:
        """Whether it is sealed, and with the first key."""
        return bool(self._keys) and key_id(stored) == _derived(self._keys[0]).id

    def holds(self, name: str, stored: str, value: str) -> bool:
        """Whether a stored form is of this very value, as far as the keys at hand can tell."""
        try:
            return hmac.compare_digest(
                self.open(name, stored).encode("utf-8", "replace"), value.encode("utf-8", "replace")
            )
        except LockedError:
            return False


RingSource = Callable[[], Ring]
"""Whoever has the ring. It is asked under the edit lock, so that an edit sees a rotation that ended meanwhile."""


def no_keys() -> Ring:
    """The source of an installation without keys: whatever is secret is refused."""
    return Ring()


def is_stored(text: str) -> bool:
    return STORED.fullmatch(text) is not None


def is_shown(text: str) -> bool:
    return SHOWN.fullmatch(text) is not None


def key_id(stored: str) -> str | None:
    """Which key a stored form is sealed with; None where it is plain."""
    found = STORED.fullmatch(stored)
    return found[1] if found else None


def shown(stored: str) -> str:
    """What people see of a stored secret. It takes no key, and never shows one that is not sealed yet."""
    found = STORED.fullmatch(stored)
    return f"{PREFIX}{found[2]}" if found else UNSEALED


def unpacked(text: str) -> bytes:
    """Bytes of base64 whose padding was left away. Errors: ValueError."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


class _Derived(NamedTuple):
    id: str
    box: bytes
    mac: bytes


@lru_cache(maxsize=64)
def _derived(key: bytes) -> _Derived:
    """By HKDF-SHA256 (RFC 5869), each for one purpose."""
    extracted = hmac.digest(SALT, key, "sha256")
    named, box, mac = (
        hmac.digest(extracted, purpose + b"\x01", "sha256")
        for purpose in (b"key id", b"secrets at rest", b"fingerprint")
    )
    return _Derived(named[:MARK_BYTES].hex(), box, mac)


@lru_cache(maxsize=64)
def _box(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _mark(made: _Derived, text: bytes) -> str:
    return hmac.digest(made.mac, b"mark\0" + text, "sha256")[:MARK_BYTES].hex()


def _about(name: str) -> bytes:
    """A header is the same however its name is written."""
    return name.lower().encode()
