"""Edits: InvalidInputError names the fields, and nothing is changed then."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from app import outbound
from app.data.connections import (
    database,
    engine,
    forget,
    reading,
    utc_now,
    writing,
)
from pipeline.declared import Declared, RegionIn, SiteIn, parse
from pipeline.declared_objectives import ObjectiveIn
from pipeline.naming import suggest_key
from pipeline.objectives import Objective
from pipeline.ring import Ring
from pipeline.secret_key import ring_where_ours
from pipeline.settings import Settings
from pipeline.sitemaps import Sitemap
from pipeline.store import (
    demo,
    overview,
    regions,
    sites,
)
from pipeline.store import objectives as promises
from pipeline.store.apply import apply
from pipeline.store.edits import lock_edits
from pipeline.store.explained import explained
from pipeline.understood import Understood
from pipeline.vocabulary import Region, Site

ACTOR = "app"  # until there is sign-in


def _ring() -> Ring:
    """The secret keys as they are now: a rotation may have ended since the last edit."""
    return ring_where_ours(Settings())


def add_sites(wanted: Sequence[SiteIn]) -> list[Site]:
    """Add sites, all or none."""
    with writing() as connection:
        return sites.create_sites(connection, wanted, now=utc_now(), actor=ACTOR, ring=_ring)


def add_site(fields: dict[str, Any]) -> Site:
    """Add one site; without a key it gets one that reads like its URL."""
    if not fields.get("key") and fields.get("url"):
        with reading() as connection:
            fields = fields | {"key": suggest_key(fields["url"], sites.taken_keys(connection))}
    return add_sites([parse(SiteIn, fields)])[0]


def add_understood(understood: Understood) -> list[str]:
    """Add what was pasted, all of it or nothing, regions of a declared file first; returns the keys of the sites."""
    if not understood.regions:
        return [site.key for site in add_sites(understood.sites)]
    with writing() as connection:
        declared = Declared(regions=understood.regions, sites=understood.sites)
        apply(connection, declared, now=utc_now(), actor=ACTOR, ring=_ring)
    return [site.key for site in understood.sites]


def read_sitemap(url: str) -> Sitemap:
    """The pages of somebody's sitemap, by the address rule in force. Errors: InvalidInputError."""
    return outbound.sitemap(url, Settings().targets)


def change_site(key: str, fields: dict[str, Any], check: Callable[[Site], None] | None = None) -> Site:
    """Change the named fields. `check` sees the site as it is before, and no other edit comes between the two."""
    with writing() as connection:
        lock_edits(connection)
        if check is not None:
            check(sites.get_site(connection, key))
        return sites.update_site(connection, key, fields, now=utc_now(), actor=ACTOR, ring=_ring)


def pause(keys: Collection[str], *, paused: bool) -> None:
    with writing() as connection:
        sites.pause_sites(connection, keys, paused=paused, now=utc_now(), actor=ACTOR)


def delete(keys: Collection[str]) -> None:
    with writing() as connection:
        sites.delete_sites(connection, keys, now=utc_now(), actor=ACTOR)


def remove_demo() -> int:
    """Take the demo out; returns how many sites it had."""
    with explained():
        sites_gone = demo.purge(engine(database(), read_only=False), now=utc_now())
    forget()
    return sites_gone


def test_now(key: str) -> int:
    """Ask for one check from each region; returns how many were asked for."""
    with writing() as connection:
        return sites.request_check(connection, key, now=utc_now(), actor=ACTOR)


def known(urls: Collection[str]) -> tuple[dict[str, str], set[str]]:
    """Which of these URLs are watched already, by their site's key; and every key that is taken."""
    with reading() as connection:
        return overview.watched(connection, urls), sites.taken_keys(connection)


def add_region(fields: dict[str, Any]) -> Region:
    with writing() as connection:
        return regions.create_region(connection, parse(RegionIn, fields), now=utc_now(), actor=ACTOR, ring=_ring)


def change_region(key: str, fields: dict[str, Any], check: Callable[[Region], None] | None = None) -> Region:
    """The same for a region."""
    with writing() as connection:
        lock_edits(connection)
        if check is not None:
            check(regions.get_region(connection, key))
        return regions.update_region(connection, key, fields, now=utc_now(), actor=ACTOR, ring=_ring)


def delete_region(key: str) -> None:
    with writing() as connection:
        regions.delete_region(connection, key, now=utc_now(), actor=ACTOR)


def add_objective(fields: dict[str, Any]) -> Objective:
    with writing() as connection:
        return promises.create_objective(connection, parse(ObjectiveIn, fields), now=utc_now(), actor=ACTOR)


def change_objective(key: str, fields: dict[str, Any], check: Callable[[Objective], None] | None = None) -> Objective:
    """The same for an objective."""
    with writing() as connection:
        lock_edits(connection)
        if check is not None:
            check(promises.get_objective(connection, key))
        return promises.update_objective(connection, key, fields, now=utc_now(), actor=ACTOR)


def delete_objective(key: str) -> None:
    with writing() as connection:
        promises.delete_objective(connection, key, now=utc_now(), actor=ACTOR)
