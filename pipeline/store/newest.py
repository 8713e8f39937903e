"""A site's ticks page by page, newest first, for programs that follow along or look back.

And the page itself, for what else is kept by the key of a tick (`pipeline.store.snapshots`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, RowMapping, TextClause, text

from pipeline.store.regions import region_ids
from pipeline.vocabulary import STATE_OF, Clock, Kind, Outcome, Source

OUTCOMES, KINDS, CLOCKS, SOURCES = list(Outcome), list(Kind), list(Clock), list(Source)
PLAIN = (
    "scheduled_at, started_at, attempt, final, trusted, status, dns_ms, connect_ms, tls_ms, ttfb_ms, transfer_ms, "
    "latency_ms, error_ms, ip, bytes, interval_s, prober, revision, detail"
)


def page_query(table: str, columns: str, condition: str = "true") -> TextClause:
    """The query of `read_page`. `columns` have scheduled_at and attempt among them.

    Each region's newest by its part of the primary key, then the newest of those: no sort of all that there is.
    """
    return text(f"""
        select r.key as region, r.id as region_id, k.* from regions r cross join lateral (
            select {columns} from {table}
            where site_id = :site_id and region_id = r.id and scheduled_at >= :since and scheduled_at <= :at
                and (scheduled_at, region_id, attempt) < (:at, :region_id, :attempt) and ({condition})
            order by scheduled_at desc, attempt desc limit :limit
        ) k
        where cast(:regions as int[]) is null or r.id = any(:regions)
        order by k.scheduled_at desc, r.id desc, k.attempt desc limit :limit
    """)  # noqa: S608 - all three are constants of ours


_PAGE = page_query("ticks", f"{PLAIN}, outcome, kind, clock, source")


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
    rows, end = read_page(connection, _PAGE, site_id, since=since, before=before, limit=limit, regions=regions)
    return TickPage([_row(row) for row in rows], end)


def read_page(
    connection: Connection,
    query: TextClause,
    site_id: int,
    *,
    since: datetime,
    before: Place,
    limit: int,
    regions: Collection[str] | None,
    **more: object,
) -> tuple[Sequence[RowMapping], Place | None]:
    """Up to `limit` rows of a `page_query`, whose condition is given `more`, and where the page ends unless it is last.

    Errors: InvalidInputError where a region is none.
    """
    chosen = region_ids(connection, regions, "region") if regions else None
    place = {"at": before.at, "region_id": before.region_id, "attempt": before.attempt}
    given = {"site_id": site_id, "since": since, "limit": limit + 1, "regions": chosen, **place, **more}
    found = connection.execute(query, given).mappings().all()
    end = None
    if len(found) > limit:
        last = found[limit - 1]
        end = Place(last["scheduled_at"], last["region_id"], last["attempt"])
    return found[:limit], end


def _row(row: Any) -> dict[str, Any]:
    outcome = OUTCOMES[row["outcome"]]
    words = {"kind": KINDS[row["kind"]], "clock": CLOCKS[row["clock"]], "source": SOURCES[row["source"]]}
    return {**row, **words, "outcome": outcome, "state": STATE_OF[outcome]}
