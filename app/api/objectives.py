"""`/objectives`: what was promised; list, add, read, change, remove, and what is left of a budget."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.api.database import ACTOR, Database, Now, reading, writing
from app.api.downloads import workbench
from app.api.errors import MISSING
from app.api.models import KeyInPath, changes_of
from pipeline.declared_objectives import ObjectiveIn, objective_fields
from pipeline.objectives import Objective
from pipeline.store import objectives as store
from pipeline.store.explained import explained

router = APIRouter(prefix="/objectives", tags=["objectives"])
CHANGES = changes_of(ObjectiveIn)


class ObjectiveOut(BaseModel):
    """A promise."""

    key: str
    name: str
    site: str | None
    tag: str | None
    target: float
    window_days: int | None = Field(description="null for the calendar month")
    policy: str
    tz: str
    sites: list[str] = Field(description="keys of the sites that it is about")

    @classmethod
    def of(cls, objective: Objective) -> ObjectiveOut:
        return cls.model_validate(objective_fields(objective) | {"sites": list(objective.sites)})


class Objectives(BaseModel):
    """All objectives."""

    items: list[ObjectiveOut]


class SloOut(BaseModel):
    """An objective's budget as of now, seconds as the mean over its sites. Nothing known is null, not zero."""

    objective: str
    target: float
    since: datetime
    until: datetime = Field(description="the window's end; of a calendar month perhaps to come")
    sites: int
    good_s: float
    unknown_s: float
    uptime: float | None
    low: float | None = Field(description="the uptime if all unknown time was bad")
    high: float | None = Field(description="the uptime if all unknown time was good")
    coverage: float | None
    budget_s: float
    spent_s: float | None
    spent_low_s: float | None = Field(description="at least, by the slots around each outage")
    spent_high_s: float | None = Field(description="at most")
    left_s: float | None
    left: float | None = Field(description="share of the budget; below zero where more was spent than there was")


@router.get("")
def find(database: Database) -> Objectives:
    """All objectives by key. There are few: they come on one page."""
    with reading(database) as connection:
        return Objectives(items=[ObjectiveOut.of(each) for each in store.list_objectives(connection)])


@router.post("", status_code=201)
def add(database: Database, now: Now, objective: ObjectiveIn) -> ObjectiveOut:
    """Promise a share of good time, for a site or for all sites with a tag."""
    with writing(database) as connection:
        return ObjectiveOut.of(store.create_objective(connection, objective, now=now, actor=ACTOR))


@router.get("/{key}", responses=MISSING)
def read(database: Database, key: KeyInPath) -> ObjectiveOut:
    """One objective."""
    with reading(database) as connection:
        return ObjectiveOut.of(store.get_objective(connection, key))


@router.get("/{key}/slo", responses=MISSING)
def slo(database: Database, now: Now, key: KeyInPath) -> SloOut:
    """What of its budget is spent and what is left."""
    with explained(), workbench(database, now) as frames:
        [row] = frames.slo([key]).to_dicts()
    return SloOut(**row)


@router.patch("/{key}", responses=MISSING, openapi_extra=CHANGES)
def change(database: Database, now: Now, key: KeyInPath, changes: dict[str, Any]) -> ObjectiveOut:
    """Change the named fields. A site takes the place of a tag, and a tag that of a site."""
    with writing(database) as connection:
        return ObjectiveOut.of(store.update_objective(connection, key, changes, now=now, actor=ACTOR))


@router.delete("/{key}", status_code=204, responses=MISSING)
def remove(database: Database, now: Now, key: KeyInPath) -> None:
    """Take the promise back. What was told of its budget stays."""
    with writing(database) as connection:
        store.delete_objective(connection, key, now=now, actor=ACTOR)
