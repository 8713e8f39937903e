"""The HTTP(S) probe: one attempt, one hard deadline, one outcome."""

from __future__ import annotations

import asyncio
import logging

import httpx

from pipeline.vocabulary import Network, Outcome, Probe, Spec
from workers.probes.expect import Answered, judge
from workers.probes.network import DIALER, Dialer
from workers.probes.requests import bare, following, fresh, prepared, shown
from workers.probes.trace import ProbeError, Trace
from workers.probes.transport import Answer, OneShotTransport

BODY_LIMIT = 2 * 1024 * 1024  # what a content check will look at; the rest of a body says nothing about being up

# It logs every URL at INFO, and a URL may hold a token.
logging.getLogger("httpx").setLevel(logging.WARNING)

UNAUTHENTICATED = httpx.Auth()  # what says who we are is encoded once, not in each send


class _NoCookies(httpx.Cookies):
    """Sites share one client, so it keeps nobody's cookies; an attempt has its own along its redirects."""

    def extract_cookies(self, response: httpx.Response) -> None:
        pass


class _Client(httpx.AsyncClient):
    """One for the whole process: it holds no connection, no cookie and nothing of a loop."""

    def __init__(self) -> None:
        super().__init__(transport=OneShotTransport(), trust_env=False, timeout=None)  # an attempt has its own
        self._cookies = _NoCookies()


_CLIENT = _Client()


async def probe(spec: Spec, network: Network, *, dialer: Dialer = DIALER) -> Probe:
    """Check a site once, redirects included, within `spec.timeout_s`.

    Whatever the other side can cause is an outcome. An exception is a fault of ours, and no statement about the site.
    """
    trace = Trace(spec.timeout_s)
    deadline = asyncio.timeout(spec.timeout_s)
    try:
        async with deadline:
            answered = await _fetch(spec, network, dialer, trace)
        trace.leave()
        outcome, problems = judge(answered, spec.expect, trace.latency_ms())
        detail = "; ".join(problems) or None
    except ProbeError as failure:
        outcome, detail = failure.outcome, failure.detail
    except TimeoutError:
        if not deadline.expired():
            raise
        outcome, detail = _late(trace, spec.timeout_s)
    trace.leave()
    return Probe(outcome, trace.phases(), trace.latency_ms(), trace.status, trace.ip, trace.bytes, detail)


async def _fetch(spec: Spec, network: Network, dialer: Dialer, trace: Trace) -> Answered:
    """Ask, follow redirects, read the last body."""
    ask = prepared(spec, network.proxy)
    cookies: httpx.Cookies | None = None
    seen = set()
    for _ in range(spec.max_redirects + 1):
        extensions = {
            "dialer": dialer, "network": network, "trace": trace, "head": ask.head, "timeout": {},
            "spec": spec, "own": ask.own,
        }  # fmt: skip
        try:
            response = await _CLIENT.send(
                fresh(ask.request, extensions), stream=True, auth=UNAUTHENTICATED, follow_redirects=False
            )
        except (httpx.RemoteProtocolError, httpx.InvalidURL, ValueError) as error:
            # httpx reads the Location of any redirect, also of one that we would not follow.
            if trace.status is None:
                raise
            if not spec.max_redirects:
                return Answered(trace.status)
            raise ProbeError(Outcome.REDIRECT, "Redirects to an address that is no URL") from error
        try:
            redirect = response.next_request
            if redirect is None or not spec.max_redirects:
                return await _read(response)
            if "set-cookie" in response.headers:
                cookies = httpx.Cookies() if cookies is None else cookies
                cookies.extract_cookies(response)
        finally:
            await response.aclose()
        trace.leave()
        seen.add((ask.request.method, bare(ask.request.url), ask.cookie))
        ask = following(redirect, spec, network.proxy, cookies)
        if (ask.request.method, bare(ask.request.url), ask.cookie) in seen:
            raise ProbeError(Outcome.REDIRECT, f"Redirects in a circle, back to {shown(redirect.url)}")
    raise ProbeError(
        Outcome.REDIRECT, f"More than {spec.max_redirects} redirects, the last one to {shown(ask.request.url)}"
    )


async def _read(response: httpx.Response) -> Answered:
    answer: Answer = response.extensions["answer"]
    await answer.drain(BODY_LIMIT)
    return Answered(response.status_code)


def _late(trace: Trace, timeout_s: float) -> tuple[Outcome, str]:
    within = f"within {timeout_s:g} s"
    if trace.to_proxy:
        return Outcome.PROBE_NETWORK, f"The proxy of this region did not accept a connection {within}"
    match trace.phase:
        case "dns":
            return Outcome.DNS, f"The name was not resolved {within}"
        case None | "connect":
            return Outcome.CONNECT_TIMEOUT, f"No connection {within}"
        case "tls":
            return Outcome.TIMEOUT, f"Connected, but no TLS handshake {within}"
        case "ttfb":
            return Outcome.TIMEOUT, f"Connected, but no answer {within}"
        case "transfer":
            part = (
                "the headers did not end" if trace.status is None else f"the body did not end after {trace.bytes} bytes"
            )
            return Outcome.TIMEOUT, f"The answer was not complete {within}: {part}"
