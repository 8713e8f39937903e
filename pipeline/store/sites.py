"""Sites: add, edit, pause, remove. Removing is soft: history stays, the schedule ends."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, delete, insert, select, update

from pipeline.declared import ExpectIn, SiteIn, parse
from pipeline.errors import InvalidInputError, NotFoundError, Problem
from pipeline.naming import suggest_key
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


def create_sites(connection: Connection, sites: Sequence[SiteIn], *, now: datetime, actor: str) -> list[Site]:
    """Add sites, all or none; their first checks go out within seconds. Errors: InvalidInputError.

    A problem's field is that of the site, with `sites[i].` before it where several were sent.
    """
    places = [""] if len(sites) == 1 else [f"sites[{position}]." for position in range(len(sites))]
    ids = add_sites(connection, sites, now=now, actor=actor, places=places)
    publish(connection, ids, now=now, actor=actor)
    return read_sites(connection, living_sites().where(t.sites.c.id.in_(ids)).order_by(t.sites.c.id))


def add_sites(
    connection: Connection, sites: Sequence[SiteIn], *, now: datetime, actor: str, places: Sequence[str]
) -> list[int]:
    """Write new sites and return their ids, for whoever publishes several edits as one. Errors: InvalidInputError.

    `places` stand before the names of the fields that a problem is about.
    """
    lock_edits(connection)
    regions, problems = _regions_of(connection, sites, places)
    problems = _clashes(connection, sites, places) + problems
    if problems:
        raise InvalidInputError(problems)
    if not sites:
        return []
    statement = insert(t.sites).returning(t.sites.c.id, sort_by_parameter_order=True)
    rows = [{**_columns(site), "created_at": now, "updated_at": now} for site in sites]
    ids = list(connection.execute(statement, rows).scalars())
    for site_id, site, region_ids_ in zip(ids, sites, regions, strict=True):
        _link(connection, site_id, region_ids_)
        record(connection, actor=actor, action="site_created", subject=site.key, now=now)
    return ids


def create_site(connection: Connection, site: SiteIn, *, now: datetime, actor: str) -> Site:
    """Add one site. Errors: InvalidInputError."""
    return create_sites(connection, [site], now=now, actor=actor)[0]


def update_site(connection: Connection, key: str, changes: dict[str, Any], *, now: datetime, actor: str) -> Site:
    """Change the named fields; what is probed anew is checked at once. Errors: NotFoundError, InvalidInputError."""
    if changed := change_site(connection, key, changes, now=now, actor=actor):
        publish(connection, changed, now=now, actor=actor)
    return get_site(connection, key)


def change_site(connection: Connection, key: str, changes: dict[str, Any], *, now: datetime, actor: str) -> list[int]:
    """Write a change and return the ids to publish, none where nothing changed. Errors as for `update_site`."""
    lock_edits(connection)
    before = get_site(connection, key)
    if changes.get("key", key) != key:
        raise InvalidInputError([Problem("key", "a key stays as it is: links and exports are named by it")])
    after = parse(SiteIn, _shortened(site_fields(before), changes) | changes)
    if after.model_dump() == site_fields(before):
        return []
    regions, problems = _regions_of(connection, [after], [""])
    if _identity(after) != _identity(before):
        problems = _clashes(connection, [after], [""], besides=before.id) + problems
    if problems:
        raise InvalidInputError(problems)
    connection.execute(update(t.sites).where(t.sites.c.id == before.id).values(**_columns(after), updated_at=now))
    connection.execute(delete(t.links).where(t.links.c.site_id == before.id))
    _link(connection, before.id, regions[0])
    record(connection, actor=actor, action="site_changed", subject=key, now=now, changes=changes)
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
    """A site in the terms of its declaration."""
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
    plain = ("id", "key", "name", "url", "interval_s", "timeout_s", "confirmations", "spacing_s", "method", "headers")
    late = ("expect", "max_redirects", "tags", "paused", "created_at", "updated_at", "body", "auth",
            "client_certificate", "verify_tls", "family")  # fmt: skip
    return Site(**{name: row[name] for name in (*plain, *late)}, regions=regions)


def _columns(site: SiteIn) -> dict[str, Any]:
    columns = site.model_dump(exclude={"regions"})
    return columns | {"all_regions": site.regions is None}


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


def _identity(site: SiteIn | Site | RowMapping) -> tuple[Any, ...]:
    """What makes two sites the same check: a second one would only double the load."""
    if isinstance(site, Site):
        row: Mapping[str, Any] | RowMapping = site_fields(site)
    else:
        row = _columns(site) if isinstance(site, SiteIn) else site
    return (row["url"], row["method"], sorted(row["headers"].items()), row["expect"]["status"])


def _clashes(
    connection: Connection, sites: Sequence[SiteIn], places: Sequence[str], besides: int | None = None
) -> list[Problem]:
    """Keys and checks that exist already, in the store or earlier in the same list."""
    urls, keys = [site.url for site in sites], [site.key for site in sites]
    query = living_sites().where(t.sites.c.url.in_(urls) | t.sites.c.key.in_(keys))
    rows = [row for row in connection.execute(query).mappings() if row["id"] != besides]
    taken = {row["key"] for row in rows}
    watched: dict[str, list[tuple[Any, str]]] = {}
    for row in rows:
        watched.setdefault(row["url"], []).append((_identity(row), row["key"]))
    problems = []
    for site, place in zip(sites, places, strict=True):
        if site.key in taken:
            problems.append(Problem(f"{place}key", f"there is a site {site.key!r} already"))
        same_url = watched.setdefault(site.url, [])
        if same := _first(key for identity, key in same_url if identity == _identity(site)):
            message = f"this is watched already as {same!r}: change its settings, or expect something else here"
            problems.append(Problem(f"{place}url", message))
        taken.add(site.key)
        same_url.append((_identity(site), site.key))
    return problems


def _first(keys: Iterable[str]) -> str | None:
    return next(iter(keys), None)
