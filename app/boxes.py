"""The box over time and latency that the page *Explain* shows, as its address says it. Pure; UTC.

`box=2026-03-01T10:00Z~2026-03-01T12:30Z~120~480`: from when to when, from how many milliseconds to how many. Where the
last is `failed`, failed checks are in it beside all that were slower than the third; `failed~failed` is failures alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf, isfinite

from app.windows import floored, written
from pipeline.analysis.boxes import Box
from pipeline.errors import InvalidInputError, Problem

FAILED = "failed"
_FORM = "2026-03-01T10:00Z~2026-03-01T12:30Z~120~480, the last two in milliseconds or failed"


def read(said: str) -> Box | None:
    """The box that an address says; None where it says none. Errors: InvalidInputError."""
    if not said:
        return None
    parts = said.split("~")
    if len(parts) != 4:
        raise _wrong(said)
    try:
        since, until = (datetime.fromisoformat(part) for part in parts[:2])
        low, high = (inf if part == FAILED else float(part) for part in parts[2:])
    except (ValueError, OverflowError):
        raise _wrong(said) from None
    failed = parts[3] == FAILED
    if since.tzinfo is None or until.tzinfo is None or since >= until:
        raise _wrong(said)
    if not low >= 0 or not (low < high or failed) or not (failed or isfinite(high)):  # a NaN is neither
        raise _wrong(said)
    return Box(since.astimezone(UTC), until.astimezone(UTC), low, high, failed)


def say(box: Box | None) -> str:
    """How the address says it; nothing for none."""
    if box is None:
        return ""
    high = FAILED if box.failed else f"{box.high_ms:g}"
    low = f"{box.low_ms:g}" if isfinite(box.low_ms) else FAILED
    return "~".join([written(box.since), written(box.until), low, high])


def dragged(since_ms: float, until_ms: float, low_ms: float, high_ms: float, failures_from: float) -> Box:
    """The box of a brush: whole minutes around it, three digits of its latencies.

    What reaches above `failures_from` has the failures in it, what begins there has nothing else.
    """
    since, until = (datetime.fromtimestamp(ms / 1000, UTC) for ms in (since_ms, until_ms))
    first = floored(since, 60)
    last = max(floored(until + timedelta(seconds=59), 60), first + timedelta(minutes=1))
    failed = high_ms > failures_from
    low = inf if low_ms >= failures_from else _rounded(low_ms)
    high = inf if failed else max(_rounded(high_ms), low * 1.001)
    return Box(first, last, low, high, failed)


def _rounded(ms: float) -> float:
    return float(f"{ms:.3g}")


def _wrong(said: str) -> InvalidInputError:
    return InvalidInputError([Problem("box", f"{said[:60]!r} is no box: write it as {_FORM}")])
