"""A site's ticks page by page, newest first, for programs that follow along or look back."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, text

from pipeline.store.regions import region_ids
from pipeline.vocabulary import STATE_OF, Clock, Kind, Outcome, Source

OUTCOMES, KINDS, CLOCKS, SOURCES = list(Outcome), list(Kind), list(Clock), list(Source)
PLAIN = (
    "scheduled_at, started_at, attempt, final, trusted, status, dns_ms, connect_ms, tls_ms, ttfb_ms, transfer_ms, "
    "latency_ms, error_ms, ip, bytes, interval_s, prober, revision, detail"
)
# Each region's newest by its part of the primary key, then the newest of those: no sort of all that there is.
_PAGE = text(f"""
    select r.key as region, r.id as region_id, k.* from regions r cross join lateral (
        select {PLAIN}, outcome, kind, clock, source from ticks
        where site_id = :site_id and region_id = r.id and scheduled_at >= :since and scheduled_at <= :at
            and (scheduled_at, region_id, attempt) < (:at, :region_id, :attempt)
        order by scheduled_at desc, attempt desc limit :limit
    ) k
    where cast(:regions as int[]) is null or r.id = any(:regions)
    order by k.scheduled_at desc, r.id desc, k.attempt desc limit :limit
""")  # noqa: S608 - the columns are a constant of ours


class Place(Struct, frozen=True):
    """Where a page ended. Ticks before it come next: older, or as old and of a region or attempt before."""

    at: datetime
    region_id: int = 0
    attempt: int = 0


class TickPage(Struct, frozen=True):
    """Ticks as plain rows, named as in `pipeline.frames.TICKS`; `end` is None on the last page."""

    rows: list[dict[str, Any]]
    end: Place | None


def newest_ticks(
    connection: Connection,
    site_id: int,
    *,
    since: datetime,
    before: Place,
    limit: int,
    regions: Collection[str] | None = None,
) -> TickPage:
    """Up to `limit` ticks of a site in [since, before), every kind and attempt. Errors: InvalidInputError."""
    chosen = region_ids(connection, regions, "region") if regions else None
    place = {"at": before.at, "region_id": before.region_id, "attempt": before.attempt}
    given = {"site_id": site_id, "since": since, "limit": limit + 1, "regions": chosen, **place}
    found = connection.execute(_PAGE, given).mappings().all()
    end = None
    if len(found) > limit:
        last = found[limit - 1]
        end = Place(last["scheduled_at"], last["region_id"], last["attempt"])
    return TickPage([_row(row) for row in found[:limit]], end)


def _row(row: Any) -> dict[str, Any]:
    outcome = OUTCOMES[row["outcome"]]
    words = {"kind": KINDS[row["kind"]], "clock": CLOCKS[row["clock"]], "source": SOURCES[row["source"]]}
    return {**row, **words, "outcome": outcome, "state": STATE_OF[outcome]}
