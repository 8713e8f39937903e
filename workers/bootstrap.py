"""What has to be true of the database before a role may run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.settings import Settings
from pipeline.vocabulary import Region

if TYPE_CHECKING:
    from sqlalchemy import Engine


def prepare(settings: Settings) -> bool:
    """Bring the tables to this version and, in a new database, add the default regions. True where anything changed.

    Errors: UnavailableError.
    """
    from pipeline.store.engine import engine, migrate
    from pipeline.store.regions import seed_regions

    changed = migrate(settings.database)
    store = engine(settings.database, name="bootstrap")
    try:
        with store.begin() as connection:
            seed_regions(connection, now=datetime.now(UTC))
    finally:
        store.dispose()
    return changed


def region_reader(settings: Settings) -> Callable[[], Sequence[Region]]:
    """A callable that reads the regions, over a connection that it keeps; the first call opens it."""
    opened: list[Engine] = []

    def read() -> Sequence[Region]:
        from pipeline.store.engine import engine
        from pipeline.store.regions import list_regions

        if not opened:
            opened.append(engine(settings.database, read_only=True, name="supervisor"))
        with opened[0].connect() as connection:
            return list_regions(connection)

    return read
