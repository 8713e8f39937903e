"""`/apply` and `/schema`: sites and regions from one file."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request

from app.api.database import ACTOR, Database, Now, writing
from app.api.models import AppliedOut
from pipeline.declared import Declared
from pipeline.declared_file import read_declared, read_lines, with_lines
from pipeline.errors import InvalidInputError
from pipeline.store.apply import apply

router = APIRouter(tags=["declared"])
TAKES = {"schema": {"type": "object", "description": "as GET /schema says"}}
BODY = {"requestBody": {"required": True, "content": {"application/json": TAKES, "application/yaml": TAKES}}}


async def _body(request: Request) -> bytes:
    return await request.body()


@router.post("/apply", openapi_extra=BODY)
def apply_file(database: Database, now: Now, body: Annotated[bytes, Depends(_body)]) -> AppliedOut:
    """Create or change what the file names, and leave the rest alone. All of it, or nothing."""
    declared = read_declared(body)
    try:
        with writing(database) as connection:
            applied = apply(connection, declared, now=now, actor=ACTOR)
    except InvalidInputError as error:
        raise with_lines(error, read_lines(body)) from None
    return AppliedOut(**msgspec.structs.asdict(applied))


@router.get("/schema")
def schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors."""
    return Declared.model_json_schema()
