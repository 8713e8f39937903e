"""Rotating the secret key: a new one seals, everything is sealed with it anew, and then the old ones are of no use.

At every moment the keys at hand open all that is kept: whoever is interrupted goes on by calling it again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

from sqlalchemy import Connection

from pipeline import secret_key
from pipeline.errors import WorkbenchError
from pipeline.ring import Ring
from pipeline.secrets import HOW
from pipeline.settings import Settings
from pipeline.store.edits import lock_edits
from pipeline.store.regions import list_regions
from pipeline.store.sealing import keys_in_use, reseal, seal_plain

Begin = Callable[[], AbstractContextManager[Connection]]


class Rotated(NamedTuple):
    """What a rotation did: the newest key's id, rows sealed anew, and which keys are still needed or were dropped."""

    key: str
    rows: int
    dropped: list[str]
    needed: list[str]
    missing: list[str]
    elsewhere: list[str]


class Status(NamedTuple):
    """The keys at hand, newest first, and under which key how many rows are; "" is for what is kept plain."""

    keys: list[str]
    rows: dict[str, int]
    missing: list[str]
    given: bool


def status(connection: Connection, settings: Settings) -> Status:
    """What is sealed with what. Errors: WorkbenchError where a key is unfit."""
    ring = secret_key.ring(settings)
    rows = keys_in_use(connection)
    return Status(list(ring.ids), dict(rows), _missing(rows, ring), settings.secret_key is not None)


def rotate(begin: Begin, settings: Settings) -> Rotated:
    """Seal everything with the newest key; where the keys are a file of ours, with a new one. Errors: WorkbenchError.

    The file is written under the edit lock, and an edit asks for its keys under it: none seals with a key that is gone.
    """
    given = settings.secret_key is not None
    ring = secret_key.ring(settings) if given else _with_a_new_key(begin, settings)
    if not ring:
        raise WorkbenchError(f"There is no secret key that could be rotated: {HOW}.")
    rows = seal_plain(begin, ring) + reseal(begin, ring)
    with begin() as connection:
        lock_edits(connection)
        rows += _stragglers(connection, ring)
        found = keys_in_use(connection)
        needed = [key for key in ring.ids[1:] if found[key]]
        old = [key for key in ring.ids[1:] if not found[key]]
        if not given and old:
            there = secret_key.ring(settings)  # perhaps somebody rotates as well
            kept = [key for key, name in zip(there.keys, there.ids, strict=True) if name not in old]
            secret_key.write(settings, kept)
        elsewhere = [region.key for region in list_regions(connection) if not region.managed]
    return Rotated(ring.ids[0], rows, old, needed, _missing(found, ring), elsewhere)


def _with_a_new_key(begin: Begin, settings: Settings) -> Ring:
    """A second key first: what is kept is opened by both. An interrupted rotation's is the one already."""
    with begin() as connection:
        lock_edits(connection)
        found = Ring(secret_key.ensure_all(settings))
        return found if len(found.ids) > 1 else secret_key.with_new_key(settings)


def _stragglers(connection: Connection, ring: Ring) -> int:
    """What was sealed with an old key since its batch went by: nobody edits any more, since we hold the lock."""
    from contextlib import nullcontext

    return reseal(lambda: nullcontext(connection), ring)


def _missing(rows: Counter[str], ring: Ring) -> list[str]:
    return sorted(key for key in rows if key and key not in ring.ids)
