"""`/dictionary`: what the columns of files and frames mean."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from app.api.errors import MISSING
from pipeline.dictionary import entries

router = APIRouter(tags=["measurements"])


class ColumnOut(BaseModel):
    """A column of a frame, and of the file that is exported from it."""

    frame: str
    column: str
    type: str = Field(description="as polars names it; enums and categories are text in files")
    unit: str | None
    about: str


class Dictionary(BaseModel):
    """Columns by frame, in their order."""

    items: list[ColumnOut]


@router.get("/dictionary", responses=MISSING)
def dictionary(
    frame: Annotated[list[str] | None, Query(max_length=50, description="only of these frames")] = None,
) -> Dictionary:
    """Types, units and meanings of every column."""
    return Dictionary(
        items=[
            ColumnOut(frame=each.frame, column=each.column, type=each.type, unit=each.unit, about=each.about)
            for each in entries(frame or ())
        ]
    )
