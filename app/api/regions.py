"""`/regions`: list, add, read, change, remove."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from app.api.database import ACTOR, Database, Keys, Now, reading, writing
from app.api.errors import MISSING
from app.api.models import REGION_CHANGES, KeyInPath, RegionOut, Regions
from pipeline.declared import RegionIn
from pipeline.store import regions as store

router = APIRouter(prefix="/regions", tags=["regions"])


@router.get("")
def find(database: Database) -> Regions:
    """All regions by key. There are few: they come on one page."""
    with reading(database) as connection:
        return Regions(items=[RegionOut.of(region) for region in store.list_regions(connection)])


@router.post("", status_code=201)
def add(database: Database, now: Now, ring: Keys, region: RegionIn) -> RegionOut:
    """Add a region. Sites that follow all regions are checked from it at once."""
    with writing(database) as connection:
        return RegionOut.of(store.create_region(connection, region, now=now, actor=ACTOR, ring=ring))


@router.get("/{key}", responses=MISSING)
def read(database: Database, key: KeyInPath) -> RegionOut:
    """One region."""
    with reading(database) as connection:
        return RegionOut.of(store.get_region(connection, key))


@router.patch("/{key}", responses=MISSING, openapi_extra=REGION_CHANGES)
def change(database: Database, now: Now, ring: Keys, key: KeyInPath, changes: dict[str, Any]) -> RegionOut:
    """Change the named fields."""
    with writing(database) as connection:
        return RegionOut.of(store.update_region(connection, key, changes, now=now, actor=ACTOR, ring=ring))


@router.delete("/{key}", status_code=204, responses=MISSING)
def remove(database: Database, now: Now, key: KeyInPath) -> None:
    """End the region. Refused while a site would be checked from nowhere; what was measured stays."""
    with writing(database) as connection:
        store.delete_region(connection, key, now=now, actor=ACTOR)
