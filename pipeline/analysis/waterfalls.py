"""Why two policies differ: one choice after the other is changed, and what each change makes is a step.

The steps add up to the whole difference, exactly. Their order is that of the policy's attributes, since what is counted
decides what the other choices mean; with another order single steps would be larger or smaller, their sum the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
from msgspec.structs import replace

from pipeline.analysis.policies import Policy, policy_of
from pipeline.analysis.policy_accounts import account
from pipeline.analysis.units import History, together
from pipeline.answers import WATERFALL
from pipeline.frames import check, schema

# The choices in their order, and what each is called.
CHOICES = {
    "base": "what is counted",
    "retries": "retries",
    "regions": "regions",
    "degraded": "degraded",
    "partial": "partial outage",
    "unknown": "unknown",
    "maintenance": "maintenance",
    "whole_hours": "begun hours",
    "last": "newest checks",
    "hours": "opening hours",
    "weights": "weights",
}


def waterfall(history: History, first: str | Policy = "default", second: str | Policy = "kuma") -> pl.DataFrame:
    """Frame WATERFALL: from the uptime of one policy to that of another, of one site or all in the history together.

    A row for the first policy, one for each choice that differs, one for the second; `change` (of the uptime) adds up
    to the difference, and `change_s` says it as seconds of the time called for: below 0 is more downtime. Where a
    mixture on the way has nothing to count, its step is in the next. Errors: InvalidInputError, NotFoundError.
    """
    start, end = policy_of(first), policy_of(second)
    held = together(history, ["site_id"])
    called_s = held.select((pl.col("until") - pl.col("since")).dt.total_microseconds().sum()).item() / 1e6
    before = _uptime(history, start)
    rows: list[dict[str, object]] = [_row("from", start.name, None, before, None, called_s)]
    for name, policy in _walk(start, end):
        after = _uptime(history, policy)
        change = after - before if after is not None and before is not None else None
        said = f"{_said(getattr(start, name))} → {_said(getattr(policy, name))}"
        rows.append(_row("choice", CHOICES[name], said, after, change, called_s))
        before = before if after is None else after
    rows.append(_row("to", end.name, None, _uptime(history, end), None, called_s))
    return check(pl.DataFrame(rows, schema=schema(WATERFALL), orient="row"), WATERFALL)


def _walk(start: Policy, end: Policy) -> Iterator[tuple[str, Policy]]:
    """Each choice that differs with the policy after it."""
    policy = replace(start, name=f"{start.name} to {end.name}", version=1)
    for name in CHOICES:
        if getattr(start, name) != getattr(end, name):
            policy = replace(policy, **{name: getattr(end, name)})
            yield name, policy


def _uptime(history: History, policy: Policy) -> float | None:
    found = account(history, policy, by=())["uptime"].item()
    assert found is None or isinstance(found, float)
    return found


def _row(
    kind: str, step: str, said: str | None, uptime: float | None, change: float | None, called_s: float
) -> dict[str, object]:
    seconds = None if change is None else change * called_s
    return {"kind": kind, "step": step, "choice": said, "uptime": uptime, "change": change, "change_s": seconds}


def _said(choice: object) -> str:
    """A choice in a word or two."""
    if choice is None:
        return "left out"
    if isinstance(choice, bool):
        return "left out" if choice else "counted"
    if isinstance(choice, float):
        return {1.0: "as up", 0.0: "as down"}.get(choice, f"{choice * 100:g} % up")
    return f"the last {choice}" if isinstance(choice, int) else choice if isinstance(choice, str) else "set"
