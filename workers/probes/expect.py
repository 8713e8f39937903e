"""Judges an answer against what was expected of it. Pure.

All expectations that fail are told; the outcome is that of the worst. Only what an expectation asks for is unpacked,
decoded or parsed, once, and the libraries for that are loaded where they are first needed.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import msgspec

from pipeline.conditions import header_condition, json_condition, show
from pipeline.vocabulary import Expect, Outcome
from workers.probes.cutting import CUT, is_telling
from workers.probes.requests import shown
from workers.probes.trace import ProbeError

DETAIL = 500  # letters of what a tick says; its snapshot says the rest
MATCHING_S = 10.0  # of processor time for all regular expressions of a check: nearly all bodies take milliseconds

SEARCHING_S = 2.0  # likewise for all paths into JSON, which keep the loop waiting while they are walked

Failure = tuple[Outcome, str]
Cut = Callable[[str], str]


class Answered(NamedTuple):
    """An answer that came in.

    `body` is what was kept of it as it was sent, None where nothing looks at it; `size` counts the bytes that were
    read, and `whole` says that these are all. `expires_at` is when the certificate ends, `at` when that is judged.
    """

    status: int
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytes | None = None
    whole: bool = True
    size: int = 0
    url: httpx.URL | None = None
    expires_at: datetime | None = None
    at: datetime | None = None


def judge(
    answered: Answered, expect: Expect, latency_ms: float | None, cut: Cut | None = None
) -> tuple[Outcome, list[str]]:
    """The outcome, with a sentence for each expectation that failed, the worst first.

    `cut` takes secrets out of what the sentences quote, before it is shortened. Errors: ProbeError (worker_overload)
    where a body makes regular expressions, or paths into JSON, take too long.
    """
    # In the order of precedence: a body that is no JSON says little where the status is wrong.
    failures = [*_status(answered, expect)]
    if expect.final_url is not None and answered.url is not None:
        failures += _final_url(answered.url, expect.final_url)
    if expect.min_bytes is not None or expect.max_bytes is not None:
        failures += _size(answered, expect)
    if looks_at_body(expect) or expect.header:
        failures += [(Outcome.CONTENT, sentence) for sentence in _content(answered, expect, cut)]
    if expect.tls_days is not None or expect.max_latency_ms is not None:
        failures += worn(expect, latency_ms, answered.expires_at, answered.at)
    if not failures:
        return Outcome.OK, []
    failures.sort(key=lambda failure: _PRECEDENCE[failure[0]])
    return failures[0][0], [sentence for _, sentence in failures]


_PRECEDENCE = {
    outcome: place
    for place, outcome in enumerate(
        (Outcome.STATUS, Outcome.REDIRECT, Outcome.TOO_LARGE, Outcome.CONTENT, Outcome.EXPIRING, Outcome.SLOW)
    )
}


def looks_at_body(expect: Expect) -> bool:
    """Whether a part of it asks what is in the body."""
    return bool(expect.body_contains or expect.json or expect.body_absent or expect.body_matches)


def worn(
    expect: Expect, latency_ms: float | None, expires_at: datetime | None, now: datetime | None
) -> Iterator[Failure]:
    """What is still up, but slow or about to expire."""
    days = expect.tls_days
    if days is not None and expires_at is not None and expires_at - (now or datetime.now(UTC)) < timedelta(days=days):
        yield Outcome.EXPIRING, f"The certificate expires on {expires_at:%Y-%m-%d}"
    if expect.max_latency_ms is not None and latency_ms is not None and latency_ms > expect.max_latency_ms:
        yield Outcome.SLOW, f"It took {latency_ms:.0f} ms, expected {expect.max_latency_ms:g} ms or less"


def in_short(problems: Sequence[str]) -> str | None:
    """The sentences as one, of up to `DETAIL` letters."""
    text = "; ".join(problems)
    if len(text) <= DETAIL:
        return text or None
    told, letters = 0, 0
    while told < len(problems) and letters + len(problems[told]) + 2 <= DETAIL - 20:
        letters += len(problems[told]) + 2
        told += 1
    if not told:
        return f"{text[: DETAIL - 1]}…"
    return f"{'; '.join(problems[:told])}; and {len(problems) - told} more"


def ranges_text(expect: Expect) -> str:
    """Status ranges as a person writes them: `200-299, 301`."""
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in expect.status)


def _status(answered: Answered, expect: Expect) -> Iterator[Failure]:
    if not expect.accepts_status(answered.status):
        yield Outcome.STATUS, f"HTTP {answered.status}, expected {ranges_text(expect)}"


def _final_url(url: httpx.URL, expected: str) -> Iterator[Failure]:
    ended = address(url)
    wanted, star = _wanted(expected)
    if ended.startswith(wanted) if star else ended == wanted:
        return
    query = "?…" if url.query else ""
    yield Outcome.REDIRECT, f"it ended at {shown(url)}{query}, expected {expected[:200]}"


@functools.lru_cache(maxsize=1024)
def _wanted(expected: str) -> tuple[str, bool]:
    """An expected address as `address` writes it, and whether any rest may follow."""
    text, star = (expected[:-1], True) if expected.endswith("*") else (expected, False)
    text = text.partition("#")[0]
    if star and text.count("/") < 3:  # the star stands for a part of the host as well
        return text.lower(), star
    try:
        return address(httpx.URL(text)), star
    except (httpx.InvalidURL, ValueError):
        return text, star


def address(url: httpx.URL) -> str:
    """A URL without user, password and fragment, the usual port left out."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}"


