"""BetterStack Workbench's pipeline: the words, the tables, the maths and the charts.

    import pipeline
    up = pipeline.connect()

Importing it loads next to nothing, so that a prober stays small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.workbench import Workbench

__all__ = ["connect"]


def connect(dsn: str | None = None) -> Workbench:
    """The analysis API on a database: the one named, or the one that the settings name, read-only.

    Errors: UnavailableError, with what to do, where no workbench is running there.
    """
    from pipeline.settings import Settings
    from pipeline.workbench import Workbench

    return Workbench(dsn or Settings().database)
