"""`/apply` and `/schema`: sites and regions from one file."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request

from app.api.database import ACTOR, Database, Keys, Now, writing
from app.api.models import AppliedOut
from pipeline.declared import Declared
from pipeline.store.apply import apply_file

router = APIRouter(tags=["declared"])
TAKES = {"schema": {"type": "object", "description": "as GET /schema says"}}
BODY = {"requestBody": {"required": True, "content": {"application/json": TAKES, "application/yaml": TAKES}}}


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post("/apply", openapi_extra=BODY)
def apply(database: Database, now: Now, ring: Keys, body: Annotated[bytes, Depends(_body)]) -> AppliedOut:
    """Create or change what the file names, and leave the rest alone. All of it, or nothing."""
    applied = apply_file(body, lambda: writing(database), now=now, actor=ACTOR, ring=ring)
    return AppliedOut(**msgspec.structs.asdict(applied))


@router.get("/schema")
def schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors."""
    return Declared.model_json_schema()
