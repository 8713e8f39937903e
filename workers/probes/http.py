"""The HTTP(S) probe: one attempt, one hard deadline, one outcome."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import httpx

from pipeline.vocabulary import Expect, Network, Outcome, Probe, Spec
from workers.probes.cutting import cutting
from workers.probes.deadline import late
from workers.probes.expect import Answered, judge, looks_at_body
from workers.probes.judging import LANES
from workers.probes.network import DIALER, Dialer
from workers.probes.requests import bare, following, fresh, prepared, shown
from workers.probes.snapshot import seen
from workers.probes.trace import ProbeError, Trace
from workers.probes.transport import Answer, OneShotTransport

BODY_LIMIT = 2 * 1024 * 1024  # what a content check will look at; the rest of a body says nothing about being up
MOST_COOKIES = 180  # as many as browsers keep of a site; thousands, sent back along 20 hops, take us seconds

# It logs every URL at INFO, and a URL may hold a token.
logging.getLogger("httpx").setLevel(logging.WARNING)

OVER = httpx.ByteStream(b"")  # in place of a stream that holds its response, which holds it
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

    def _build_redirect_request(self, request: httpx.Request, response: httpx.Response) -> httpx.Request:
        # httpx reads the Location of any redirect, also of one that nobody follows, whatever it says.
        spec: Spec = request.extensions["spec"]
        return super()._build_redirect_request(request, response) if spec.max_redirects else request


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
        trace.settle()
        outcome, problems = await _judged(answered, spec, network, trace.latency_ms())
    except ProbeError as failure:
        outcome, problems = failure.outcome, [failure.detail]
    except TimeoutError:
        if not deadline.expired():
            raise
        outcome, sentence = late(trace, spec.timeout_s)
        problems = [sentence]
    trace.leave()
    try:
        return seen(trace, spec, network, outcome, problems)
    finally:
        trace.answer = None  # which holds the trace: see `Answer.close`


async def _fetch(spec: Spec, network: Network, dialer: Dialer, trace: Trace) -> Answered:
    """Ask, follow redirects, read the last body."""
    ask = prepared(spec, network.proxy)
    cookies: httpx.Cookies | None = None
    asked = set()
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
            if trace.status is None:
                raise
            raise ProbeError(Outcome.REDIRECT, "Redirects to an address that is no URL") from error
        try:
            redirect = response.next_request
            if redirect is None or not spec.max_redirects:
                return await _read(response, spec.expect, trace, ask.request.url)
            if "set-cookie" in response.headers:
                cookies = httpx.Cookies() if cookies is None else cookies
                _take_cookies(response, cookies)
        finally:
            await response.aclose()
            response.stream = OVER
        trace.leave()
        trace.redirected()
        asked.add((ask.request.method, bare(ask.request.url), ask.cookie))
        ask = following(redirect, spec, network.proxy, cookies)
        if (ask.request.method, bare(ask.request.url), ask.cookie) in asked:
            raise ProbeError(Outcome.REDIRECT, f"Redirects in a circle, back to {shown(redirect.url)}")
    raise ProbeError(
        Outcome.REDIRECT, f"More than {spec.max_redirects} redirects, the last one to {shown(ask.request.url)}"
    )


def _take_cookies(response: httpx.Response, cookies: httpx.Cookies) -> None:
    """What a redirect sets, as far as there is room for it."""
    room = MOST_COOKIES - len(cookies.jar)
    if room > 0:
        said = [(name, value) for name, value in response.headers.raw if name.lower() == b"set-cookie"][:room]
        cookies.extract_cookies(httpx.Response(response.status_code, headers=said, request=response.request))


async def _read(response: httpx.Response, expect: Expect, trace: Trace, url: httpx.URL) -> Answered:
    """The last body: kept where an expectation looks at it, read on where one counts its bytes."""
    answer: Answer = response.extensions["answer"]
    looked_at = looks_at_body(expect)
    limit, max_bytes = BODY_LIMIT, expect.max_bytes
    if max_bytes is not None:
        limit = max(BODY_LIMIT, max_bytes + 1) if looked_at else max_bytes + 1
    if expect.min_bytes is not None:
        limit = max(limit, expect.min_bytes)
    body = None
    if looked_at:
        body = await answer.keep(limit, BODY_LIMIT)
    else:
        await answer.drain(limit)
    size = trace.bytes or 0
    expires_at = trace.expires_at() if expect.tls_days is not None else None
    return Answered(response.status_code, answer.headers, body, answer.whole, size, url, expires_at)


async def _judged(
    answered: Answered, spec: Spec, network: Network, latency_ms: float | None
) -> tuple[Outcome, list[str]]:
    """The outcome and its sentences."""
    judging = partial(judge, answered, spec.expect, latency_ms, cutting(spec, network))
    body = answered.body
    if body is None:
        return judging()
    packed = any(name.lower() == b"content-encoding" for name, _ in answered.headers)
    return await LANES.run(spec, BODY_LIMIT if packed else len(body), judging)
