"""`GET /healthz`: 200 while all that the workbench is made of gives signs of life, else 503 and what to do."""

from __future__ import annotations

import logging
from datetime import datetime

import msgspec
from fastapi import FastAPI
from sqlalchemy import Engine, text
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from pipeline.errors import UnavailableError
from pipeline.health import Health, unreachable
from pipeline.store.explained import explained
from pipeline.store.overview import our_health

log = logging.getLogger(__name__)

PATIENCE = "2s"  # load balancers and compose ask every few seconds and wait for few


def route(api: FastAPI) -> Route:
    """The route for the outer application; engine and clock are the API's."""

    def healthz(_request: Request) -> JSONResponse:  # not async: Starlette runs it in the thread pool
        found = look(api.state.engine, api.state.clock())
        return JSONResponse(msgspec.to_builtins(found), status_code=200 if found.ok else 503)

    return Route("/healthz", healthz)


def look(engine: Engine, now: datetime) -> Health:
    """Read what is known and judge it."""
    try:
        with explained(), engine.connect() as connection:
            connection.execute(text(f"set local statement_timeout = '{PATIENCE}'"))
            return our_health(connection, now)
    except UnavailableError as error:
        log.warning("cannot judge", extra={"action": "healthz_blind", "reason": str(error.__cause__)})
        return unreachable(str(error))
