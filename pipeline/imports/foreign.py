"""What an import brings, whatever it came from: sites as we would declare them, their checks as ticks, and notes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import polars as pl
from msgspec import Struct, field

from pipeline.frames import OUTCOME, TIME

# One row an attempt, of one site; `outcome` in words. Sorted by slot and attempt.
CHECKS = pl.Schema(
    {
        "scheduled_at": TIME,
        "attempt": pl.Int16(),
        "final": pl.Boolean(),
        "outcome": OUTCOME,
        "status": pl.Int16(),
        "latency_ms": pl.Float32(),
        "detail": pl.String(),
        "ip": pl.String(),
    }
)


class Watched(Struct, frozen=True):
    """A site of another monitor. `fields` are those of `SiteIn`, or none where it stands for one that we have.

    `checks` yields frames of CHECKS, some rows at a time, when it is called. `windows` are maintenance.
    """

    name: str
    fields: dict[str, Any]
    interval_s: int
    checks: Callable[[], Iterator[pl.DataFrame]]
    windows: list[tuple[datetime, datetime]] = field(default_factory=list)


class Note(Struct, frozen=True):
    """Something that did not come along, or not as it was; `about` is a name of theirs, empty for all."""

    about: str
    what: str

    def __str__(self) -> str:
        return f"{self.about}: {self.what}" if self.about else self.what


class Foreign(Struct, frozen=True):
    """All that a file brings. `source` names the monitor: the region of its history is called so."""

    source: str
    watched: list[Watched]
    notes: list[Note]
