"""The API put together. It knows no server: `app.asgi` gives it an engine and a clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from fastapi import FastAPI

from app.api import declared, dictionary, errors, measurements, objectives, regions, sites
from app.api.gate import LARGEST_BODY
from pipeline.ring import RingSource, no_keys

DESCRIPTION = """
Sites, regions and what was measured, for programs. Times are ISO 8601 in UTC, units end names (`timeout_s`,
`latency_ms`). What cannot be used is answered with 422 and one problem a field, and then nothing was changed;
what does not exist with 404; while Postgres is away with 503. Lists come in pages: pass `next` on as `cursor`.
"""
TAGS = [
    {"name": "sites", "description": "What someone wants to be up."},
    {"name": "regions", "description": "Where checks are made from."},
    {"name": "measurements", "description": "What checks found: each tick, and rollups of them."},
    {"name": "objectives", "description": "What was promised, and what is left of its error budget."},
    {"name": "declared", "description": "Sites and regions from one file, as `betterstack apply` takes it."},
]


def create(clock: Callable[[], datetime], ring: RingSource = no_keys) -> FastAPI:
    """The API; whoever serves it sets `state.engine` before the first request. `ring` seals the secrets of sites."""
    api = FastAPI(
        title="BetterStack Workbench",
        version="1",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        # Their pages load scripts from a CDN; openapi.json is there for every other tool.
        docs_url=None,
        redoc_url=None,
        max_body_size=LARGEST_BODY,
        responses=errors.RESPONSES,
    )
    api.state.clock = clock
    api.state.ring = ring
    errors.install(api)
    for module in (sites, regions, measurements, objectives, dictionary, declared):
        api.include_router(module.router)
    return api
