"""Beats of a role: APScheduler around functions that take no argument and never raise, until told to stop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from apscheduler.schedulers.background import BackgroundScheduler

from workers.lifecycle import ALIVE_EVERY_S, Stop, stay_alive

log = logging.getLogger("beats")
# A beat that takes longer than its pause makes the next one do more; that it was left out is no news each time.
logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)

# Beats run in threads of their own. Those that load a library where it is first needed do so one after the other: two
# that begin with SQLAlchemy at the same time find half of it.
LOADING = threading.RLock()

STEP_S = 5.0  # the wall clock moved by more than this against the monotonic one: someone set it


def beat_until(stop: Stop, beats: Mapping[Callable[[], object], float]) -> None:
    """Call each function at once and then every so many seconds; returns when the last call has ended."""
    scheduler = BackgroundScheduler(timezone=UTC)
    for beat, seconds in {**beats, stay_alive: ALIVE_EVERY_S}.items():
        scheduler.add_job(
            beat,
            "interval",
            seconds=seconds,
            next_run_time=datetime.now(UTC),
            coalesce=True,  # a beat does all that is due, so a missed one needs no second run
            max_instances=1,
            misfire_grace_time=None,
        )
    scheduler.start()
    _watch_clock(scheduler, stop)
    scheduler.shutdown(wait=True)


def _watch_clock(scheduler: BackgroundScheduler, stop: Stop) -> None:
    """The scheduler counts in wall time: where that was set back, its next beats are far away until we say now."""
    offset_s = time.time() - time.monotonic()
    while not stop.wait(STEP_S):
        moved_s = time.time() - time.monotonic() - offset_s
        if abs(moved_s) > STEP_S:
            offset_s += moved_s
            log.warning("the clock was set", extra={"action": "clock_stepped", "moved_s": round(moved_s, 3)})
            for job in scheduler.get_jobs():
                job.modify(next_run_time=datetime.now(UTC))
