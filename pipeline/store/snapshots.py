"""What failures saw, out of Postgres: page by page, newest first, or the one that belongs to a tick."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, RowMapping, func, select

from pipeline.snapshots import from_plain
from pipeline.store import tables as t
from pipeline.store.newest import Place, page_query, read_page
from pipeline.vocabulary import OUTCOME_CODES, STATE_OF, Outcome, Snapshot, State
from pipeline.wanted import Wanted

OUTCOMES = list(Outcome)
_PAGE = page_query(
    "snapshots", "scheduled_at, attempt, outcome, seen", "cast(:outcome as smallint) is null or outcome = :outcome"
)


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
    code = None if outcome is None else OUTCOME_CODES[outcome]
    rows, end = read_page(
        connection, _PAGE, site_id, since=since, before=before, limit=limit, regions=regions, outcome=code
    )
    return Sightings([_sighting(row) for row in rows], end)


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
