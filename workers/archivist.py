"""The roller's hand in the lake: days that are over go there, what is old goes away, what is late goes after it.

Each beat does what is due and then forgets: what is left to do is read from the tables again, so that whoever is
killed at any point is followed by somebody who finds it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import TypeVar

import psycopg

from pipeline.errors import UnavailableError
from pipeline.lake.files import LakeRoot
from pipeline.settings import Settings
from pipeline.store.lake_days import late_days, to_archive, to_drop
from pipeline.store.retention import forget_hours
from pipeline.store.session import session
from workers.beating import LOADING
from workers.killpoints import reached

log = logging.getLogger("roller")
T = TypeVar("T")

ARCHIVE_S = 600.0
LATE_S = 60.0
AT_ONCE = 3  # days archived or dropped in a beat: years that were imported take their time, and the roller goes on


class Archivist:
    """Steps of the lake, each a beat of the roller. What goes wrong with a server is told once and tried again."""

    def __init__(self, settings: Settings, *, clock: Callable[[], datetime]) -> None:
        self._dsn = settings.database
        self._root = settings.lake_root
        self._keep_ticks = timedelta(days=settings.keep_ticks_days)
        self._keep_hours = timedelta(days=settings.keep_hours_days)
        self._clock = clock
        self._failing: set[str] = set()

    def archive(self) -> None:
        """Write the days that are over, drop those whose ticks have been here for long enough."""
        if self._root is not None:
            self._alive("archive", self._archive, self._root)
            self._alive("drop what is archived", self._drop, self._root)

    def merge_late(self) -> None:
        """Put what came late into its day's file."""
        if self._root is not None:
            self._alive("merge late ticks", self._merge_late, self._root)

    def forget_hours(self) -> None:
        """Forget hourly rollups that are older than people look at."""
        self._alive("forget old hours", self._forget, None)

    def _archive(self, connection: psycopg.Connection, root: LakeRoot) -> None:
        now = self._clock()
        days = to_archive(connection, now)[:AT_ONCE]
        for day in days:
            self._write(connection, root, day, now)
        if days:
            with LOADING:
                from pipeline.store.lake_reference import write_reference

            write_reference(self._dsn, root)

    def _write(self, connection: psycopg.Connection, root: LakeRoot, day: date, now: datetime) -> None:
        with LOADING:
            from pipeline.store import lake

        written = lake.archive(connection, self._dsn, root, day, now=now, reached=reached)
        reached("lake: after archive")
        if written is not None:
            told = {"day": str(day), "rows": written.rows, "bytes": written.bytes}
            log.info("day archived", extra={"action": "day_archived", **told})

    def _drop(self, connection: psycopg.Connection, root: LakeRoot) -> None:
        now = self._clock()
        for day in to_drop(connection, now, self._keep_ticks)[:AT_ONCE]:
            with LOADING:
                from pipeline.store import lake

            gone = lake.drop(connection, self._dsn, root, day, now=now, reached=reached)
            if gone is False:  # something came after it was written, or the file was touched: the partition is whole
                self._write(connection, root, day, now)
                gone = lake.drop(connection, self._dsn, root, day, now=now, reached=reached)
            if gone:
                log.info("partition dropped", extra={"action": "day_dropped", "day": str(day)})

    def _merge_late(self, connection: psycopg.Connection, root: LakeRoot) -> None:
        for day in late_days(connection):
            with LOADING:
                from pipeline.store import lake

            written = lake.merge_late(connection, root, day, now=self._clock(), reached=reached)
            if written is not None:
                told = {"day": str(day), "rows": written.rows}
                log.info("late ticks merged", extra={"action": "late_merged", **told})

    def _forget(self, connection: psycopg.Connection, _: object) -> None:
        forget_hours(connection, before=self._clock() - self._keep_hours)

    def _alive(self, what: str, step: Callable[[psycopg.Connection, T], None], root: T) -> None:
        try:
            with session(self._dsn, "roller lake", lock_timeout_ms=60_000) as connection:
                step(connection, root)
        except (psycopg.Error, UnavailableError, OSError) as error:
            if what not in self._failing:
                self._failing.add(what)
                why = str(error).strip()
                log.warning("cannot %s", what, extra={"action": "lake_fails", "step": what, "error": why})
        else:
            if what in self._failing:
                self._failing.discard(what)
                log.info("can %s again", what, extra={"action": "lake_works", "step": what})
