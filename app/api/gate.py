"""Who may talk to us while there is no sign-in: programs, and the pages that we served ourselves.

A browser carries requests of any web page to us, and it is the only thing on the machine that a stranger's code can
steer. Two doors are closed here, for pages, websocket and API alike:

1. Cross-site requests. A browser names the page behind every request that can change something, and behind every
   websocket, in `Origin`. Where that is not the host it talks to, we refuse. Forms could still come from browsers too
   old for that, so the API reads no body of a type that a form can have (no JSON without a preflight, which we never
   answer).
2. DNS rebinding. A stranger's name that suddenly resolves to 127.0.0.1 makes their page same-origin with us, but their
   name stands in `Host`. While we listen on loopback only, nobody has a reason to call us by another name than
   loopback's or the configured one. In a container we listen on every address, and the port is published on the
   host's loopback: there the names are told by BETTERSTACK_ALLOWED_HOSTS.

Programs send no `Origin`; whoever can run one on this machine is not whom this is about.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

API = "/api/"
SETTING = "BETTERSTACK_ALLOWED_HOSTS"
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
# What the API reads. None of them is a type that a form or a script without a preflight can send.
BODY_TYPES = ("application/json", "application/yaml", "application/x-yaml", "text/yaml")
LARGEST_BODY = 1 << 20  # 1 MiB: some 3 000 sites declared at once; without a length, FastAPI counts
POLICY_VIOLATION = 1008  # RFC 6455's close code


class Gate:
    """ASGI middleware around everything.

    `bind` is the address that the server listens on, `allowed` the names that we may be called by besides loopback's;
    `*` stands for any. Where none is told, a server on loopback has no other, and any other server has any.
    """

    def __init__(self, app: ASGIApp, bind: str, allowed: Iterable[str] = ()) -> None:
        self.app = app
        self.bind = bind.lower()
        self.allowed = {name.lower() for name in allowed}
        self.asks_for_name = "*" not in self.allowed and (bool(self.allowed) or is_loopback(bind))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"} and (refusal := self.judge(scope)):
            status, message = refusal
            if scope["type"] == "http":
                await JSONResponse({"error": message}, status_code=status)(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "refused"})
            return
        await self.app(scope, receive, send)

    def judge(self, scope: Scope) -> tuple[int, str] | None:
        """Status and message of the refusal, or None for what may pass."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.asks_for_name and not self._is_ours(host):
            return 421, f"nobody calls the workbench {host!r}: open it as localhost, or name it in {SETTING}"
        origin = headers.get("origin")
        if origin is not None and origin.lower().partition("://")[2] != host.lower():
            return 403, f"a page of {origin} may not call {host}: a proxy in between has to pass the Host header on"
        if scope["type"] == "http" and scope["path"].startswith(API):
            return _judge_body(scope["method"], headers)
        return None

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in {self.bind, *self.allowed} or is_loopback(name)


def is_loopback(name: str) -> bool:
    """Whether the name or address can only mean this machine."""
    name = name.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761: never asked of a DNS server
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _judge_body(method: str, headers: Headers) -> tuple[int, str] | None:
    if method in SAFE_METHODS:
        return None
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:20]) > LARGEST_BODY:
        return 413, f"send at most {LARGEST_BODY:,} bytes at once"
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    # Without a type the body has to be empty: what a form sends always has one.
    empty = not kind and length == "0" and "transfer-encoding" not in headers
    if empty or kind in BODY_TYPES:
        return None
    return 415, f"send JSON and say so: Content-Type: application/json, not {kind or 'none'}"
