"""Bring the store to what a file declares: named things are created or changed, the rest is left alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from typing import TypeVar

from msgspec import Struct
from sqlalchemy import Connection

from pipeline.declared import Declared, RegionIn, SiteIn
from pipeline.declared_file import read_declared, read_lines, with_lines
from pipeline.errors import InvalidInputError, Problem, UnavailableError
from pipeline.misfits import MisfitError
from pipeline.ring import RingSource, no_keys
from pipeline.store.edits import lock_edits, publish
from pipeline.store.regions import add_region, change_region, list_regions, region_fields
from pipeline.store.sites import add_sites, all_sites, change_site, site_fields

E = TypeVar("E", RegionIn, SiteIn)


class Applied(Struct, frozen=True):
    """Keys by what happened to them."""

    created: list[str]
    changed: list[str]
    unchanged: list[str]


def apply_file(
    source: bytes,
    begin: Callable[[], AbstractContextManager[Connection]],
    *,
    now: datetime,
    actor: str,
    ring: RingSource = no_keys,
) -> Applied:
    """Apply a file's text in a transaction that `begin` opens.

    Errors: InvalidInputError with all that is wrong in the file, by line: its form, and what only the store knows.
    """
    try:
        try:
            declared = read_declared(source)
        except InvalidInputError as error:
            more = _also_wrong(error, begin, now=now, actor=actor, ring=ring)
            raise InvalidInputError([*error.problems, *more]) from None
        with begin() as connection:
            return apply(connection, declared, now=now, actor=actor, ring=ring)
    except InvalidInputError as error:
        found = with_lines(error, read_lines(source)).problems
        raise InvalidInputError(sorted(found, key=lambda problem: problem.line or 0)) from None


def _also_wrong(
    refused: InvalidInputError,
    begin: Callable[[], AbstractContextManager[Connection]],
    *,
    now: datetime,
    actor: str,
    ring: RingSource,
) -> list[Problem]:
    """Of a file that is refused already, what the store finds in those entries that fit: they are applied on trial."""
    misfit = refused.__context__  # `read_declared` raises anew, with lines
    if not isinstance(misfit, MisfitError):
        return []
    regions, sites = misfit.fitting("regions", RegionIn), misfit.fitting("sites", SiteIn)
    if not regions and not sites:
        return []
    absent = misfit.keys("regions") - {region.key for region in regions.values()}  # known, only not as they are
    for place, site in sites.items():
        named = site.regions and [key for key in site.regions if key not in absent]
        sites[place] = site.model_copy(update={"regions": named or None})
    problems: list[Problem] = []
    try:
        with begin() as connection:
            _bring(connection, regions, sites, problems, now=now, actor=actor, ring=ring)
            raise InvalidInputError(problems)  # noqa: TRY301 - whatever was found, it rolls back
    except InvalidInputError as error:
        return error.problems
    except UnavailableError:
        return []


def apply(
    connection: Connection, declared: Declared, *, now: datetime, actor: str, ring: RingSource = no_keys
) -> Applied:
    """All of it or, on InvalidInputError, nothing (the caller's transaction rolls back).

    Everything is published as one edit at the end: the pusher waits from then on only, and the rows that the
    recorder locks too are locked in its order.
    """
    regions = {f"regions[{position}].": region for position, region in enumerate(declared.regions)}
    sites = {f"sites[{position}].": site for position, site in enumerate(declared.sites)}
    problems: list[Problem] = []
    result, touched = _bring(connection, regions, sites, problems, now=now, actor=actor, ring=ring)
    if problems:
        raise InvalidInputError(problems)
    if touched:
        publish(connection, sorted(touched), now=now, actor=actor)
    return result


def _bring(
    connection: Connection,
    regions: Mapping[str, RegionIn],
    sites: Mapping[str, SiteIn],
    problems: list[Problem],
    *,
    now: datetime,
    actor: str,
    ring: RingSource,
) -> tuple[Applied, set[int]]:
    """Write entries, by their places in the file; what happened to them, and the ids of the sites to publish."""
    regions, sites = _once(regions, problems), _once(sites, problems)
    lock_edits(connection)
    result, touched = Applied([], [], []), set[int]()
    _apply_regions(connection, regions, result, touched, problems, now=now, actor=actor, ring=ring)
    _apply_sites(connection, sites, result, touched, problems, now=now, actor=actor, ring=ring)
    return result, touched


def _apply_regions(
    connection: Connection,
    regions: Mapping[str, RegionIn],
    result: Applied,
    touched: set[int],
    problems: list[Problem],
    *,
    now: datetime,
    actor: str,
    ring: RingSource,
) -> None:
    present = {region.key: region_fields(region) for region in list_regions(connection)}
    for place, region in regions.items():
        with _collected(problems, place):
            if region.key not in present:
                touched.update(add_region(connection, region, now=now, actor=actor, ring=ring))
                result.created.append(region.key)
            elif region.model_dump() == present[region.key]:
                result.unchanged.append(region.key)
            else:
                fields = region.model_dump()
                changed = change_region(connection, region.key, fields, now=now, actor=actor, ring=ring)
                # A secret that is written out shows only now that it is the same.
                (result.unchanged if changed is None else result.changed).append(region.key)
                touched.update(changed or ())


def _apply_sites(
    connection: Connection,
    sites: Mapping[str, SiteIn],
    result: Applied,
    touched: set[int],
    problems: list[Problem],
    *,
    now: datetime,
    actor: str,
    ring: RingSource,
) -> None:
    present = {site.key: site_fields(site) for site in all_sites(connection)}
    new: dict[str, SiteIn] = {}
    for place, site in sites.items():
        if site.key not in present:
            new[place] = site
        elif site.model_dump() == present[site.key]:
            result.unchanged.append(site.key)
        else:
            with _collected(problems, place):
                changed = change_site(connection, site.key, site.model_dump(), now=now, actor=actor, ring=ring)
                (result.changed if changed else result.unchanged).append(site.key)
                touched.update(changed)
    with _collected(problems):
        touched.update(add_sites(connection, list(new.values()), now=now, actor=actor, places=list(new), ring=ring))
        result.created.extend(site.key for site in new.values())


@contextmanager
def _collected(problems: list[Problem], place: str = "") -> Iterator[None]:
    """Go on after bad input, so that the next try has all of it in view."""
    try:
        yield
    except InvalidInputError as error:
        problems.extend(Problem(f"{place}{problem.field}", problem.message) for problem in error.problems)


def _once(entries: Mapping[str, E], problems: list[Problem]) -> dict[str, E]:
    """The first entry of each key; the others are problems."""
    found: dict[str, E] = {}
    seen: set[str] = set()
    for place, entry in entries.items():
        if entry.key in seen:
            problems.append(Problem(f"{place}key", f"{entry.key!r} is named twice in this file"))
        else:
            seen.add(entry.key)
            found[place] = entry
    return found
