"""What was promised: a share of good time over a window, for a site or for all sites with a tag. Pure, without a store.

A rolling window of W days ends now and moves on with it; a calendar month begins and ends at midnight in the
objective's time zone. The budget is what may be spent: (1 - target) of the whole window's seconds. What spends it is
the time that the vote of the regions holds bad; by the policy `default` that is down, by `strict` degraded as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from msgspec import Struct

from pipeline.calendar import first_day, midnight, next_first_day, zone
from pipeline.vocabulary import State

# By policy, what spends the budget. Maintenance and pauses never do, and what nobody knows does not either.
SPENDS: Mapping[str, frozenset[State]] = {
    "default": frozenset({State.DOWN}),
    "strict": frozenset({State.DOWN, State.DEGRADED}),
}


LONGEST_DAYS = 366
LEARNS_FROM = timedelta(days=30)  # what a forecast looks back on, at least


class Objective(Struct, frozen=True):
    """A promise. Either `site` or `tag` names what it is about; without `window_days` it is for the calendar month."""

    id: int
    key: str
    name: str
    target: float
    site: str | None = None
    tag: str | None = None
    window_days: int | None = 30
    policy: str = "default"
    tz: str = "UTC"
    sites: tuple[str, ...] = ()  # keys of those that it is about and that are there

    @property
    def about(self) -> str:
        """What it is about, in a word or two."""
        return self.site or f"tag {self.tag}"

    @property
    def promise(self) -> str:
        """What is promised, in a few words."""
        over = f"{self.window_days} days" if self.window_days else f"the calendar month ({self.tz})"
        return f"{written_share(self.target)} over {over}"


def window_of(objective: Objective, now: datetime) -> tuple[datetime, datetime]:
    """[since, until) of the window that `now` lies in, in UTC: of a rolling one `until` is now."""
    if objective.window_days is not None:
        return now - timedelta(days=objective.window_days), now
    where = zone(objective.tz)
    first = first_day("month", now, where)
    return midnight(first, where), midnight(next_first_day("month", first), where)


def budget_s(objective: Objective, now: datetime) -> float:
    """The seconds that may be spent in the window that `now` lies in."""
    since, until = window_of(objective, now)
    return (1 - objective.target) * (until - since).total_seconds()


def reach_of(objective: Objective, now: datetime) -> datetime:
    """From when on spans are needed, for what was left at each time of the window and for a forecast.

    At the start of a rolling window what was left then depends on one window more.
    """
    since, until = window_of(objective, now)
    before = since if objective.window_days is None else since - (until - since)
    return min(before, now - LEARNS_FROM)


def written_share(share: float) -> str:
    """A target as people write it: 99.9 %, with as many digits as it has."""
    return f"{share * 100:.10g} %"


def read_share(text: str) -> float:
    """A target as people write it: `99.9%`, `99.9` or `0.999`. Errors: ValueError with what to write."""
    bare = text.strip().removesuffix("%").strip().replace(",", ".")
    try:
        number = float(bare)
    except ValueError:
        raise ValueError(f"{text!r} is no share: write 99.9% or 0.999") from None
    # Through the decimal, since 99.9 / 100 is not the number that 0.999 is.
    return float(Decimal(bare) / 100) if "%" in text or number > 1 else number
