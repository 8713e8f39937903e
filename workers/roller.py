"""The roller: hours that ticks touched become rollups, partitions are there before they are needed.

Beats of APScheduler around two steps that take the time as an argument. An hour that is over is rebuilt at the next
beat; the one that is still filling at most once a minute, since every tick of it marks it again.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import psycopg
from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from pipeline.settings import Settings
from pipeline.store import fleet
from pipeline.store.engine import VANISHED, engine, plain_dsn
from pipeline.store.rollups import BATCH, Rolled, roll
from pipeline.store.ticks import ensure_partitions
from workers.lifecycle import Stop

log = logging.getLogger("roller")

ROLL_S = 15.0
OPEN_EVERY = timedelta(seconds=60)
PARTITIONS_S = 3600.0
PARTITIONS_FROM, PARTITIONS_TO = -1, 3  # days from today: late ticks have a place, and a weekend without us is no harm
SEEN_S = 5.0
STEP_S = 5.0  # the wall clock moved by more than this against the monotonic one: someone set it


def horizon(now: datetime, open_rolled_at: datetime | None) -> datetime:
    """The time before which marked hours are due: all that are over, and once a minute those that are not."""
    if open_rolled_at is None or not timedelta() <= now - open_rolled_at < OPEN_EVERY:
        return datetime.max.replace(tzinfo=UTC)
    return now.replace(minute=0, second=0, microsecond=0)


class Roller:
    """The loop's memory: a connection, when open hours were last rebuilt, whether Postgres is away."""

    def __init__(
        self,
        dsn: str,
        *,
        clock: Callable[[], datetime],
        kill_point: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._dsn = dsn
        self._clock = clock
        self._kill_point = kill_point
        self._name = f"roller-{socket.gethostname()}-{os.getpid()}"
        self._started_at = clock()
        self._engine: Engine = engine(dsn, pool=NullPool, name="roller census")
        self._open_rolled_at: datetime | None = None
        self._away = False
        self._hours_rolled = 0

    def close(self) -> None:
        self._engine.dispose()

    def roll(self) -> Rolled:
        """Rebuild what is due, transaction by transaction, until nothing is left. Never raises for a server's sake."""
        return self._alive(self._roll) or Rolled(0, 0, 0)

    def make_partitions(self) -> None:
        """Make the partitions of the days around today."""
        self._alive(self._make_partitions)

    def be_seen(self) -> None:
        """Leave a sign of life."""
        self._alive(self._be_seen)

    def _roll(self) -> Rolled:
        now = self._clock()
        before = horizon(now, self._open_rolled_at)
        done = Rolled(0, 0, 0)
        with self._connected() as connection:
            while True:
                with connection.transaction():
                    rolled = roll(connection, before=before)
                    self._kill_point("before commit")
                done = Rolled(done.taken + rolled.taken, done.hours + rolled.hours, done.days + rolled.days)
                if rolled.taken < BATCH:
                    break
        if before > now:
            self._open_rolled_at = now
        if done.hours:
            took_s = round((self._clock() - now).total_seconds(), 3)
            log.debug("rolled", extra={"action": "rolled", "hours": done.hours, "days": done.days, "took_s": took_s})
        self._hours_rolled += done.hours
        return done

    def _make_partitions(self) -> None:
        today = self._clock().astimezone(UTC).date()
        days = [today + timedelta(days=ahead) for ahead in range(PARTITIONS_FROM, PARTITIONS_TO + 1)]
        with self._connected() as connection, connection.transaction():
            made = ensure_partitions(connection, days)
        if made:
            log.info("partitions are ready", extra={"action": "partitions_made", "days": [str(day) for day in made]})

    def _be_seen(self) -> None:
        worker = fleet.WorkerSeen(
            name=self._name,
            role="roller",
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self._started_at,
            seen_at=self._clock(),
            detail={"hours_rolled": self._hours_rolled},
        )
        with self._engine.begin() as connection:
            fleet.beat(connection, worker)

    def _connected(self) -> psycopg.Connection:
        return psycopg.connect(
            plain_dsn(self._dsn),
            autocommit=True,
            application_name="roller",
            options="-c timezone=UTC -c lock_timeout=60000",
            **VANISHED,
        )

    def _alive[T](self, step: Callable[[], T]) -> T | None:
        ...
