"""The app's root: Streamlit's pages with the API and the health check around them, from one server.

`uvicorn app.asgi:app`; one process, one worker, since Streamlit's sessions live in memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Mount
from streamlit import config

from app import logs, theme
from app.api import healthz, metrics, service
from app.api.gate import Gate
from app.astray import Astray
from pipeline.secret_key import ring_where_ours
from pipeline.settings import Settings
from pipeline.store.engine import engine

# How the server behaves; how the pages look is in app.theme. In code, so that it is the same wherever it is started.
SERVER: dict[str, Any] = {
    "server.headless": True,
    "server.showEmailPrompt": False,
    "server.enableAgentApi": False,
    "server.enableCORS": True,  # Streamlit's word for refusing other origins; app.api.gate does so before it
    "server.enableXsrfProtection": True,
    "server.enableStaticServing": False,
    "server.fileWatcherType": "none",  # nobody edits pages where this runs
    "server.maxUploadSize": 1,  # MB; what can be uploaded is a declared file
}


def utc_now() -> datetime:
    return datetime.now(UTC)


@asynccontextmanager
async def _lifespan(_app: st.App) -> AsyncIterator[dict[str, Any]]:
    database = engine(settings.database, name="betterstack api")
    api.state.engine = database
    try:
        yield {"engine": database}
    finally:
        database.dispose()


logs.take_over()
settings = Settings()
api = service.create(utc_now, lambda: ring_where_ours(settings))
app = st.App(
    Path(__file__).with_name("main.py"),
    routes=[healthz.route(api), metrics.route(api), Mount("/api/v1", app=api)],
    middleware=[Middleware(Gate, bind=settings.host, allowed=settings.called), Middleware(Astray)],
    lifespan=_lifespan,
)
# After the App exists: constructing it decides where Streamlit looks for its files, which these then overrule.
theme.apply()
# Streamlit has a list of its own of what it may be called, and asks a stranger's server for our address to complete it.
origins = [f"http://{name}" for name in settings.called]
for option, value in {**SERVER, "server.corsAllowedOrigins": origins}.items():
    config.set_option(option, value)
