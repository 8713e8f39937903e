"""What each endpoint asks for: the engine, the time, and transactions that are over before the answer goes out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Connection, Engine, text

from pipeline.ring import RingSource
from pipeline.store.explained import explained

ACTOR = "api"
PATIENCE = "10s"  # for one statement, waiting for another's edit included


def _engine(request: Request) -> Engine:
    engine: Engine = request.app.state.engine
    return engine


def _now(request: Request) -> datetime:
    now: datetime = request.app.state.clock()
    return now


def _ring(request: Request) -> RingSource:
    ring: RingSource = request.app.state.ring
    return ring


Database = Annotated[Engine, Depends(_engine)]
Now = Annotated[datetime, Depends(_now)]
Keys = Annotated[RingSource, Depends(_ring)]


@contextmanager
def reading(database: Engine) -> Iterator[Connection]:
    with explained(), database.connect() as connection:
        _bound(connection)
        yield connection


@contextmanager
def writing(database: Engine) -> Iterator[Connection]:
    """One transaction. In the endpoint, not a dependency: those end only after the answer was sent."""
    with explained(), database.begin() as connection:
        _bound(connection)
        yield connection


def _bound(connection: Connection) -> None:
    connection.execute(text(f"set local statement_timeout = '{PATIENCE}'"))
