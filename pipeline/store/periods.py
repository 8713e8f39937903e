"""Periods: what somebody says of a time, over what the ticks say. Maintenance of a site; a region not to be believed.

Maintenance is laid over the vote on reading. A suspect period changes the vote, so it marks the days that have to be
voted on again, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, func, insert, select, update

from pipeline.errors import InvalidInputError, NotFoundError, Problem
from pipeline.store import tables as t
from pipeline.store.edits import record
from pipeline.store.marks import mark_days

Kind = Literal["maintenance", "suspect"]
LONGEST_REASON = 500


def add_period(
    connection: Connection,
    kind: Kind,
    *,
    site: str | None,
    region: str | None = None,
    since: datetime,
    until: datetime | None,
    reason: str,
    now: datetime,
    actor: str,
) -> int:
    """Write a period of [since, until) and return its number; `until` None: it goes on until somebody ends it.

    Without a site it is of all. Errors: InvalidInputError, NotFoundError.
    """
    _judge(kind, site, region, since, until, reason)
    ids = {"site_id": _number(connection, "site", site), "region_id": _number(connection, "region", region)}
    told = {"kind": kind, "since": since, "until": until, "reason": reason.strip(), "actor": actor, "created_at": now}
    number = int(connection.execute(insert(t.periods).values(**ids, **told).returning(t.periods.c.id)).scalar_one())
    _vote_again(connection, kind, ids["site_id"], since, until, now)
    record(connection, actor=actor, action=f"{kind}_added", subject=site or region or "all", now=now, period=number)
    return number


def end_period(connection: Connection, number: int, *, at: datetime, now: datetime, actor: str) -> None:
    """Let a period end at a time; at or before its beginning: as if never. Errors: NotFoundError, InvalidInputError."""
    row = _period(connection, number)
    if row["until"] is not None and row["until"] <= at:
        raise InvalidInputError(
            [Problem("at", f"period {number} has ended before that, at {row['until']:%F %H:%M} UTC")]
        )
    if at <= row["since"]:
        remove_period(connection, number, now=now, actor=actor)
        return
    connection.execute(update(t.periods).where(t.periods.c.id == number).values(until=at))
    _vote_again(connection, row["kind"], row["site_id"], row["since"], row["until"], now)
    record(connection, actor=actor, action=f"{row['kind']}_ended", subject=str(number), now=now, at=at.isoformat())


def remove_period(connection: Connection, number: int, *, now: datetime, actor: str) -> None:
    """Take a period back as if it had never been. Errors: NotFoundError."""
    row = _period(connection, number)
    connection.execute(update(t.periods).where(t.periods.c.id == number).values(deleted_at=now))
    _vote_again(connection, row["kind"], row["site_id"], row["since"], row["until"], now)
    record(connection, actor=actor, action=f"{row['kind']}_removed", subject=str(number), now=now)


def list_periods(
    connection: Connection, *, kind: Kind | None = None, site_id: int | None = None
) -> Sequence[dict[str, Any]]:
    """The rows of all periods, or those of a kind, or those that a site is in; by when they begin."""
    columns = t.periods.c
    query = select(t.periods).where(columns.deleted_at.is_(None)).order_by(columns.since, columns.id)
    if kind is not None:
        query = query.where(columns.kind == kind)
    if site_id is not None:
        query = query.where(columns.site_id.is_(None) | (columns.site_id == site_id))
    return [dict(row) for row in connection.execute(query).mappings()]


def _judge(
    kind: Kind, site: str | None, region: str | None, since: datetime, until: datetime | None, reason: str
) -> None:
    problems = []
    if kind not in ("maintenance", "suspect"):
        problems.append(Problem("kind", f"{kind!r} is none: maintenance or suspect"))
    if kind == "maintenance" and region is not None:
        problems.append(Problem("region", "maintenance is a site's, from wherever it is seen: leave the region out"))
    if kind == "suspect" and site is None and region is None:
        problems.append(Problem("region", "name the region that is not to be believed, or the site"))
    if until is not None and until <= since:
        problems.append(Problem("until", f"it ends ({until:%F %H:%M}) before it begins ({since:%F %H:%M})"))
    if not reason.strip() or len(reason) > LONGEST_REASON:
        problems.append(Problem("reason", f"say why, in 1 to {LONGEST_REASON} characters: people will ask"))
    if problems:
        raise InvalidInputError(problems)


def _period(connection: Connection, number: int) -> dict[str, Any]:
    query = select(t.periods).where(t.periods.c.id == number, t.periods.c.deleted_at.is_(None)).with_for_update()
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFoundError(f"there is no period {number}: `betterstack maintenance list` shows those that are")
    return dict(row)


def _number(connection: Connection, what: Literal["site", "region"], key: str | None) -> int | None:
    if key is None:
        return None
    table = t.sites if what == "site" else t.regions
    query = select(func.max(table.c.id)).where(table.c.key == key, table.c.deleted_at.is_(None))
    number = connection.execute(query).scalar_one()
    if number is None:
        raise NotFoundError(f"there is no {what} {key!r}")
    return int(number)


def _vote_again(
    connection: Connection, kind: str, site_id: int | None, since: datetime, until: datetime | None, now: datetime
) -> None:
    if kind == "suspect":
        mark_days(connection, None if site_id is None else [site_id], since, min(until or now, now))
