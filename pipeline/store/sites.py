"""Sites: add, edit, pause, remove. Removing is soft: history stays, the schedule ends."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import Connection, RowMapping, Select, delete, insert, select, update

from pipeline.declared import ExpectIn, SiteIn, parse
from pipeline.errors import InvalidInputError, NotFoundError, Problem
from pipeline.store import tables as t
from pipeline.store.edits import lock_edits, publish, record
from pipeline.store.regions import region_ids
from pipeline.vocabulary import Site


def get_site(connection: Connection, key: str) -> Site:
    """The site of that key. Errors: NotFoundError."""
    found = _read(connection, _living().where(t.sites.c.key == key))
    if not found:
        raise NotFoundError(f"there is no site {key!r}")
    return found[0]


def all_sites(connection: Connection) -> list[Site]:
    """Every site by key."""
    return _read(connection, _living().order_by(t.sites.c.key))


def create_sites(connection: Connection, sites: Sequence[SiteIn], *, now: datetime, actor: str) -> list[Site]:
    """Add sites, all or none; their first checks go out within seconds. Errors: InvalidInputError.

    A problem's field is that of the site, with `sites[i].` before it where several were sent.
    """
    lock_edits(connection)
    problems = _clashes(connection, sites)
    if problems:
        raise InvalidInputError(problems)
    ids = []
    for position, site in enumerate(sites):
        statement = insert(t.sites).values(**_columns(site), created_at=now, updated_at=now)
        site_id = connection.execute(statement.returning(t.sites.c.id)).scalar_one()
        _link(connection, site_id, site.regions, field=_field(sites, position, "regions"))
        record(connection, actor=actor, action="site_created", subject=site.key, now=now)
        ids.append(site_id)
    publish(connection, ids, now=now, actor=actor)
    return _read(connection, _living().where(t.sites.c.id.in_(ids)).order_by(t.sites.c.id))


def create_site(connection: Connection, site: SiteIn, *, now: datetime, actor: str) -> Site:
    """Add one site. Errors: InvalidInputError."""
    return create_sites(connection, [site], now=now, actor=actor)[0]


def update_site(connection: Connection, key: str, changes: dict[str, Any], *, now: datetime, actor: str) -> Site:
    """Change the named fields; what is probed anew is checked at once. Errors: NotFoundError, InvalidInputError."""
    lock_edits(connection)
    before = get_site(connection, key)
    if changes.get("key", key) != key:
        raise InvalidInputError([Problem("key", "a key stays as it is: links and exports are named by it")])
    fields = site_fields(before)
    if "interval_s" in changes and "timeout_s" not in changes:
        fields["timeout_s"] = min(fields["timeout_s"], changes["interval_s"] or 0) or None
    after = parse(SiteIn, fields | changes)
    if after.model_dump() == site_fields(before):
        return before
    if after.url != before.url and (problems := _clashes(connection, [after], besides=before.id)):
        raise InvalidInputError(problems)
    connection.execute(update(t.sites).where(t.sites.c.id == before.id).values(**_columns(after), updated_at=now))
    connection.execute(delete(t.links).where(t.links.c.site_id == before.id))
    _link(connection, before.id, after.regions, field="regions")
    record(connection, actor=actor, action="site_changed", subject=key, now=now, changes=changes)
    publish(connection, [before.id], now=now, actor=actor)
    return get_site(connection, key)


def delete_sites(connection: Connection, keys: Collection[str], *, now: datetime, actor: str) -> None:
    """End the sites: no further check, history stays. Errors: NotFoundError."""
    lock_edits(connection)
    ids = [get_site(connection, key).id for key in keys]
    connection.execute(update(t.sites).where(t.sites.c.id.in_(ids)).values(deleted_at=now, updated_at=now))
    for key in keys:
        record(connection, actor=actor, action="site_deleted", subject=key, now=now)
    publish(connection, ids, now=now, actor=actor)


def pause_sites(connection: Connection, keys: Collection[str], *, paused: bool, now: datetime, actor: str) -> None:
    """Stop or resume checking. Errors: NotFoundError."""
    lock_edits(connection)
    ids = [get_site(connection, key).id for key in keys]
    connection.execute(update(t.sites).where(t.sites.c.id.in_(ids)).values(paused=paused, updated_at=now))
    for key in keys:
        record(connection, actor=actor, action="site_paused" if paused else "site_resumed", subject=key, now=now)
    publish(connection, ids, now=now, actor=actor)


def request_check(connection: Connection, key: str, *, now: datetime, actor: str) -> int:
    """Ask for one check from each of the site's regions now; returns how many. Errors: NotFoundError."""
    site = get_site(connection, key)
    regions = connection.execute(select(t.series.c.region_id).where(t.series.c.site_id == site.id)).scalars().all()
    rows = [{"site_id": site.id, "region_id": region, "requested_at": now, "actor": actor} for region in regions]
    if rows:
        connection.execute(insert(t.manual_checks), rows)
    return len(rows)


