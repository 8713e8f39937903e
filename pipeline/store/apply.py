"""Bring the store to what a file declares: named things are created or changed, the rest is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection

from pipeline.declared import Declared, RegionIn, SiteIn
from pipeline.errors import InvalidInputError, Problem
from pipeline.store.edits import lock_edits, publish
from pipeline.store.regions import add_region, change_region, list_regions, region_fields
from pipeline.store.sites import add_sites, all_sites, change_site, site_fields


class Applied(Struct, frozen=True):
    """Keys by what happened to them."""

    created: list[str]
    changed: list[str]
    unchanged: list[str]


def apply(connection: Connection, declared: Declared, *, now: datetime, actor: str) -> Applied:
    """All of it or, on InvalidInputError, nothing (the caller's transaction rolls back).

    Everything is published as one edit at the end: the pusher waits from then on only, and the rows that the
    recorder locks too are locked in its order.
    """
    problems = _repeats(declared)
    if problems:
        raise InvalidInputError(problems)
    lock_edits(connection)
    result, touched = Applied([], [], []), set[int]()
    _apply_regions(connection, declared.regions, result, touched, problems, now=now, actor=actor)
    _apply_sites(connection, declared.sites, result, touched, problems, now=now, actor=actor)
    if problems:
        raise InvalidInputError(problems)
    if touched:
        publish(connection, sorted(touched), now=now, actor=actor)
    return result


def _apply_regions(
    connection: Connection,
    regions: list[RegionIn],
    result: Applied,
    touched: set[int],
    problems: list[Problem],
    *,
    now: datetime,
    actor: str,
) -> None:
    present = {region.key: region_fields(region) for region in list_regions(connection)}
    for position, region in enumerate(regions):
        with _collected(problems, f"regions[{position}]."):
            if region.key not in present:
                touched.update(add_region(connection, region, now=now, actor=actor))
                result.created.append(region.key)
            elif region.model_dump() == present[region.key]:
                result.unchanged.append(region.key)
            else:
                touched.update(change_region(connection, region.key, region.model_dump(), now=now, actor=actor))
                result.changed.append(region.key)


def _apply_sites(
    connection: Connection,
    sites: list[SiteIn],
    result: Applied,
    touched: set[int],
    problems: list[Problem],
    *,
    now: datetime,
    actor: str,
) -> None:
    present = {site.key: site_fields(site) for site in all_sites(connection)}
    new: dict[str, SiteIn] = {}
    for position, site in enumerate(sites):
        place = f"sites[{position}]."
        if site.key not in present:
            new[place] = site
        elif site.model_dump() == present[site.key]:
            result.unchanged.append(site.key)
        else:
            with _collected(problems, place):
                touched.update(change_site(connection, site.key, site.model_dump(), now=now, actor=actor))
                result.changed.append(site.key)
    with _collected(problems):
        touched.update(add_sites(connection, list(new.values()), now=now, actor=actor, places=list(new)))
        result.created.extend(site.key for site in new.values())


@contextmanager
def _collected(problems: list[Problem], place: str = "") -> Iterator[None]:
    """Go on after bad input, so that the next try has all of it in view."""
    try:
        yield
    except InvalidInputError as error:
        problems.extend(Problem(f"{place}{problem.field}", problem.message) for problem in error.problems)


def _repeats(declared: Declared) -> list[Problem]:
    problems = []
    for kind, keys in (("regions", [r.key for r in declared.regions]), ("sites", [s.key for s in declared.sites])):
        seen: set[str] = set()
        for position, key in enumerate(keys):
            if key in seen:
                problems.append(Problem(f"{kind}[{position}].key", f"{key!r} is named twice in this file"))
            seen.add(key)
    return problems
