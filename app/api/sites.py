"""`/sites`: list, add, read, change, remove, test now."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query
from pydantic import Discriminator, Tag

from app.api.database import ACTOR, Database, Keys, Now, reading, writing
from app.api.errors import MISSING
from app.api.models import SITE_CHANGES, ChecksOut, KeyInPath, Limit, SiteNew, SiteOut, Sites
from pipeline.declared import SiteIn, parse
from pipeline.errors import InvalidInputError, Problem
from pipeline.store import sites as store
from pipeline.store.listing import list_sites, named_sites
from pipeline.store.overview import Wanted
from pipeline.vocabulary import State

MOST_AT_ONCE = 1_000  # each is written singly, and the pusher waits for the last

router = APIRouter(prefix="/sites", tags=["sites"])
OneOrMany = Annotated[
    Annotated[SiteNew, Tag("one")] | Annotated[list[SiteNew], Tag("many")],
    Discriminator(lambda sent: "many" if isinstance(sent, list) else "one"),
    Body(description="a site, or a list of which all are added or none"),
]


@router.get("")
def find(
    database: Database,
    now: Now,
    search: Annotated[str, Query(max_length=200, description="words that occur in name, key or URL")] = "",
    tag: Annotated[list[str] | None, Query(max_length=20, description="all of these tags")] = None,
    state: Annotated[list[State] | None, Query(max_length=6, description="any of these states")] = None,
    sort: Literal["name", "attention", "slowest", "newest"] = "name",
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    limit: Limit = 100,
) -> Sites:
    """One page of sites, with the states that their regions agree on now."""
    wanted = Wanted(search, tuple(state or ()), tuple(tag or ()), sort, page, limit)
    with reading(database) as connection:
        found = list_sites(connection, wanted, now)
    more = page * limit < found.total
    return Sites(items=[SiteOut.of(site) for site in found.items], total=found.total, next=page + 1 if more else None)


@router.post("", status_code=201)
def add(database: Database, now: Now, ring: Keys, sent: OneOrMany) -> SiteOut | list[SiteOut]:
    """Add a site, or several at once. Their first checks go out within seconds."""
    many = sent if isinstance(sent, list) else [sent]
    if not 0 < len(many) <= MOST_AT_ONCE:
        raise InvalidInputError([Problem("sites", f"send 1 to {MOST_AT_ONCE:,} sites at once")])
    with writing(database) as connection:
        named = store.with_keys(connection, [site.model_dump() for site in many])
        new = [parse(SiteIn, fields) for fields in named]
        created = store.create_sites(connection, new, now=now, actor=ACTOR, ring=ring)
        added = [SiteOut.of(site) for site in named_sites(connection, [site.key for site in created], now)]
    return added if isinstance(sent, list) else added[0]


@router.get("/{key}", responses=MISSING)
def read(database: Database, now: Now, key: KeyInPath) -> SiteOut:
    """One site."""
    with reading(database) as connection:
        return SiteOut.of(named_sites(connection, [key], now)[0])


@router.patch("/{key}", responses=MISSING, openapi_extra=SITE_CHANGES)
def change(database: Database, now: Now, ring: Keys, key: KeyInPath, changes: dict[str, Any]) -> SiteOut:
    """Change the named fields. `paused` stops and resumes; what is probed differently is checked at once."""
    with writing(database) as connection:
        store.update_site(connection, key, changes, now=now, actor=ACTOR, ring=ring)
        return SiteOut.of(named_sites(connection, [key], now)[0])


@router.delete("/{key}", status_code=204, responses=MISSING)
def remove(database: Database, now: Now, key: KeyInPath) -> None:
    """End its checks. What was measured stays; the key is free again."""
    with writing(database) as connection:
        store.delete_sites(connection, [key], now=now, actor=ACTOR)


@router.post("/{key}/checks", status_code=202, responses=MISSING)
def check(database: Database, now: Now, key: KeyInPath) -> ChecksOut:
    """Check it now from each of its regions. These ticks are no part of uptime."""
    with writing(database) as connection:
        asked = store.request_check(connection, key, now=now, actor=ACTOR)
    if not asked:
        raise InvalidInputError([Problem("key", f"{key!r} is not being checked: resume it, or give it a region")])
    return ChecksOut(regions=asked)
