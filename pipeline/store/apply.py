"""Bring the store to what a file declares: named things are created or changed, the rest is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection

from pipeline.declared import Declared
from pipeline.errors import InvalidInputError, NotFoundError, Problem
from pipeline.store.regions import create_region, get_region, region_fields, update_region
from pipeline.store.sites import all_sites, create_sites, site_fields, update_site


class Applied(Struct, frozen=True):
    """Keys by what happened to them."""

    created: list[str]
    changed: list[str]
    unchanged: list[str]


def apply(connection: Connection, declared: Declared, *, now: datetime, actor: str) -> Applied:
    """All of it or, on InvalidInputError, nothing (the caller's transaction rolls back)."""
    _refuse_repeats(declared)
    result = Applied([], [], [])
    for region in declared.regions:
        fields = region.model_dump()
        try:
            before = region_fields(get_region(connection, region.key))
        except NotFoundError:
            create_region(connection, region, now=now, actor=actor)
            result.created.append(region.key)
        else:
            _note(result, region.key, before, fields)
            update_region(connection, region.key, fields, now=now, actor=actor)
    present = {site.key: site_fields(site) for site in all_sites(connection)}
    for site in declared.sites:
        if site.key in present:
            _note(result, site.key, present[site.key], site.model_dump())
            update_site(connection, site.key, site.model_dump(), now=now, actor=actor)
    new = [site for site in declared.sites if site.key not in present]
    if new:
        create_sites(connection, new, now=now, actor=actor)
        result.created.extend(site.key for site in new)
    return result


def _note(result: Applied, key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    (result.unchanged if before == after else result.changed).append(key)


def _refuse_repeats(declared: Declared) -> None:
    problems = []
    for kind, keys in (("regions", [r.key for r in declared.regions]), ("sites", [s.key for s in declared.sites])):
        for position, key in enumerate(keys):
            if key in keys[:position]:
                problems.append(Problem(f"{kind}[{position}].key", f"{key!r} is named twice in this file"))
    if problems:
        raise InvalidInputError(problems)
