"""Judges an answer against what was expected of it. Pure."""

from __future__ import annotations

from pipeline.vocabulary import Expect, Outcome


def judge(status: int, expect: Expect) -> tuple[Outcome, str | None]:
    """The outcome of an answer that came in whole, with a sentence where it is not `ok`."""
    if not expect.accepts_status(status):
        return Outcome.STATUS, f"HTTP {status}, expected {ranges_text(expect)}"
    return Outcome.OK, None


def ranges_text(expect: Expect) -> str:
    """Status ranges as a person writes them: `200-299, 301`."""
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in expect.status)
