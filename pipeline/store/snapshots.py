"""What failures saw, out of Postgres: page by page, newest first, or the one that belongs to a tick."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, RowMapping, func, select, text

from pipeline.snapshots import from_plain
from pipeline.store import tables as t
from pipeline.store.newest import Place
from pipeline.store.regions import region_ids
from pipeline.store.scans import Wanted
from pipeline.vocabulary import OUTCOME_CODES, STATE_OF, Outcome, Snapshot, State

OUTCOMES = list(Outcome)

# As the pages of ticks: each region's newest by its part of the primary key, then the newest of those.
_PAGE = text("""
    select r.key as region, r.id as region_id, k.* from regions r cross join lateral (
        select scheduled_at, attempt, outcome, seen from snapshots
        where site_id = :site_id and region_id = r.id and scheduled_at >= :since and scheduled_at <= :at
            and (scheduled_at, region_id, attempt) < (:at, :region_id, :attempt)
            and (cast(:outcome as smallint) is null or outcome = :outcome)
        order by scheduled_at desc, attempt desc limit :limit
    ) k
    where cast(:regions as int[]) is null or r.id = any(:regions)
    order by k.scheduled_at desc, r.id desc, k.attempt desc limit :limit
""")


class Sighting(Struct, frozen=True):
    """What one attempt saw. `region` is the region's key."""

    scheduled_at: datetime
    region: str
    attempt: int
    outcome: Outcome
    snapshot: Snapshot

    @property
    def state(self) -> State:
        return STATE_OF[self.outcome]


class Sightings(Struct, frozen=True):
    """Snapshots, newest first; `end` is None on the last page."""

    items: list[Sighting]
    end: Place | None


def find(
    connection: Connection,
    site_id: int,
    *,
    since: datetime,
    before: Place,
    limit: int,
    regions: Collection[str] | None = None,
    outcome: Outcome | None = None,
) -> Sightings:
    """Up to `limit` snapshots of a site in [since, before). Errors: InvalidInputError where a region is none."""
    chosen = region_ids(connection, regions, "region") if regions else None
    code = None if outcome is None else OUTCOME_CODES[outcome]
    place = {"at": before.at, "region_id": before.region_id, "attempt": before.attempt}
    given = {"site_id": site_id, "since": since, "limit": limit + 1, "regions": chosen, "outcome": code, **place}
    found = connection.execute(_PAGE, given).mappings().all()
    end = None
    if len(found) > limit:
        last = found[limit - 1]
        end = Place(last["scheduled_at"], last["region_id"], last["attempt"])
    return Sightings([_sighting(row) for row in found[:limit]], end)


def snapshot_rows(connection: Connection, wanted: Wanted) -> list[dict[str, Any]]:
    """Rows for frame SNAPSHOTS, in their order; sites and regions by their numbers."""
    columns = t.snapshots.c
    query = select(t.snapshots).where(columns.scheduled_at >= wanted.since, columns.scheduled_at < wanted.until)
    if wanted.site_ids is not None:
        query = query.where(columns.site_id.in_(wanted.site_ids))
    if wanted.region_ids is not None:
        query = query.where(columns.region_id.in_(wanted.region_ids))
    query = query.order_by(columns.scheduled_at, columns.site_id, columns.region_id, columns.attempt)
    return [_flat(row) for row in connection.execute(query).mappings()]


def certificate_ends(connection: Connection) -> dict[int, datetime]:
    """When the certificates of sites end, by site: the earliest that a region was shown last."""
    columns = t.series.c
    query = select(columns.site_id, func.min(columns.expires_at)).where(columns.expires_at.is_not(None))
    return {row[0]: row[1] for row in connection.execute(query.group_by(columns.site_id))}


def _flat(row: RowMapping) -> dict[str, Any]:
    seen = from_plain(row["seen"])
    certificate = seen.certificate
    return {
        **{name: row[name] for name in ("scheduled_at", "site_id", "region_id", "attempt")},
        "outcome": OUTCOMES[row["outcome"]].value,
        "phase": seen.phase,
        "problems": list(seen.problems),
        "urls": [hop.url for hop in seen.hops],
        "ips": [hop.ip for hop in seen.hops],
        "statuses": [hop.status for hop in seen.hops],
        "tls": seen.tls,
        "certificate_subject": certificate and certificate.subject,
        "certificate_issuer": certificate and certificate.issuer,
        "certificate_names": certificate and list(certificate.names),
        "certificate_starts_at": certificate and certificate.not_before,
        "certificate_expires_at": certificate and certificate.not_after,
        "certificate_sha256": certificate and certificate.sha256,
        "status_line": seen.status_line,
        "header_names": [name for name, _ in seen.headers],
        "header_values": [value for _, value in seen.headers],
        "body": seen.body,
    }


def _sighting(row: RowMapping) -> Sighting:
    return Sighting(
        row["scheduled_at"], row["region"], row["attempt"], OUTCOMES[row["outcome"]], from_plain(row["seen"])
    )