def site_fields(site: Site) -> dict[str, Any]:
    """A site in the terms of its declaration."""
    names = SiteIn.model_fields
    fields = {name: getattr(site, name) for name in names}
    return fields | {"expect": ExpectIn.model_validate(site.expect).model_dump()}


def suggest_key(url: str, taken: Collection[str]) -> str:
    """A free key that reads like the URL: its host and path, numbered where that is taken."""
    parts = urlsplit(url)
    words = (
        re.sub(r"[^a-z0-9]+", "-", f"{parts.hostname or url} {parts.path}".lower()).strip("-")[:56].strip("-") or "site"
    )
    candidates = [words] + [f"{words}-{number}" for number in range(2, len(taken) + 3)]
    return next(key for key in candidates if key not in taken)


def taken_keys(connection: Connection) -> set[str]:
    return set(connection.execute(select(t.sites.c.key).where(t.sites.c.deleted_at.is_(None))).scalars())


def _living() -> Select[Any]:
    return select(t.sites).where(t.sites.c.deleted_at.is_(None))


def _read(connection: Connection, query: Select[Any]) -> list[Site]:
    rows = connection.execute(query).mappings().all()
    named = [row["id"] for row in rows if not row["all_regions"]]
    links: dict[int, list[str]] = {site_id: [] for site_id in named}
    if named:
        joined = select(t.links.c.site_id, t.regions.c.key).join(t.regions, t.regions.c.id == t.links.c.region_id)
        for site_id, key in connection.execute(joined.where(t.links.c.site_id.in_(named)).order_by(t.regions.c.key)):
            links[site_id].append(key)
    return [_site(row, links.get(row["id"])) for row in rows]


def _site(row: RowMapping, regions: list[str] | None) -> Site:
    plain = ("id", "key", "name", "url", "interval_s", "timeout_s", "confirmations", "spacing_s", "method", "headers")
    late = ("expect", "max_redirects", "tags", "paused", "created_at", "updated_at")
    return Site(**{name: row[name] for name in (*plain, *late)}, regions=regions)


def _columns(site: SiteIn) -> dict[str, Any]:
    columns = site.model_dump(exclude={"regions"})
    return columns | {"all_regions": site.regions is None}


def _link(connection: Connection, site_id: int, regions: Sequence[str] | None, *, field: str) -> None:
    if regions:
        ids = region_ids(connection, regions, field)
        connection.execute(insert(t.links), [{"site_id": site_id, "region_id": region_id} for region_id in ids])


def _field(sites: Sequence[SiteIn], position: int, name: str) -> str:
    return name if len(sites) == 1 else f"sites[{position}].{name}"


def _identity(site: SiteIn | RowMapping) -> tuple[Any, ...]:
    """What makes two sites the same check: a second one would only double the load."""
    row = _columns(site) if isinstance(site, SiteIn) else site
    return (row["url"], row["method"], sorted(row["headers"].items()), row["expect"]["status"])


def _clashes(connection: Connection, sites: Sequence[SiteIn], besides: int | None = None) -> list[Problem]:
    """Keys and checks that exist already, in the store or earlier in the same list."""
    urls, keys = [site.url for site in sites], [site.key for site in sites]
    query = _living().where(t.sites.c.url.in_(urls) | t.sites.c.key.in_(keys))
    rows = [row for row in connection.execute(query).mappings() if row["id"] != besides]
    taken = {row["key"] for row in rows}
    watched = [(_identity(row), str(row["key"])) for row in rows]
    problems = []
    for position, site in enumerate(sites):
        if site.key in taken:
            problems.append(Problem(_field(sites, position, "key"), f"there is a site {site.key!r} already"))
        if same := _first(key for identity, key in watched if identity == _identity(site)):
            message = f"this is watched already as {same!r}: change its settings, or expect something else here"
            problems.append(Problem(_field(sites, position, "url"), message))
        taken.add(site.key)
        watched.append((_identity(site), site.key))
    return problems


def _first(keys: Iterable[str]) -> str | None:
    return next(iter(keys), None)
