"""Is the workbench itself well? Judged from signs of life, without a clock or a store of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct

from pipeline.vocabulary import Region

FRESH = timedelta(seconds=10)  # every role gives a sign of life each second or two
STARTING = timedelta(seconds=10)  # a new region's prober gives its first within three
LOOK_BACK = timedelta(hours=1)  # how far to look for a last sign, so that the message can tell how long ago it was

OLD_TABLES = "of another version than this code: start it with `betterstack up`, which migrates them"


class Seen(Protocol):
    """A worker's sign of life."""

    @property
    def role(self) -> str: ...
    @property
    def region_id(self) -> int | None: ...
    @property
    def seen_at(self) -> datetime: ...


class Part(Struct, frozen=True):
    """One thing that has to work; `message` says what is wrong and what to do, or that all is well."""

    name: str
    ok: bool
    message: str


class Health(Struct, frozen=True):
    ok: bool
    parts: list[Part]


def health(
    now: datetime,
    pusher_beat: datetime | None,
    workers: Collection[Seen],
    regions: Iterable[Region],
    migrated: bool,
) -> Health:
    """Well is: tables of this version, fresh signs of pusher, recorder, roller and each managed region's prober."""
    if not migrated:
        return of([Part("tables", ok=False, message=OLD_TABLES)])
    parts = [Part("tables", ok=True, message="of this version"), _judged(now, "pusher", pusher_beat)]
    parts += [_judged(now, role, _last(workers, role)) for role in ("recorder", "roller")]
    # Regions that are not managed are somebody else's to run: what they miss shows as unknown, not here.
    managed = [region for region in regions if region.managed]
    parts += [_prober(now, region, _last(workers, "prober", region.id)) for region in managed]
    return of(parts)


def unreachable(message: str) -> Health:
    """Without Postgres nothing else can be known."""
    return of([Part("postgres", ok=False, message=message)])


def of(parts: Sequence[Part]) -> Health:
    return Health(all(part.ok for part in parts), list(parts))


def _last(workers: Iterable[Seen], role: str, region_id: int | None = None) -> datetime | None:
    """The newest sign of that role, in that region where one is named."""
    seen = (w.seen_at for w in workers if w.role == role and (region_id is None or w.region_id == region_id))
    return max(seen, default=None)


def _prober(now: datetime, region: Region, seen_at: datetime | None) -> Part:
    """A new region's prober is given the time to start: nobody should be woken by an edit."""
    name = f"prober {region.key}"
    if seen_at is None and region.created_at is not None and now - region.created_at <= STARTING:
        return Part(name, ok=True, message="starting")
    return _judged(now, name, seen_at)


def _judged(now: datetime, name: str, seen_at: datetime | None) -> Part:
    if seen_at is not None and now - seen_at <= FRESH:
        return Part(name, ok=True, message="alive")
    said = "no sign of life" if seen_at is None else f"no sign of life for {(now - seen_at).total_seconds():.0f} s"
    return Part(name, ok=False, message=f"{said}: see its log, or restart with `betterstack up`")
