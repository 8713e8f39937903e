"""`/sites/{key}/ticks`, `/sites/{key}/snapshots` and `/rollups`: what was measured."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypedDict

import polars as pl
from fastapi import APIRouter, Depends, Query, Request, Response

from app.api.database import Database, Now, reading
from app.api.downloads import TYPES, Format, download, workbench
from app.api.errors import MISSING
from app.api.models import KeyInPath, Limit, RollupOut, Rollups, SnapshotOut, Snapshots, SpanOut, Spans, TickOut, Ticks
from pipeline.errors import InvalidInputError, Problem
from pipeline.moments import moment
from pipeline.store.explained import explained
from pipeline.store.newest import Place, newest_ticks
from pipeline.store.sites import get_site
from pipeline.store.snapshots import find

LOOK_BACK = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Bounds of the calendar that leave room to add and subtract in.
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
MOST_ROLLUPS = 10_000  # JSON rows in one answer, some 5 MB; a file has no such limit

router = APIRouter(tags=["measurements"])
Since = Annotated[
    str | None, Query(description="from then on: -7d, -90m, 2026-01-31 or 2026-01-31T12:00Z; a day before `until`")
]
Until = Annotated[str | None, Query(description="before then, written as `since`; now when left out")]
Regions = Annotated[list[str] | None, Query(max_length=100, description="only from these regions")]
FILES: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in TYPES.values()}}
}


class Page(TypedDict):
    """What a page holds: so many of a site's from `since` on and before a place, newest first."""

    since: datetime
    before: Place
    limit: int
    regions: list[str] | None


def _page(
    now: Now,
    since: Since = None,
    until: Until = None,
    region: Regions = None,
    cursor: Annotated[str | None, Query(max_length=100, description="`next` of the page before")] = None,
    limit: Limit = 100,
) -> Page:
    start, end = _span(now, since, until)
    return Page(since=start, before=_place(cursor) if cursor else Place(end), limit=limit, regions=region)


Wanted = Annotated[Page, Depends(_page)]


@router.get("/sites/{key}/ticks", response_model=Ticks, responses=MISSING | FILES)
def ticks(
    request: Request,
    database: Database,
    now: Now,
    key: KeyInPath,
    wanted: Wanted,
    format: Annotated[Format, Query(description="a file is whole and in no order; pages are newest first")] = "json",  # noqa: A002
) -> Ticks | Response:
    """Every attempt of every check, newest first; or all of the range as a file, with the columns of an export."""
    if format != "json" and {"limit", "cursor"} & set(request.query_params):
        raise InvalidInputError([Problem("format", "a file holds the whole range: leave `limit` and `cursor` out")])
    with reading(database) as connection:
        site = get_site(connection, key)
        page = newest_ticks(connection, site.id, **wanted)
    if format == "json":
        return Ticks(items=[TickOut(**row) for row in page.rows], next=page.end and _cursor(page.end))
    span = {"since": wanted["since"], "until": wanted["before"].at}  # without a cursor, the end
    regions = wanted["regions"]
    return download(database, "ticks", format, now=now, **span, sites=[key], regions=regions, name=f"ticks-{key}")


@router.get("/sites/{key}/snapshots", responses=MISSING)
def snapshots(database: Database, key: KeyInPath, wanted: Wanted) -> Snapshots:
    """What checks saw that failed, newest first: the way they went, the certificate, headers, 2 KB of the body.

    Kept for 30 days. Of failures that follow each other in the same way, the first has one, and then one every ten
    minutes; so a tick's is its own, or the newest before it.
    """
    with reading(database) as connection:
        site = get_site(connection, key)
        page = find(connection, site.id, **wanted)
    return Snapshots(items=[SnapshotOut.of(seen) for seen in page.items], next=page.end and _cursor(page.end))


@router.get("/rollups", response_model=Rollups, responses=MISSING | FILES)
def rollups(
    database: Database,
    now: Now,
    every: Annotated[Literal["1h", "1d"], Query(description="by hour or by UTC day")] = "1h",
    by: Annotated[
        list[Literal["site", "region"]] | None, Query(description="what rows are apart by; site and region")
    ] = None,
    since: Since = None,
    until: Until = None,
    site: Annotated[list[str] | None, Query(max_length=500, description="only of these sites")] = None,
    region: Regions = None,
    format: Annotated[Format, Query(description="a file is by hour, site and region")] = "json",  # noqa: A002
) -> Rollups | Response:
    """Counts, time by state and latency quantiles. What `by` does not name is merged, quantiles by their histograms."""
    start, end = _span(now, since, until)
    if format != "json":
        if every != "1h" or set(by or ["site", "region"]) != {"site", "region"}:
            raise InvalidInputError(
                [Problem("format", "files are by hour, site and region: leave `every` and `by` out")]
            )
        span = {"since": start, "until": end}
        return download(database, "rollups", format, now=now, **span, sites=site, regions=region, name="rollups")
    items: list[RollupOut] = []
    with explained(), workbench(database, now) as frames:
        for frame in frames.rollup_batches(every, by or ("site", "region"), start, end, site, region):
            if len(items) + frame.height > MOST_ROLLUPS:
                raise InvalidInputError(
                    [Problem("since", f"this is more than {MOST_ROLLUPS:,} rows: ask for less, by day, or for a file")]
                )
            plain = frame.drop("buckets", "counts").with_columns(pl.col(pl.Float32).cast(pl.Float64).round(3))
            items.extend(RollupOut(**row) for row in plain.to_dicts())
    return Rollups(items=items)


@router.get("/spans", response_model=Spans, responses=MISSING | FILES)
def spans(
    database: Database,
    now: Now,
    level: Annotated[
        Literal["region", "global"], Query(description="what each region saw, or the vote of a site's regions")
    ] = "global",
    since: Since = None,
    until: Until = None,
    site: Annotated[list[str] | None, Query(max_length=500, description="only of these sites")] = None,
    region: Regions = None,
    format: Annotated[Format, Query(description="a file has no limit of rows")] = "json",  # noqa: A002
) -> Spans | Response:
    """What held from when to when, unknown time and pauses included: what every uptime here is made of."""
    start, end = _span(now, since, until)
    if format != "json":
        what: Literal["spans", "verdicts"] = "spans" if level == "region" else "verdicts"
        span = {"since": start, "until": end}
        return download(database, what, format, now=now, **span, sites=site, regions=region, name=what)
    with explained(), workbench(database, now) as frames:
        found = frames.spans(site, start, end, region, level=level).head(MOST_ROLLUPS + 1).collect()
    if found.height > MOST_ROLLUPS:
        raise InvalidInputError([Problem("since", f"this is more than {MOST_ROLLUPS:,} rows: ask for less, or a file")])
    keys = [name for name in ("site", "region", "since") if name in found.columns]
    return Spans(items=[SpanOut(**row) for row in found.sort(keys).to_dicts()])


def _span(now: datetime, since: str | None, until: str | None) -> tuple[datetime, datetime]:
    end = now if until is None else _time(until, now, "until")
    return end - LOOK_BACK if since is None else _time(since, now, "since"), end


def _time(given: str, now: datetime, field: str) -> datetime:
    time = moment(given, now, field)
    if not FIRST <= time < LAST:
        raise InvalidInputError([Problem(field, f"name a time from {FIRST:%Y} on and before {LAST:%Y}")])
    return time


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
