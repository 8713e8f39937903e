"""Judges an answer against what was expected of it. Pure."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.vocabulary import Expect, Outcome


class Answered(NamedTuple):
    """An answer that came in."""

    status: int


def judge(answered: Answered, expect: Expect, latency_ms: float | None) -> tuple[Outcome, list[str]]:  # noqa: ARG001
    """The outcome, with a sentence for each expectation that failed."""
    if not expect.accepts_status(answered.status):
        return Outcome.STATUS, [f"HTTP {answered.status}, expected {ranges_text(expect)}"]
    return Outcome.OK, []


def ranges_text(expect: Expect) -> str:
    """Status ranges as a person writes them: `200-299, 301`."""
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in expect.status)
