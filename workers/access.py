"""What a prober elsewhere may do: its region's Redis user, and the keys that are derived for it.

Nothing secret is stored. A region's Redis password and its key follow from the installation's secret key, the region
and its `access` generation, so that everybody who holds the secret key finds the same, and rotating changes both.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable

from pipeline.vocabulary import Region
from workers import streams

PREFIX = "region-"
PLAIN_KEY = re.compile(r"[a-z0-9-]{1,100}", re.ASCII)  # no *, ? or [ that a rule would take for a pattern
SALT = b"betterstack-workbench 1"

# What redis-py sends about itself; HELLO and AUTH need no leave. A hand-over is a MULTI.
_GREETING = ("+ping", "+client|setname", "+client|setinfo", "+multi", "+exec", "+discard")
_IN_A_CLUSTER = ("+cluster|slots",)  # which node has the region
_CHECKS = "+xreadgroup +xpending +xclaim +xinfo|consumers +xack +xdel +xadd +xgroup|delconsumer"
_LEASES = "+set +del +exists"


def user(region_key: str) -> str:
    return PREFIX + region_key


def password(secret_key: bytes, region: Region) -> str:
    """What the region's probers sign in to Redis with: 43 letters that a URL takes as they are."""
    return _text(derived(secret_key, "redis password", region))


def region_key(secret_key: bytes, region: Region) -> str:
    """What the region's probers open sealed parts of a check with, as text for an environment variable."""
    return _text(derived(secret_key, "region key", region))


def proof(region_key: str, consumer: str) -> str:
    """What a prober's lease shows of its key: that it has the key, and nothing that helps to find it."""
    return hmac.digest(region_key.encode(), f"lease\0{consumer}".encode(), "sha256").hex()[:32]


def proven(shown: str | None, secret_key: bytes, region: Region, consumer: str) -> str:
    """What a prober's proof is worth: its region's key is `right`, `wrong` or `missing`."""
    if shown is None:
        return "missing"
    expected = proof(region_key(secret_key, region), consumer)
    return "right" if hmac.compare_digest(shown.encode("utf-8", "replace"), expected.encode()) else "wrong"


def derived(secret_key: bytes, purpose: str, region: Region) -> bytes:
    """32 bytes by HKDF-SHA256 (RFC 5869).

    The region's id is part of it: a region that is removed and added again has other keys than before.
    """
    info = f"{purpose}\0{region.id}\0{_plain(region.key)}\0{region.access}".encode()
    extracted = hmac.digest(SALT, secret_key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")


def rules(region_key: str, password: str, *, database: int = 0, cluster: bool = False) -> tuple[str, ...]:
    """The whole of an ACL SETUSER for a region's user (Redis 7, Valkey 7.2 and later); pure.

    Each part in parentheses is a selector: commands and the keys they may touch. Its ticks and dead letters can be
    added to, not read. XADD can also trim, and no rule tells the two apart: what a region could lose so is its own.
    """
    key = _plain(region_key)
    more = (*(_IN_A_CLUSTER if cluster else ()), *((f"+select|{database}",) if database else ()))
    return (
        "reset",  # off, no password, no key, no channel, no command: whatever was there before is gone
        "on",
        f"#{password_hash(password)}",
        *_GREETING,
        *more,
        f"(%RW~{streams.checks(key)} {_CHECKS})",
        f"(%W~{streams.ticks(key)} %W~{streams.dead(key)} +xadd)",
        f"(%W~{streams.lease(key, '*')} {_LEASES})",
    )


def password_hash(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()


def is_open(acl: Iterable[str]) -> bool:
    """Whether who signs in as nobody may come in: then the rules of the others protect nothing."""
    return any({"on", "nopass"} <= set(line.split()) for line in acl if line.startswith("user default "))


def admits(line: str, rules: Iterable[str]) -> bool:
    """Whether a line of ACL LIST has the password that the rules give."""
    return all(rule in line.split() for rule in rules if rule.startswith("#"))


def users_in(acl: Iterable[str]) -> dict[str, str]:
    """The regions' users in a reply of ACL LIST: region key -> its line.

    Somebody else's user who happens to have such a name has not these rules, and stays out of it.
    """
    found: dict[str, str] = {}
    for line in acl:
        name = line.split(" ", 2)[1]
        key = name.removeprefix(PREFIX)
        if name.startswith(PREFIX) and streams.checks(key) in line:
            found[key] = line
    return found


def _plain(region_key: str) -> str:
    if not PLAIN_KEY.fullmatch(region_key):
        raise ValueError(f"{region_key!r} is no key of a region")
    return region_key


def _text(key: bytes) -> str:
    return urlsafe_b64encode(key).decode().rstrip("=")
