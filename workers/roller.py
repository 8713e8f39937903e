"""The roller: hours that ticks touched become rollups, partitions are there before they are needed.

Beats of APScheduler around two steps that take the time as an argument. An hour that is over is rebuilt at the next
beat; the ones that are still filling as often as they are cheap, since every tick of them marks them again.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import psycopg

from pipeline.errors import UnavailableError
from pipeline.settings import Settings
from pipeline.store import beats
from pipeline.store.kept_snapshots import KEPT as SNAPSHOTS_KEPT
from pipeline.store.kept_snapshots import forget_snapshots
from pipeline.store.rollups import Mark, Rolled, roll, without_lake
from pipeline.store.session import session
from pipeline.store.ticks import ensure_partitions
from workers.archivist import ARCHIVE_S, LATE_S, Archivist
from workers.beating import LOADING, beat_until
from workers.budget_watch import watch
from workers.killpoints import reached
from workers.lifecycle import Stop

log = logging.getLogger("roller")
T = TypeVar("T")

ROLL_S = 5.0
OPEN_SHARE = 50  # open hours wait this many times as long as their last rebuild took: 2 % of a core, …
OPEN_EVERY = timedelta(seconds=60)  # … and a minute at most
PARTITIONS_S = 3600.0
PARTITIONS_FROM, PARTITIONS_TO = -1, 3  # days from today: late ticks have a place, and a weekend without us is no harm
SEEN_S = 5.0
BUDGETS_S = 60.0
EXPORTS_S = 60.0
TIDY_S = 3600.0
SAMPLES_KEPT = timedelta(days=8)  # a week to look back on, and a day more


def horizon(now: datetime, open_rolled_at: datetime | None, took: timedelta = OPEN_EVERY) -> datetime:
    """The time before which marked hours are due: all that are over, and from time to time those that are not.

    `took` is how long the last rebuild of open hours took.
    """
    if open_rolled_at is None or not timedelta() <= now - open_rolled_at < min(OPEN_EVERY, took * OPEN_SHARE):
        return datetime.max.replace(tzinfo=UTC)
    return now.replace(minute=0, second=0, microsecond=0)


class Roller:
    """The loop's memory: a connection, when open hours were last rebuilt, which steps fail."""

    def __init__(self, dsn: str, *, clock: Callable[[], datetime]) -> None:
        self._dsn = dsn
        self._clock = clock
        self._name = f"roller-{socket.gethostname()}-{os.getpid()}"
        self._started_at = clock()
        self._open_rolled_at: datetime | None = None
        self._open_took = timedelta()
        self._failing: set[str] = set()
        self._hours_rolled = 0

    def roll(self) -> int:
        """Rebuild what is due, transaction by transaction; returns how many series-hours. No server makes it raise."""
        return self._alive("roll up", self._roll) or 0

    def make_partitions(self) -> None:
        """Make the partitions of the days around today."""
        self._alive("make partitions", self._make_partitions)

    def tidy(self) -> None:
        """Drop what is kept for a while only."""
        self._alive("tidy up", self._tidy)

    def watch_budgets(self) -> None:
        """Tell of each error budget that begins to burn, and of each that is calm again."""
        self._alive("watch the error budgets", lambda: watch(self._dsn, self._clock()))

    def make_exports(self) -> None:
        """Write the files of scheduled exports whose period is over."""
        self._alive("make the scheduled exports", self._make_exports)

    def be_seen(self) -> None:
        """Leave a sign of life."""
        self._alive("be seen", self._be_seen)

    def _roll(self) -> int:
        now = self._clock()
        before = horizon(now, self._open_rolled_at, self._open_took)
        began = time.monotonic()
        hours, days, after = 0, 0, None
        with self._connected() as connection:
            while True:
                rolled = self._step(connection, before, after)
                hours, days, after = hours + rolled.hours, days + rolled.days, rolled.last
                if after is None:
                    break
        if before > now:
            self._open_rolled_at, self._open_took = now, timedelta(seconds=time.monotonic() - began)
        if hours:
            took_s = round((self._clock() - now).total_seconds(), 3)
            log.debug("rolled up", extra={"action": "rolled", "hours": hours, "days": days, "took_s": took_s})
        self._hours_rolled += hours
        return hours

    def _step(self, connection: psycopg.Connection, before: datetime, after: Mark | None) -> Rolled:
        """One transaction. While the lake is away, hours that need it keep their marks, and the others do not wait."""
        try:
            with connection.transaction():
                rolled = roll(connection, before=before, after=after)
                reached("roller: before commit")
        except UnavailableError as error:
            warm = without_lake(connection)
            if after is not None and after >= warm:
                raise
            log.warning("the lake is away", extra={"action": "lake_away", "error": str(error)})
            return self._step(connection, before, warm)
        return rolled

    def _make_partitions(self) -> None:
        today = self._clock().astimezone(UTC).date()
        days = [today + timedelta(days=ahead) for ahead in range(PARTITIONS_FROM, PARTITIONS_TO + 1)]
        with self._connected() as connection, connection.transaction():
            made = ensure_partitions(connection, days)
        if made:
            log.info("partitions are ready", extra={"action": "partitions_made", "days": [str(day) for day in made]})

    def _tidy(self) -> None:
        with self._connected() as connection:
            beats.forget_samples(connection, before=self._clock() - SAMPLES_KEPT)
            forget_snapshots(connection, before=self._clock() - SNAPSHOTS_KEPT)

    def _make_exports(self) -> int:
        with self._connected() as connection:
            if connection.execute("select from scheduled_exports where deleted_at is null").fetchone() is None:
                return 0
        with LOADING:
            from workers.export_clerk import make  # brings the readers of files along, for those who schedule any
        return make(self._dsn, self._clock)

    def _be_seen(self) -> None:
        worker = beats.WorkerSeen(
            name=self._name,
            role="roller",
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started_at,
            seen_at=self._clock(),
            detail={"hours_rolled": self._hours_rolled},
        )
        with self._connected() as connection:
            beats.beat(connection, worker)

    def _connected(self) -> psycopg.Connection:
        return session(self._dsn, "roller", lock_timeout_ms=60_000)

    def _alive(self, what: str, step: Callable[[], T]) -> T | None:
        """Run a step; while it fails for the database's sake, say so once and let the next beat try again."""
        try:
            found = step()
        except (psycopg.Error, UnavailableError) as error:
            if what not in self._failing:
                self._failing.add(what)
                why = str(error).strip()
                log.warning("cannot %s", what, extra={"action": "roller_fails", "step": what, "error": why})
            return None
        if what in self._failing:
            self._failing.discard(what)
            log.info("can %s again", what, extra={"action": "roller_works", "step": what})
        return found


def run(settings: Settings, stop: Stop) -> None:
    """Beat until told to stop."""
    roller, archivist = Roller(settings.database, clock=_now), Archivist(settings, clock=_now)
    each: dict[Callable[[], object], float] = {
        roller.make_partitions: PARTITIONS_S,
        roller.roll: ROLL_S,
        roller.tidy: TIDY_S,
        archivist.archive: ARCHIVE_S,
        archivist.merge_late: LATE_S,
        archivist.forget_hours: TIDY_S,
        roller.watch_budgets: BUDGETS_S,
        roller.make_exports: EXPORTS_S,
        roller.be_seen: SEEN_S,
    }
    beat_until(stop, each)


def _now() -> datetime:
    return datetime.now(UTC)
