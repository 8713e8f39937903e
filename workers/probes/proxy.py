"""What we say to a region's proxy, and how it may answer."""

from __future__ import annotations

import base64

import httpx

from pipeline.vocabulary import Outcome
from workers.probes.connection import Stream
from workers.probes.trace import ProbeError

PROXY_HEAD_LIMIT = 16 * 1024  # a proxy's answer to CONNECT is a status line and a few headers


async def tunnel_to(stream: Stream, target: str, proxy: httpx.URL) -> None:
    """Have a proxy pass everything on to `host:port`. Errors: ProbeError, OSError where it hangs up."""
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    await stream.send(head.encode("ascii") + proxy_authorization(proxy) + b"\r\n")
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = await stream.read()
        if not data or len(answer) > PROXY_HEAD_LIMIT:
            raise ProbeError(Outcome.PROBE_NETWORK, "The proxy of this region did not answer CONNECT")
        answer += data
    status = answer.split(b"\r\n", 1)[0].split(b" ")[1:2]
    if status == [b"200"]:
        return
    code = b"".join(status).decode("latin-1")
    if code in ("502", "503", "504"):
        raise ProbeError(Outcome.UNREACHABLE, f"The proxy of this region could not reach {target} (HTTP {code})")
    raise ProbeError(Outcome.PROBE_NETWORK, f"The proxy of this region refused CONNECT to {target} (HTTP {code})")


def proxy_authorization(proxy: httpx.URL) -> bytes:
    """The header line for a proxy URL with a user in it, or nothing."""
    if not proxy.userinfo:
        return b""
    return f"Proxy-Authorization: {basic(proxy)}\r\n".encode("ascii")


def basic(url: httpx.URL) -> str:
    """The Authorization of a URL with a user in it."""
    return basic_of(url.username, url.password)


def basic_of(username: str, password: str) -> str:
    """The Authorization of a user with a password."""
    token = base64.b64encode(f"{username}:{password}".encode())
    return f"Basic {token.decode('ascii')}"
