"""Regions: add, edit, remove, list. Removing is soft: history stays, the schedule ends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from pipeline import secrets
from pipeline.declared import RegionIn, parse
from pipeline.errors import InvalidInputError, NotFoundError, Problem
from pipeline.ring import RingSource, no_keys
from pipeline.store import tables as t
from pipeline.store.edits import lock_edits, network_of, publish, record
from pipeline.vocabulary import Region

# Names that are true: both probe from where the workbench runs, and two of them make a quorum.
DEFAULT_REGIONS = (
    RegionIn(key="local-a", name="This machine, A"),
    RegionIn(key="local-b", name="This machine, B"),
)


def list_regions(connection: Connection, *, deleted: bool = False) -> list[Region]:
    """All regions by key; with `deleted` also those that were removed."""
    query = select(t.regions).order_by(t.regions.c.key, t.regions.c.id)
    if not deleted:
        query = query.where(t.regions.c.deleted_at.is_(None))
    return [_region(row) for row in connection.execute(query).mappings()]


def get_region(connection: Connection, key: str) -> Region:
    """The region of that key. Errors: NotFoundError."""
    query = select(t.regions).where(t.regions.c.key == key, t.regions.c.deleted_at.is_(None))
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFoundError(f"there is no region {key!r}; there are: {', '.join(_keys(connection)) or 'none yet'}")
    return _region(row)


def create_region(
    connection: Connection, region: RegionIn, *, now: datetime, actor: str, ring: RingSource = no_keys
) -> Region:
    """Add a region. Sites that follow all regions are checked from it at once. Errors: InvalidInputError."""
    publish(connection, add_region(connection, region, now=now, actor=actor, ring=ring), now=now, actor=actor)
    return get_region(connection, region.key)


def add_region(
    connection: Connection, region: RegionIn, *, now: datetime, actor: str, ring: RingSource = no_keys
) -> Sequence[int]:
    """Write a new region and return the ids of the sites to publish. Errors: InvalidInputError.

    `ring` seals user and password of its proxy, and without its keys these are refused.
    """
    lock_edits(connection)
    if region.key in _keys(connection):
        raise InvalidInputError([Problem("key", f"there is a region {region.key!r} already")])
    fields = _sealed(region, {}, ring)
    connection.execute(insert(t.regions).values(**_columns(fields), created_at=now, updated_at=now))
    record(connection, actor=actor, action="region_created", subject=region.key, now=now)
    return _followers(connection)


def update_region(
    connection: Connection,
    key: str,
    changes: dict[str, Any],
    *,
    now: datetime,
    actor: str,
    ring: RingSource = no_keys,
) -> Region:
    """Change the named fields. Errors: NotFoundError, InvalidInputError."""
    if changed := change_region(connection, key, changes, now=now, actor=actor, ring=ring):
        publish(connection, changed, now=now, actor=actor)
    return get_region(connection, key)


def change_region(
    connection: Connection,
    key: str,
    changes: dict[str, Any],
    *,
    now: datetime,
    actor: str,
    ring: RingSource = no_keys,
) -> Sequence[int] | None:
    """Write a change and return the ids of the sites to publish, None where it is none. Errors as for `update_region`.

    A secret in the form in which `region_fields` shows it stays as it was.
    """
    lock_edits(connection)
    before = get_region(connection, key)
    if changes.get("key", key) != key:
        raise InvalidInputError([Problem("key", "a key stays as it is: exports and streams are named by it")])
    after = parse(RegionIn, region_fields(before) | changes)
    was = _stored_fields(before)
    wanted = _sealed(after, was, ring)
    if wanted == was:
        return None
    statement = update(t.regions).where(t.regions.c.id == before.id)
    # Who could sign in before a region came here must not be able to once it is elsewhere again.
    access = before.access + (after.managed != before.managed)
    connection.execute(statement.values(**_columns(wanted), access=access, updated_at=now))
    seen = secrets.shown_fields(wanted)
    changed = {name: seen[name] for name in changes if name in seen}
    record(connection, actor=actor, action="region_changed", subject=key, now=now, changes=changed)
    return _watched_from(connection, before.id)


def rotate_access(connection: Connection, key: str, *, now: datetime, actor: str) -> Region:
    """Make what the region's probers elsewhere sign in with useless, in favour of a new one. Errors: NotFoundError."""
    lock_edits(connection)
    region = get_region(connection, key)
    next_one = {"access": region.access + 1}
    connection.execute(update(t.regions).where(t.regions.c.id == region.id).values(**next_one, updated_at=now))
    record(connection, actor=actor, action="region_access_rotated", subject=key, now=now, **next_one)
    return get_region(connection, key)


