"""`GET /metrics`: how the fleet is, for Prometheus. Everything is read from Postgres, at most once a second.

While Postgres is away the answer is still 200, with `betterstack_up 0`: of any other status Prometheus would throw
the body away and note that *we* could not be scraped, and nobody could tell a dead app from a dead database.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from fastapi import FastAPI
from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from sqlalchemy import Engine, text
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.families import Figures, families
from pipeline import product
from pipeline.errors import UnavailableError
from pipeline.health import FRESH, Health, unreachable
from pipeline.store import fleet
from pipeline.store.explained import explained
from pipeline.store.overview import count_states, our_health
from pipeline.store.regions import list_regions
from pipeline.store.revisions import head
from pipeline.store.snapshots import certificate_ends

log = logging.getLogger(__name__)

PATIENCE = "2s"  # a scrape gets ten by default
KEPT = timedelta(seconds=1)


class Reading(NamedTuple):
    """What was found out at a time; no figures where Postgres could not be read."""

    at: datetime
    figures: Figures | None
    health: Health


class Latest:
    """The last reading. Whoever asks meanwhile waits for the one that is under way, and takes that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reading: Reading | None = None

    def reading(self, engine: Engine, now: datetime) -> Reading:
        with self._lock:
            if self._reading is None or abs(now - self._reading.at) >= KEPT:  # also where the clock was set back
                self._reading = look(engine, now)
            return self._reading


class _Collected(Collector):
    """Families, in the shape that the exposition asks for; there is no registry."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def route(api: FastAPI) -> Route:
    """The route for the outer application; engine and clock are the API's."""
    latest = Latest()
    build = {"version": product.version(), "schema": head()}

    def metrics(request: Request) -> Response:  # not async: Starlette runs it in the thread pool
        reading = latest.reading(api.state.engine, api.state.clock())
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        body = encode(_Collected(families(reading.figures, reading.health, build)))
        return Response(body, headers={"content-type": content_type})

    return Route("/metrics", metrics)


def look(engine: Engine, now: datetime) -> Reading:
    """Read what there is to say, and judge how we are."""
    try:
        with explained(), engine.connect() as connection:
            connection.execute(text(f"set local statement_timeout = '{PATIENCE}'"))
            health = our_health(connection, now)
            figures = Figures(
                at=now,
                regions=list_regions(connection),
                workers=fleet.workers(connection, since=now - FRESH),
                backlogs=fleet.backlogs(connection),
                pusher=fleet.pusher_row(connection),
                scaling=fleet.scaling(connection),
                sites=count_states(connection, now),
                certificates=certificate_ends(connection).values(),
            )
    except UnavailableError as error:
        log.warning("cannot read", extra={"action": "metrics_blind", "reason": str(error.__cause__)})
        return Reading(now, None, unreachable(str(error)))
    return Reading(now, figures, health)
