"""The pusher's side of the store: revisions as the schedule reads them, and how far they were pushed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row

from pipeline.vocabulary import Network, Region, Revision, Spec

PUSHER_LOCK = 0x70757368  # "push": whoever holds it leads

_COLUMNS = "id, site_id, region_id, effective_at, active, interval_s, spec, network"


def _in_force(of: str) -> str:
    """For each series the revision in force at a time, and all that take effect later."""
    return f"""
        with old as (
            select distinct on (site_id, region_id) {_COLUMNS} from revisions
            where {of} and effective_at <= %(at)s order by site_id, region_id, effective_at desc, id desc
        )
        select {_COLUMNS} from old where active
        union all
        select {_COLUMNS} from revisions where {of} and effective_at > %(at)s
        order by id
    """  # noqa: S608 - all of it is constants of ours


_NEWER = f"select {_COLUMNS} from revisions where id > %(id)s order by id"  # noqa: S608
_BETWEEN = f"select {_COLUMNS} from revisions where effective_at < %(until)s and site_id = any(%(sites)s) order by id"  # noqa: S608

_TAKE = f"""
    with taken as (
        update manual_checks set taken_at = %(now)s where taken_at is null
        returning id, site_id, region_id, requested_at
    )
    select taken.id as request, taken.requested_at, r.* from taken, lateral (
        select {_COLUMNS} from revisions
        where site_id = taken.site_id and region_id = taken.region_id order by id desc limit 1
    ) r where r.active
"""  # noqa: S608


class Manual(msgspec.Struct, frozen=True):
    """A "test now" that waits for the pusher, with the revision to take the spec from."""

    id: int
    requested_at: datetime
    revision: Revision


def try_to_lead(connection: psycopg.Connection, leader: str) -> int | None:
    """Become the leader if nobody is: the epoch, or None. The session holds the lock until it ends."""
    with connection.transaction():
        row = connection.execute("select pg_try_advisory_lock(%s)", [PUSHER_LOCK]).fetchone()
        if row is None or not row[0]:
            return None
        raised = connection.execute("update pusher set epoch = epoch + 1, leader = %s returning epoch", [leader])
        epoch = raised.fetchone()
        assert epoch is not None
        return int(epoch[0])


def hold_schedule(connection: psycopg.Connection, epoch: int) -> tuple[bool, datetime | None]:
    """Lock the pusher's row until the transaction ends; (are we still the leader, how far was pushed)."""
    row = connection.execute("select epoch, pushed_until from pusher for update").fetchone()
    assert row is not None
    return row[0] == epoch, row[1]


def note_pushed(connection: psycopg.Connection, pushed_until: datetime, beat_at: datetime) -> None:
    connection.execute("update pusher set pushed_until = %s, beat_at = %s", [pushed_until, beat_at])


def revisions_in_force(connection: psycopg.Connection, at: datetime) -> list[Revision]:
    """What a new leader has to know to go on from `at`."""
    return _revisions(connection, _in_force("true"), {"at": at})


def revisions_there(connection: psycopg.Connection, region_id: int, at: datetime) -> list[Revision]:
    """The same for one region."""
    return _revisions(connection, _in_force("region_id = %(region)s"), {"at": at, "region": region_id})


def revisions_after(connection: psycopg.Connection, revision_id: int) -> list[Revision]:
    """Edits since the last look, in the order of their commits."""
    return _revisions(connection, _NEWER, {"id": revision_id})


def revisions_until(connection: psycopg.Connection, site_ids: Collection[int], until: datetime) -> list[Revision]:
    """The sites' whole history of revisions that take effect before `until`, for the ledger."""
    return _revisions(connection, _BETWEEN, {"sites": list(site_ids), "until": until})


def calls(connection: psycopg.Connection, ids: Collection[int]) -> list[tuple[int, int, int, int, datetime]]:
    """Of these revisions, those that call for checks: (id, site, region, seconds between checks, from when on)."""
    query = "select id, site_id, region_id, interval_s, effective_at from revisions where active and id = any(%s)"
    return connection.execute(query, [list(ids)]).fetchall()


def newest_revision(connection: psycopg.Connection) -> int:
    row = connection.execute("select coalesce(max(id), 0) from revisions").fetchone()
    assert row is not None
    return int(row[0])


def regions_known(connection: psycopg.Connection, *, since: datetime) -> list[Region]:
    """The living regions, and those that were removed since then."""
    query = (
        "select id, key, name, managed, deleted_at, min_probers, max_probers, access from regions"
        " where deleted_at is null or deleted_at > %s"
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        return [Region(**row) for row in cursor.execute(query, [since]).fetchall()]


def take_manual(connection: psycopg.Connection, now: datetime) -> list[Manual]:
    """Take what "test now" left; those whose site or region is gone meanwhile are taken and dropped."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(_TAKE, {"now": now}).fetchall()
    return [Manual(row["request"], row["requested_at"], _revision(row)) for row in rows]


def leave_manual(connection: psycopg.Connection, requests: Collection[int]) -> None:
    """Give back what was taken and could not be sent, for the next beat."""
    connection.execute("update manual_checks set taken_at = null where id = any(%s)", [list(requests)])


def arrears(connection: psycopg.Connection) -> dict[int, tuple[datetime, datetime]]:
    """What regions are owed: [since, until) by the region's id."""
    return {row[0]: (row[1], row[2]) for row in connection.execute("select region_id, since, until from arrears")}


def note_arrears(connection: psycopg.Connection, spans: Mapping[int, tuple[datetime, datetime]]) -> None:
    """Put these in the place of what was noted."""
    connection.execute("delete from arrears")
    for region_id, (since, until) in spans.items():
        connection.execute(
            "insert into arrears (region_id, since, until) values (%s, %s, %s)", [region_id, since, until]
        )


def _revisions(connection: psycopg.Connection, query: str, parameters: dict[str, Any]) -> list[Revision]:
    with connection.cursor(row_factory=dict_row) as cursor:
        rows: Iterable[dict[str, Any]] = cursor.execute(query.encode(), parameters).fetchall()
    return [_revision(row) for row in rows]


def _revision(row: dict[str, Any]) -> Revision:
    return Revision(
        id=row["id"],
        site_id=row["site_id"],
        region_id=row["region_id"],
        effective_at=row["effective_at"],
        active=row["active"],
        interval_s=row["interval_s"],
        spec=msgspec.convert(row["spec"], Spec),
        network=msgspec.convert(row["network"], Network),
    )
