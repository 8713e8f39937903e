"""BetterStack Workbench's pipeline: the words, the tables, the maths and the charts.

    import pipeline
    up = pipeline.connect()

Importing it loads next to nothing, so that a prober stays small.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from pipeline.lake.alone import Lake
    from pipeline.workbench import Workbench

__all__ = ["connect"]


@overload
def connect(dsn: None = None) -> Workbench: ...
@overload
def connect(dsn: str) -> Workbench | Lake: ...
def connect(dsn: str | None = None) -> Workbench | Lake:
    """The analysis API on a database: the one named, or the one that the settings name, read-only.

    A folder or an `s3://bucket/prefix` is a lake, which answers without a server. Errors: UnavailableError, with what
    to do, where there is no workbench or no lake.
    """
    from pipeline.settings import Settings
    from pipeline.workbench import Workbench

    if dsn is not None and (dsn.startswith(("s3://", "/", "./", "../", "~")) or Path(dsn).is_dir()):
        from pipeline.lake.alone import Lake

        return Lake(dsn)
    return Workbench(dsn or Settings().database)
