"""Checks and ticks as stream entries: one field that names the version, one packed value.

Structs travel as arrays (see pipeline.vocabulary): appending a field with a default keeps the version.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from pipeline.vocabulary import Check, Tick

VERSION = b"1"
FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)  # of the calendar

_encoder = msgspec.msgpack.Encoder()
_checks = msgspec.msgpack.Decoder(Check)
_ticks = msgspec.msgpack.Decoder(Tick)
_anything: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder()

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
    """The tick with its times in UTC, whatever zone they came in: a day is a day of UTC. Errors: UnreadableError."""
    try:
        tick = _unpack(_ticks, entry)
    except UnreadableError:
        bare = _without_snapshot(entry)
        if bare is None:
            raise
        tick = _unpack(_ticks, bare)
    times = (tick.scheduled_at, tick.started_at, tick.expires_at)
    for at in times:
        if at is not None and at.tzinfo is not UTC:
            _refuse_naive(*times)
            scheduled_at, started_at, expires_at = (None if at is None else _utc(at) for at in times)
            assert scheduled_at is not None
            return structs.replace(tick, scheduled_at=scheduled_at, started_at=started_at, expires_at=expires_at)
    return tick


def _without_snapshot(entry: Mapping[bytes, bytes]) -> Entry | None:
    """The entry of a tick without what was seen, which is not worth the tick; None where there is no such part."""
    try:
        fields = _unpack(_anything, entry)
    except UnreadableError:
        return None
    place = Tick.__struct_fields__.index("snapshot")
    if not isinstance(fields, list) or len(fields) <= place or fields[place] is None:
        return None
    return {VERSION: _encoder.encode([*fields[:place], None, *fields[place + 1 :]])}


def _utc(at: datetime) -> datetime:
    """A zone may carry a time over an end of the calendar; it then is that end."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        return LAST if at.year > 1 else FIRST


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
