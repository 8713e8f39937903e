"""Addresses that are deeper than any page of ours.

Streamlit answers them with its frame, which then looks for its scripts beside them and stays white.
"""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

NOWHERE = "/nowhere"  # the address of no page, which says so
ADDRESS = "address"  # what it is told
# What is no page: our API, and what Streamlit's frame and its components load.
OTHERS = ("/api/", "/_stcore/", "/static/", "/media/", "/component/", "/bidi-components/", "/vendor/", "/app/")


class Astray:
    """ASGI middleware: a browser that opens such an address is sent to where it is told so."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            path = scope["path"].strip("/")
            opened = "text/html" in Headers(scope=scope).get("accept", "")
            if opened and "/" in path and not scope["path"].startswith(OTHERS):
                to = f"{NOWHERE}?{urlencode({ADDRESS: path})}"
                await RedirectResponse(to, status_code=307)(scope, receive, send)
                return
        await self.app(scope, receive, send)
