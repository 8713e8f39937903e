"""Sites: add, edit, pause, remove. Removing is soft: history stays, the schedule ends."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, insert, select, update

from pipeline import secrets
from pipeline.declared import ExpectIn, SiteIn, parse
from pipeline.errors import InvalidInputError, NotFoundError, Problem
from pipeline.naming import suggest_key
from pipeline.ring import RingSource, no_keys
from pipeline.store import tables as t
from pipeline.store.edits import lock_edits, publish, record
from pipeline.store.regions import region_ids
from pipeline.vocabulary import Site


def get_site(connection: Connection, key: str) -> Site:
    """The site of that key. Errors: NotFoundError."""
    found = read_sites(connection, living_sites().where(t.sites.c.key == key))
    if not found:
        raise NotFoundError(f"there is no site {key!r}")
    return found[0]


def all_sites(connection: Connection) -> list[Site]:
    """Every site by key."""
    return read_sites(connection, living_sites().order_by(t.sites.c.key))


def create_sites(
    connection: Connection, sites: Sequence[SiteIn], *, now: datetime, actor: str, ring: RingSource = no_keys
) -> list[Site]:
    """Add sites, all or none; their first checks go out within seconds. Errors: InvalidInputError.

    A problem's field is that of the site, with `sites[i].` before it where several were sent. `ring` seals what is
    secret, and without its keys that is refused.
    """
    places = [""] if len(sites) == 1 else [f"sites[{position}]." for position in range(len(sites))]
    ids = add_sites(connection, sites, now=now, actor=actor, places=places, ring=ring)
    publish(connection, ids, now=now, actor=actor)
    return read_sites(connection, living_sites().where(t.sites.c.id.in_(ids)).order_by(t.sites.c.id))


def add_sites(
    connection: Connection,
    sites: Sequence[SiteIn],
    *,
    now: datetime,
    actor: str,
    places: Sequence[str],
    ring: RingSource = no_keys,
) -> list[int]:
    """Write new sites and return their ids, for whoever publishes several edits as one. Errors: InvalidInputError.

    `places` stand before the names of the fields that a problem is about.
    """
    lock_edits(connection)
    regions, problems = _regions_of(connection, sites, places)
    columns, flaws = _sealed(sites, places, ring)
    problems = _clashes(connection, columns, places) + problems + flaws
    if problems:
        raise InvalidInputError(problems)
    if not sites:
        return []
    statement = insert(t.sites).returning(t.sites.c.id, sort_by_parameter_order=True)
    rows = [{**row, "created_at": now, "updated_at": now} for row in columns]
    ids = list(connection.execute(statement, rows).scalars())
    for site_id, site, region_ids_ in zip(ids, sites, regions, strict=True):
        _link(connection, site_id, region_ids_)
        record(connection, actor=actor, action="site_created", subject=site.key, now=now)
    return ids


def create_site(connection: Connection, site: SiteIn, *, now: datetime, actor: str, ring: RingSource = no_keys) -> Site:
    """Add one site. Errors: InvalidInputError."""
    return create_sites(connection, [site], now=now, actor=actor, ring=ring)[0]


def update_site(
    connection: Connection,
    key: str,
    changes: dict[str, Any],
    *,
    now: datetime,
    actor: str,
    ring: RingSource = no_keys,
) -> Site:
    """Change the named fields; what is probed anew is checked at once. Errors: NotFoundError, InvalidInputError."""
    if changed := change_site(connection, key, changes, now=now, actor=actor, ring=ring):
        publish(connection, changed, now=now, actor=actor)
    return get_site(connection, key)


def change_site(
    connection: Connection,
    key: str,
    changes: dict[str, Any],
    *,
    now: datetime,
    actor: str,
    ring: RingSource = no_keys,
) -> list[int]:
    """Write a change and return the ids to publish, none where nothing changed. Errors as for `update_site`.

    A secret in the form in which `site_fields` shows it stays as it was.
    """
    lock_edits(connection)
    before = get_site(connection, key)
    if changes.get("key", key) != key:
        raise InvalidInputError([Problem("key", "a key stays as it is: links and exports are named by it")])
    after = parse(SiteIn, _shortened(site_fields(before), changes) | changes)
    was = _stored_fields(before)
    wanted, flaws = secrets.stored_fields(after.model_dump(), was, ring)
    if not flaws and wanted == was:
        return []
    regions, problems = _regions_of(connection, [after], [""])
    problems += [Problem(*flaw) for flaw in flaws]
    if _identity(wanted) != _identity(was):
        problems = _clashes(connection, [_columns(wanted)], [""], besides=before.id) + problems
    if problems:
        raise InvalidInputError(problems)
    connection.execute(update(t.sites).where(t.sites.c.id == before.id).values(**_columns(wanted), updated_at=now))
    connection.execute(delete(t.links).where(t.links.c.site_id == before.id))
    _link(connection, before.id, regions[0])
    seen = secrets.shown_fields(wanted)
    changed = {name: seen[name] for name in changes if name in seen}
    record(connection, actor=actor, action="site_changed", subject=key, now=now, changes=changed)
    return [before.id]


def _shortened(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """A shorter interval alone shortens the timeout with it."""
    interval_s = changes.get("interval_s")
    if isinstance(interval_s, int) and 0 < interval_s < fields["timeout_s"] and "timeout_s" not in changes:
        return fields | {"timeout_s": float(interval_s)}
    return fields


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
    # One that still waits is asked for already; without a pusher, pressing on would pile up checks for when it returns.
    waits = select(t.manual_checks.c.region_id).where(
        t.manual_checks.c.site_id == site.id, t.manual_checks.c.taken_at.is_(None)
    )
    new = set(regions) - set(connection.execute(waits).scalars())
    rows = [{"site_id": site.id, "region_id": region, "requested_at": now, "actor": actor} for region in sorted(new)]
    if rows:
        connection.execute(insert(t.manual_checks), rows)
    return len(regions)


def site_fields(site: Site) -> dict[str, Any]:
    """A site in the terms of its declaration, as it may be shown: `sealed:…` in the place of a secret."""
    return secrets.shown_fields(_stored_fields(site))


def _stored_fields(site: Site) -> dict[str, Any]:
    names = SiteIn.model_fields
    fields = {name: getattr(site, name) for name in names}
    return fields | {"expect": ExpectIn.model_validate(site.expect).model_dump()}


def taken_keys(connection: Connection) -> set[str]:
    return set(connection.execute(select(t.sites.c.key).where(t.sites.c.deleted_at.is_(None))).scalars())


def with_keys(connection: Connection, sites: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The fields of new sites, each with its key or, where that is empty, a free one that reads like its URL.

    Takes the edit lock, so that the keys are still free when the sites are created in the same transaction.
    """
    lock_edits(connection)
    taken = taken_keys(connection) | {str(site["key"]) for site in sites if site.get("key")}
    named = []
    for site in sites:
        key = site.get("key") or suggest_key(str(site["url"]), taken)
        taken.add(key)
        named.append({**site, "key": key})
    return named


