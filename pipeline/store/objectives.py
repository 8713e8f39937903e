"""Objectives: add, edit, remove, list; and what their budgets called for, as transitions.

Removing is soft: what was told of one stays.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, text, update

from pipeline.declared import parse
from pipeline.declared_objectives import ObjectiveIn, objective_fields
from pipeline.errors import InvalidInputError, NotFoundError, Problem
from pipeline.objectives import Objective
from pipeline.store import tables as t
from pipeline.store.edits import lock_edits, record

CALM = "calm"
_ROWS = text("""
    select o.id, o.key, o.name, o.target, s.key as site, o.tag, o.window_days, o.policy, o.tz,
        array(
            select about.key from sites about
            where about.deleted_at is null and (about.id = o.site_id or o.tag = any(about.tags)) order by about.key
        ) as sites
    from objectives o left join sites s on s.id = o.site_id
    where o.deleted_at is null and (cast(:key as text) is null or o.key = :key) order by o.key
""")
_LAST = text("""
    select distinct on (objective_id) objective_id, to_state from transitions
    where kind = 'burn' and objective_id is not null order by objective_id, id desc
""")


def list_objectives(connection: Connection) -> list[Objective]:
    """All objectives by key, each with the sites that it is about."""
    return [_objective(row) for row in connection.execute(_ROWS, {"key": None}).mappings()]


def get_objective(connection: Connection, key: str) -> Objective:
    """The objective of that key. Errors: NotFoundError."""
    row = connection.execute(_ROWS, {"key": key}).mappings().first()
    if row is None:
        raise NotFoundError(f"there is no objective {key!r}; there are: {', '.join(_keys(connection)) or 'none yet'}")
    return _objective(row)


def create_objective(connection: Connection, objective: ObjectiveIn, *, now: datetime, actor: str) -> Objective:
    """Add an objective. Errors: InvalidInputError."""
    lock_edits(connection)
    if objective.key in _keys(connection):
        raise InvalidInputError([Problem("key", f"there is an objective {objective.key!r} already")])
    values = _columns(connection, objective)
    connection.execute(insert(t.objectives).values(**values, created_at=now, updated_at=now))
    record(connection, actor=actor, action="objective_created", subject=objective.key, now=now)
    return get_objective(connection, objective.key)


def update_objective(
    connection: Connection, key: str, changes: Mapping[str, Any], *, now: datetime, actor: str
) -> Objective:
    """Change the named fields. Errors: NotFoundError, InvalidInputError."""
    lock_edits(connection)
    before = get_objective(connection, key)
    if changes.get("key", key) != key:
        raise InvalidInputError([Problem("key", "a key stays as it is: what was told is named by it")])
    # Whoever names a new site or tag means it instead of what there was.
    about = {"site": None, "tag": None} if changes.get("site") or changes.get("tag") else {}
    was = objective_fields(before)
    wanted = parse(ObjectiveIn, was | about | dict(changes))
    if wanted.model_dump() == was:
        return before
    values = _columns(connection, wanted, keeps=before)
    connection.execute(update(t.objectives).where(t.objectives.c.id == before.id).values(**values, updated_at=now))
    record(connection, actor=actor, action="objective_changed", subject=key, now=now, changes=dict(changes))
    return get_objective(connection, key)


def delete_objective(connection: Connection, key: str, *, now: datetime, actor: str) -> None:
    """End the objective; where its budget burnt, that is over. Errors: NotFoundError."""
    lock_edits(connection)
    objective = get_objective(connection, key)
    # The row's lock keeps an evaluation that is under way from writing after this.
    ended = update(t.objectives).where(t.objectives.c.id == objective.id).values(deleted_at=now, updated_at=now)
    connection.execute(ended)
    note_burning(connection, objective, CALM, at=now, detail={"reason": "the objective was removed"})
    record(connection, actor=actor, action="objective_deleted", subject=key, now=now)


def last_burning(connection: Connection) -> dict[int, str]:
    """What each objective's budget called for last, by its id; one that nothing was told of is missing."""
    return {row.objective_id: row.to_state for row in connection.execute(_LAST)}


def lock_objectives(connection: Connection, ids: Collection[int]) -> set[int]:
    """Of the objectives those that are there still, locked in the order of their ids until the transaction ends."""
    query = select(t.objectives.c.id).where(t.objectives.c.id.in_(ids), t.objectives.c.deleted_at.is_(None))
    return set(connection.execute(query.order_by(t.objectives.c.id).with_for_update()).scalars())


def note_burning(
    connection: Connection, objective: Objective, state: str, *, at: datetime, detail: Mapping[str, Any]
) -> bool:
    """Write that the budget now calls for `state`, once: nothing where it did so already. Whether it was written.

    It names no site, since it is no verdict of one: the objective says what it is about. The caller holds the
    objective's row, or two of them could write the same.
    """
    columns = t.transitions.c
    before = connection.execute(
        select(columns.to_state)
        .where(columns.kind == "burn", columns.objective_id == objective.id)
        .order_by(columns.id.desc())
        .limit(1)
    ).scalar()
    if (before or CALM) == state:
        return False
    values = {
        "kind": "burn",
        "objective_id": objective.id,
        "at": at,
        "recorded_at": func.now(),
        "from_state": before or CALM,
        "to_state": state,
        "votes": {},
        "detail": dict(detail),
    }
    connection.execute(insert(t.transitions).values(**values))
    return True


def _columns(connection: Connection, objective: ObjectiveIn, *, keeps: Objective | None = None) -> dict[str, Any]:
    """As they are stored. A site that an objective has already may be gone; a new one is looked for."""
    values = objective.model_dump()
    site = values.pop("site")
    if keeps is not None and site == keeps.site:
        return values | ({} if site else {"site_id": None})
    site_id = _site_id(connection, site) if site else None
    if site and site_id is None:
        raise InvalidInputError([Problem("site", f"there is no site {site!r}")])
    return values | {"site_id": site_id}


def _site_id(connection: Connection, key: str) -> int | None:
    query = select(t.sites.c.id).where(t.sites.c.key == key, t.sites.c.deleted_at.is_(None))
    return connection.execute(query).scalar()


def _objective(row: RowMapping) -> Objective:
    return Objective(**{**row, "sites": tuple(row["sites"])})


def _keys(connection: Connection) -> list[str]:
    query = select(t.objectives.c.key).where(t.objectives.c.deleted_at.is_(None)).order_by(t.objectives.c.key)
    return list(connection.execute(query).scalars())
