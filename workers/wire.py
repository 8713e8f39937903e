"""Checks and ticks as stream entries: one field that names the version, one packed value.

Structs travel as arrays (see pipeline.vocabulary): appending a field with a default keeps the version.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from pipeline.vocabulary import Check, Tick

VERSION = b"1"

_encoder = msgspec.msgpack.Encoder()
_checks = msgspec.msgpack.Decoder(Check)
_ticks = msgspec.msgpack.Decoder(Tick)

Entry = dict[bytes, bytes]


class UnreadableError(ValueError):
    """An entry that this version cannot read."""


def pack(item: Check | Tick) -> Entry:
    return {VERSION: _encoder.encode(item)}


def unpack_check(entry: Mapping[bytes, bytes]) -> Check:
    """Errors: UnreadableError."""
    check = _unpack(_checks, entry)
    _refuse_naive(check.scheduled_at, check.not_before)
    return check


def unpack_tick(entry: Mapping[bytes, bytes]) -> Tick:
    """Errors: UnreadableError."""
    tick = _unpack(_ticks, entry)
    _refuse_naive(tick.scheduled_at, tick.started_at)
    return tick


def _refuse_naive(*times: datetime | None) -> None:
    if any(at is not None and at.tzinfo is None for at in times):
        raise UnreadableError("a time without its zone")


T = TypeVar("T")


def _unpack(decoder: msgspec.msgpack.Decoder[T], entry: Mapping[bytes, bytes]) -> T:
    try:
        return decoder.decode(entry[VERSION])
    except KeyError:
        raise UnreadableError(f"the entry is of another version: {sorted(entry)}") from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError) as error:
        raise UnreadableError(str(error)) from error
