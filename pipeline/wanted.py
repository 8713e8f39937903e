"""What somebody asks to read: a window of time, some sites, some regions, by the keys that people use. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta
from difflib import get_close_matches

import msgspec
import polars as pl
from msgspec import Struct

from pipeline.calendar import day_of
from pipeline.errors import InvalidInputError, NotFoundError, Problem
from pipeline.frames import KEY
from pipeline.moments import Moment, moment


class Wanted(Struct, frozen=True):
    """Which rows: a time window, and numbers of sites and regions, None for all."""

    since: datetime
    until: datetime
    site_ids: Collection[int] | None = None
    region_ids: Collection[int] | None = None


class Names(Struct, frozen=True):
    """Keys by number, of all sites and regions that ever were."""

    sites: Mapping[int, str]
    regions: Mapping[int, str]

    def site(self) -> pl.Expr:
        return _keys("site", self.sites)

    def region(self) -> pl.Expr:
        return _keys("region", self.regions)


def _keys(name: str, keys: Mapping[int, str]) -> pl.Expr:
    words = pl.col(f"{name}_id").replace_strict(list(keys), list(keys.values()), return_dtype=pl.String, default=None)
    return words.cast(KEY).alias(name)


def wanted(
    names: Names,
    now: datetime,
    *,
    sites: Collection[str] | None,
    regions: Collection[str] | None,
    start: Moment,
    end: Moment | None,
) -> Wanted:
    """The rows of [start, end) by the names that are known.

    Errors: NotFoundError with the nearest names, InvalidInputError.
    """
    since, until = moment(start, now, "start"), now if end is None else moment(end, now, "end")
    if end is not None and until < since:
        raise InvalidInputError([Problem("end", f"this range ends ({end}) before it begins ({start})")])
    return Wanted(
        since=since,
        until=until,
        site_ids=None if sites is None else _numbers("site", sites, names.sites),
        region_ids=None if regions is None else _numbers("region", regions, names.regions),
    )


def steps(asked: Wanted, step: timedelta) -> Iterator[Wanted]:
    """The window in pieces that end where UTC days do, so that each asks one partition; `step` is whole days."""
    since = asked.since
    while since < asked.until:
        until = min(asked.until, day_of(since) + step)
        yield msgspec.structs.replace(asked, since=since, until=until)
        since = until


def _numbers(kind: str, keys: Collection[str], known: Mapping[int, str]) -> list[int]:
    asked = [keys] if isinstance(keys, str) else list(keys)
    existing = set(known.values())
    for key in asked:
        if key not in existing:
            near = get_close_matches(key, existing, n=3) or sorted(existing)[:5]
            hint = f"; did you mean {', '.join(near)}?" if near else f"; there is no {kind} yet"
            raise NotFoundError(f"there is no {kind} {key!r}{hint}")
    return [number for number, key in known.items() if key in asked]