def _size(answered: Answered, expect: Expect) -> Iterator[Failure]:
    if expect.max_bytes is not None and answered.size > expect.max_bytes:
        found = f"{answered.size}" if answered.whole else f"more than {expect.max_bytes}"
        yield Outcome.TOO_LARGE, f"the body has {found} bytes, expected at most {expect.max_bytes}"
    if expect.min_bytes is not None and answered.size < expect.min_bytes:
        yield Outcome.CONTENT, f"the body has {answered.size} bytes, expected at least {expect.min_bytes}"


def _content(answered: Answered, expect: Expect, cut: Cut | None) -> Iterator[str]:
    yield from _headers(answered, expect, cut)
    if not looks_at_body(expect):
        return
    # Loaded and unpacked here, where somebody asks what is in a body: most checks do not.
    from workers.probes.body import UnreadableBodyError, text_of, unpacked

    try:
        body = answered.body or b""
        complete = answered.whole and answered.size <= len(body)
        raw, whole = unpacked(body, _header(answered, b"content-encoding"), whole=complete)
    except UnreadableBodyError as error:
        yield str(error)
        return
    text = text_of(raw, _header(answered, b"content-type"), whole=whole)
    yield from _text(text, expect, whole=whole)
    if expect.json:
        with _without_collections():
            yield from list(_json(text, expect, whole=whole, cut=cut))


def _headers(answered: Answered, expect: Expect, cut: Cut | None) -> Iterator[str]:
    for written in expect.header:
        condition = header_condition(written)
        name = condition.where.encode("latin-1")
        values = [value.decode("latin-1").strip() for each, value in answered.headers if each.lower() == name]
        show_it = (lambda _value: CUT) if is_telling(condition.where) else functools.partial(show, cut=cut)
        if sentence := condition.failure(values, show_it):
            yield sentence


def _text(text: str, expect: Expect, *, whole: bool) -> Iterator[str]:
    where = "the body" if whole else "the body (in the first 2 MiB)"
    for expected in expect.body_contains:
        if expected not in text:
            yield f"{where} does not contain {show(expected)}"
    for unwanted in expect.body_absent:
        if unwanted in text:
            yield f"{where} contains {show(unwanted)}, which was to be absent"
    if expect.body_matches:
        from pipeline.patterns import compiled

        encoded = text.encode("utf-8", "replace")
        until = time.thread_time() + MATCHING_S
        for pattern in expect.body_matches:
            if time.thread_time() > until:
                detail = f"The regular expressions of this site took us more than {MATCHING_S:g} s"
                raise ProbeError(Outcome.WORKER_OVERLOAD, detail)
            if compiled(pattern).search(encoded) is None:
                yield f"{where} does not match {_shortened(pattern)}"


def _json(text: str, expect: Expect, *, whole: bool, cut: Cut | None) -> Iterator[str]:
    if not whole:
        yield "the body is longer than 2 MiB, so that its JSON cannot be read"
        return
    document: Any
    try:
        document = msgspec.json.decode(text.removeprefix("\ufeff").encode("utf-8", "replace"))
    except (msgspec.DecodeError, RecursionError) as error:
        yield "the body is empty, expected JSON" if not text.strip() else f"the body is not JSON ({_reason(error)})"
        return
    from pipeline.json_paths import PathError

    until = time.thread_time() + SEARCHING_S
    for written in expect.json:
        if time.thread_time() > until:
            detail = f"The conditions on JSON of this site took us more than {SEARCHING_S:g} s"
            raise ProbeError(Outcome.WORKER_OVERLOAD, detail)
        condition = json_condition(written)
        try:
            sentence = condition.failure(condition.select(document), functools.partial(show, cut=cut))
        except PathError as error:
            sentence = f"{condition.where} cannot be found: {error}"
        if sentence:
            yield sentence


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """A large document is many objects, none of them garbage: looking through them would stop the loop for 0.1 s."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error).removeprefix("JSON is malformed: ").removeprefix("Input data was ")


def _header(answered: Answered, name: bytes) -> str:
    return next((value.decode("latin-1") for each, value in answered.headers if each.lower() == name), "")


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:79]}…"