def delete_region(connection: Connection, key: str, *, now: datetime, actor: str) -> None:
    """End the region: its slots, streams and prober go, its history stays. Errors: NotFoundError, InvalidInputError."""
    lock_edits(connection)
    region = get_region(connection, key)
    if only := _sites_only_in(connection, region.id):
        raise _nowhere(only, "give them another region first")
    if len(_keys(connection)) == 1 and (only := _unpaused_followers(connection)):
        raise _nowhere(only, "add another region first, or pause them")
    watched = _watched_from(connection, region.id)
    connection.execute(
        update(t.regions).where(t.regions.c.id == region.id).values(deleted_at=now, updated_at=now),
    )
    connection.execute(delete(t.links).where(t.links.c.region_id == region.id))
    record(connection, actor=actor, action="region_deleted", subject=key, now=now)
    publish(connection, watched, now=now, actor=actor)


def seed_regions(connection: Connection, *, now: datetime) -> list[Region]:
    """On a database that never had a region, two that probe from this machine."""
    lock_edits(connection)
    if list_regions(connection, deleted=True):
        return []
    return [create_region(connection, region, now=now, actor="setup") for region in DEFAULT_REGIONS]


def region_ids(connection: Connection, keys: Collection[str], field: str = "regions") -> list[int]:
    """Ids of the named regions. Errors: InvalidInputError naming those that do not exist."""
    rows = connection.execute(
        select(t.regions.c.key, t.regions.c.id).where(t.regions.c.key.in_(keys), t.regions.c.deleted_at.is_(None)),
    )
    found: dict[str, int] = {row.key: row.id for row in rows}
    if unknown := sorted(set(keys) - set(found)):
        there_are = ", ".join(_keys(connection)) or "none yet"
        message = f"there is no region {', '.join(map(repr, unknown))}; there are: {there_are}"
        raise InvalidInputError([Problem(field, message)])
    return [found[key] for key in keys]


def region_fields(region: Region) -> dict[str, Any]:
    """A region in the terms of its declaration, as it may be shown: `sealed:…` in the place of a secret."""
    return secrets.shown_fields(_stored_fields(region))


def _stored_fields(region: Region) -> dict[str, Any]:
    return {
        "key": region.key,
        "name": region.name,
        "managed": region.managed,
        "source_address": region.network.source_address,
        "proxy": region.network.proxy,
        "resolvers": list(region.network.resolvers),
        "references": list(region.network.references),
        "min_probers": region.min_probers,
        "max_probers": region.max_probers,
    }


def _sealed(region: RegionIn, before: dict[str, Any], ring: RingSource) -> dict[str, Any]:
    """The fields as they are stored. Errors: InvalidInputError where a secret cannot be kept."""
    fields, flaws = secrets.stored_fields(region.model_dump(), before, ring)
    if flaws:
        raise InvalidInputError([Problem(*flaw) for flaw in flaws])
    return fields


def _columns(fields: dict[str, Any]) -> dict[str, Any]:
    columns = dict(fields)
    return columns | {"reference_targets": columns.pop("references")}  # the word is SQL's own


def _region(row: RowMapping) -> Region:
    plain = ("deleted_at", "created_at", "min_probers", "max_probers", "access")
    return Region(
        row["id"], row["key"], row["name"], row["managed"], network_of(row), **{name: row[name] for name in plain}
    )


def _keys(connection: Connection) -> Sequence[str]:
    query = select(t.regions.c.key).where(t.regions.c.deleted_at.is_(None)).order_by(t.regions.c.key)
    return connection.execute(query).scalars().all()


def _followers(connection: Connection) -> Sequence[int]:
    query = select(t.sites.c.id).where(t.sites.c.all_regions, t.sites.c.deleted_at.is_(None))
    return connection.execute(query).scalars().all()


def _watched_from(connection: Connection, region_id: int) -> Sequence[int]:
    query = select(t.series.c.site_id).where(t.series.c.region_id == region_id)
    return connection.execute(query).scalars().all()


def count_unpaused(connection: Connection) -> int:
    """How many sites are to be checked, from wherever."""
    query = select(func.count()).where(~t.sites.c.paused, t.sites.c.deleted_at.is_(None))
    return connection.execute(query).scalar_one()


def _nowhere(sites: Sequence[str], instead: str) -> InvalidInputError:
    names = ", ".join(sites[:5]) + (" and others" if len(sites) > 5 else "")
    return InvalidInputError([Problem("key", f"{names} would be checked from nowhere: {instead}")])


def _unpaused_followers(connection: Connection) -> Sequence[str]:
    """Keys of the sites that are checked from wherever there is a region."""
    query = (
        select(t.sites.c.key)
        .where(t.sites.c.all_regions, ~t.sites.c.paused, t.sites.c.deleted_at.is_(None))
        .order_by(t.sites.c.key)
        .limit(6)
    )
    return connection.execute(query).scalars().all()


def _sites_only_in(connection: Connection, region_id: int) -> Sequence[str]:
    """Keys of the sites that name this region and no other."""
    others = select(t.links.c.site_id).where(t.links.c.region_id != region_id)
    query = (
        select(t.sites.c.key)
        .join(t.links, t.links.c.site_id == t.sites.c.id)
        .where(t.links.c.region_id == region_id, t.sites.c.deleted_at.is_(None), t.sites.c.id.not_in(others))
        .order_by(t.sites.c.key)
    )
    return connection.execute(query).scalars().all()
