"""Makes the scheduled exports' files: each period once it is over and settled, in order, none left out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.calendar import over, zone
from pipeline.errors import WorkbenchError
from pipeline.exports import export, suffix
from pipeline.store.engine import engine
from pipeline.store.scheduled_exports import ScheduledExport, list_exports, note
from pipeline.workbench import Workbench

log = logging.getLogger("exports")

SETTLED = timedelta(minutes=15)  # the last ticks are in, and rolled up
FILES_AT_ONCE = 31  # after a long pause the others follow with the next beats
RETRY = timedelta(minutes=10)


def make(dsn: str, clock: Callable[[], datetime]) -> int:
    """Write what is due; returns how many files. What fails is noted at its export, and tried again later."""
    store = engine(dsn, name="exports")
    written = 0
    try:
        with store.begin() as connection:
            exports = list_exports(connection)
        for each in exports:
            now = clock()
            if each.last_error and each.last_at and now - each.last_at < RETRY:
                continue
            due = list(over(each.every, each.done_until, now - SETTLED, zone(each.tz)))[:FILES_AT_ONCE]
            for day, since, until in due:
                error = _write(dsn, each, f"{each.key}-{day}.{suffix(each.format)}", since, until)
                with store.begin() as connection:
                    note(connection, each.id, now=clock(), until=None if error else until, error=error)
                if error:
                    log.warning("an export failed", extra={"action": "export_failed", "key": each.key, "error": error})
                    break
                written += 1
                log.info("an export is written", extra={"action": "export_written", "key": each.key, "day": str(day)})
    finally:
        store.dispose()
    return written


def _write(dsn: str, each: ScheduledExport, name: str, since: datetime, until: datetime) -> str | None:
    """Write one file; returns what went wrong."""
    folder = Path(each.target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with Workbench(dsn) as workbench:
            export(
                workbench,
                folder / name,
                what=each.what,
                format=each.format,
                since=since,
                until=until,
                sites=each.sites,
                regions=each.regions,
            )
    except (OSError, WorkbenchError) as error:
        return str(error)
    return None
