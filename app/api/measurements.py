"""`/sites/{key}/ticks` and `/rollups`: what was measured."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field

from app.api.database import Database, Now, reading
from app.api.errors import MISSING
from app.api.models import KeyInPath, Limit, TickOut, Ticks
from pipeline.errors import InvalidInputError, Problem
from pipeline.store.newest import Place, newest_ticks
from pipeline.store.sites import get_site

LOOK_BACK = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

router = APIRouter(tags=["measurements"])
# Bounds of the calendar that leave room to add and subtract in.
Time = Annotated[AwareDatetime, Field(ge=datetime(2000, 1, 1, tzinfo=UTC), lt=datetime(2200, 1, 1, tzinfo=UTC))]
Since = Annotated[Time | None, Query(description="from then on, such as 2026-01-31T00:00:00Z; a day back")]
Until = Annotated[Time | None, Query(description="before then; now when left out")]
Regions = Annotated[list[str] | None, Query(max_length=100, description="only from these regions")]


@router.get("/sites/{key}/ticks", responses=MISSING)
def ticks(
    database: Database,
    now: Now,
    key: KeyInPath,
    since: Since = None,
    until: Until = None,
    region: Regions = None,
    cursor: Annotated[str | None, Query(max_length=100, description="`next` of the page before")] = None,
    limit: Limit = 100,
) -> Ticks:
    """Every attempt of every check, newest first."""
    before = _place(cursor) if cursor else Place(until or now)
    start = since or (until or now) - LOOK_BACK
    with reading(database) as connection:
        site = get_site(connection, key)
        page = newest_ticks(connection, site.id, since=start, before=before, limit=limit, regions=region)
    return Ticks(items=[TickOut(**row) for row in page.rows], next=page.end and _cursor(page.end))


def _cursor(place: Place) -> str:
    """Opaque, so that nobody builds on it."""
    text = f"{(place.at - EPOCH) // timedelta(microseconds=1)}.{place.region_id}.{place.attempt}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place(cursor: str) -> Place:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        at_us, region_id, attempt = (int(part) for part in text.split("."))
        return Place(EPOCH + timedelta(microseconds=at_us), min(region_id, 2**31 - 1), min(attempt, 2**15 - 1))
    except (binascii.Error, ValueError, OverflowError):
        raise InvalidInputError([Problem("cursor", "pass `next` on as it was")]) from None