def living_sites() -> Select[Any]:
    """Rows of the sites that were not removed."""
    return select(t.sites).where(t.sites.c.deleted_at.is_(None))


def read_sites(connection: Connection, query: Select[Any]) -> list[Site]:
    """The sites of a query over `living_sites`, in its order."""
    rows = connection.execute(query).mappings().all()
    named = [row["id"] for row in rows if not row["all_regions"]]
    links: dict[int, list[str]] = {site_id: [] for site_id in named}
    if named:
        joined = select(t.links.c.site_id, t.regions.c.key).join(t.regions, t.regions.c.id == t.links.c.region_id)
        for site_id, key in connection.execute(joined.where(t.links.c.site_id.in_(named)).order_by(t.regions.c.key)):
            links[site_id].append(key)
    return [_site(row, links.get(row["id"])) for row in rows]


def _site(row: RowMapping, regions: list[str] | None) -> Site:
    return Site(**{name: row[name] for name in Site.__struct_fields__ if name != "regions"}, regions=regions)


def _columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The row of a site's fields, whose secrets are sealed."""
    columns = {name: value for name, value in fields.items() if name != "regions"}
    return columns | {"all_regions": fields["regions"] is None}


def _sealed(
    sites: Sequence[SiteIn], places: Sequence[str], ring: RingSource
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """The rows of new sites, and the problems of those whose secrets cannot be kept."""
    rows, problems = [], []
    for site, place in zip(sites, places, strict=True):
        fields, flaws = secrets.stored_fields(site.model_dump(), {}, ring)
        rows.append(_columns(fields))
        problems += [Problem(f"{place}{flaw.field}", flaw.message) for flaw in flaws]
    return rows, problems


def _link(connection: Connection, site_id: int, regions: Sequence[int]) -> None:
    if regions:
        connection.execute(insert(t.links), [{"site_id": site_id, "region_id": region_id} for region_id in regions])


def _regions_of(
    connection: Connection, sites: Sequence[SiteIn], places: Sequence[str]
) -> tuple[list[list[int]], list[Problem]]:
    """Ids of the regions that each site names, and the problems of those that name unknown ones."""
    found: list[list[int]] = []
    problems: list[Problem] = []
    for site, place in zip(sites, places, strict=True):
        try:
            found.append(region_ids(connection, site.regions, f"{place}regions") if site.regions else [])
        except InvalidInputError as error:
            problems.extend(error.problems)
    return found, problems


def _identity(row: Mapping[str, Any] | RowMapping) -> tuple[Any, ...]:
    """What makes two sites the same check: a second one would only double the load. Secrets by their fingerprints."""
    seen = secrets.shown_fields({name: row[name] for name in ("headers", "body", "auth", "client_certificate")})
    sent = sorted(seen["headers"].items()), seen["body"], seen["auth"], seen["client_certificate"]
    return (row["url"], row["method"], *sent, ExpectIn.model_validate(row["expect"]).model_dump())


def _clashes(
    connection: Connection, sites: Sequence[Mapping[str, Any]], places: Sequence[str], besides: int | None = None
) -> list[Problem]:
    """Keys and checks that exist already, in the store or earlier in the same list."""
    urls, keys = [site["url"] for site in sites], [site["key"] for site in sites]
    query = living_sites().where(t.sites.c.url.in_(urls) | t.sites.c.key.in_(keys))
    rows = [row for row in connection.execute(query).mappings() if row["id"] != besides]
    taken = {row["key"] for row in rows}
    watched: dict[str, list[tuple[Any, str]]] = {}
    for row in rows:
        watched.setdefault(row["url"], []).append((_identity(row), row["key"]))
    problems = []
    for site, place in zip(sites, places, strict=True):
        if site["key"] in taken:
            problems.append(Problem(f"{place}key", f"there is a site {site['key']!r} already"))
        same_url, identity = watched.setdefault(site["url"], []), _identity(site)
        if same := _first(key for other, key in same_url if other == identity):
            message = f"this is watched already as {same!r}: change its settings, or expect something else here"
            problems.append(Problem(f"{place}url", message))
        taken.add(site["key"])
        same_url.append((identity, site["key"]))
    return problems


def _first(keys: Iterable[str]) -> str | None:
    return next(iter(keys), None)
