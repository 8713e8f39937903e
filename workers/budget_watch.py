"""The roller's look at the budgets, once a minute: SQLAlchemy and the frames are loaded where there is a promise."""

from __future__ import annotations

import logging
from datetime import datetime

import psycopg

from pipeline.errors import UnavailableError
from pipeline.store.session import session
from workers.beating import LOADING

log = logging.getLogger("roller")


def watch(dsn: str, now: datetime) -> int:
    """Judge every objective as of `now`; how many budgets call for something else. Errors: psycopg.Error."""
    if not _promised(dsn):
        return 0
    with LOADING:
        from sqlalchemy.exc import DBAPIError
        from sqlalchemy.pool import NullPool

        from pipeline.store.burns import watch_budgets
        from pipeline.store.engine import engine
        from pipeline.workbench import Workbench

    store = engine(dsn, name="roller budgets", pool=NullPool)
    try:
        with Workbench(dsn, clock=lambda: now) as up:
            changed = watch_budgets(store, up.spans, now=now)
    except UnavailableError as error:
        raise psycopg.OperationalError(str(error)) from error
    except DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise error.orig from error
        raise
    finally:
        store.dispose()
    for each in changed:
        log.info(
            "budget burns" if each.state != "calm" else "budget is calm",
            extra={"action": "budget_burns", "objective": each.objective, "state": each.state.value},
        )
    return len(changed)


def _promised(dsn: str) -> bool:
    with session(dsn, "roller", lock_timeout_ms=60_000) as connection:
        row = connection.execute("select exists (select 1 from objectives where deleted_at is null)").fetchone()
    return row is not None and bool(row[0])
