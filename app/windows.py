"""The time that a page shows, as its address says it: so long up to now, or from one minute to another. Pure; UTC.

`range=6h` follows now, `from=2026-03-01T10:00Z&to=2026-03-01T14:30Z` stays where it is.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from math import ceil

from msgspec import Struct

from pipeline.errors import InvalidInputError, Problem

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
RANGES = {
    "1h": HOUR, "6h": 6 * HOUR, "24h": 24 * HOUR, "7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY,
}  # fmt: skip
SHORTEST, LONGEST = 5 * MINUTE, 400 * DAY
OVERVIEW = 30 * DAY  # what the strip above the charts reaches over, at least, where a site is that old
WIDER = 3  # times as long, when zooming out
# How old what is drawn may be: a share of its range that nobody sees.
AGES_S = ((HOUR, 5), (6 * HOUR, 15), (24 * HOUR, 30), (7 * DAY, 120), (LONGEST, 600))
_UNITS = {"m": MINUTE, "h": HOUR, "d": DAY}
_WRITTEN = "%Y-%m-%dT%H:%MZ"


class Window(Struct, frozen=True):
    """`length` up to `end`; without an end it follows now."""

    length: timedelta
    end: datetime | None = None

    def bounds(self, now: datetime) -> tuple[datetime, datetime]:
        """[since, until). What follows now does so in steps, so that every window open on it asks the same."""
        until = self.end or floored(now, next(age for longest, age in AGES_S if self.length <= longest))
        return until - self.length, min(until, floored(now, AGES_S[0][1]))

    @property
    def lives(self) -> bool:
        return self.end is None

    def address(self) -> dict[str, str]:
        """How the address says it: each of `range`, `from` and `to`, empty where it is not said."""
        if self.end is None:
            return {"range": written_length(self.length), "from": "", "to": ""}
        return {"from": written(self.end - self.length), "to": written(self.end)}


def following(length: timedelta) -> Window:
    """A window of some length that follows now, in whole minutes."""
    return Window(_within(timedelta(minutes=ceil(length / MINUTE))))


def between(since: datetime, until: datetime) -> Window:
    """A window in whole minutes that has both in it, not shorter than can be looked at."""
    since = floored(since, 60)
    length = _within(MINUTE * ceil((until - since) / MINUTE))
    return Window(length, since + length)


def wider(window: Window, now: datetime) -> Window:
    """The next longer range; where it does not follow now, three times as long around its middle, at most to now."""
    if window.end is None:
        return following(next((each for each in RANGES.values() if each > window.length), WIDER * window.length))
    since, until = window.bounds(now)
    length = _within(WIDER * (until - since))
    end = floored(min(until + (length - (until - since)) / 2, now), 60)
    return between(end - length, end)


def beside(window: Window, now: datetime, *, steps: int) -> Window:
    """As long, earlier (steps < 0) or later; one that would reach beyond now ends now."""
    _, until = window.bounds(now)
    end = floored(min(until + steps * window.length, now), 60)
    return between(end - window.length, end)


def reach(window: Window, created_at: datetime, now: datetime) -> tuple[datetime, datetime]:
    """[since, until) of the strip to pick from: a month, or more where the window needs it, or all there is."""
    since, _ = window.bounds(now)
    first = max(min(now - OVERVIEW, since), created_at)
    return floored(min(first, now - HOUR), 60), floored(now, 60)


def read(span: str, since: str, until: str, usual: str, now: datetime | None = None) -> Window:
    """The window that an address says. Errors: InvalidInputError, with what to write instead."""
    if not since and not until:
        return following(_length(span or usual))
    if not since or not until:
        raise InvalidInputError([Problem("from, to", "a window needs both from= and to=")])
    first, last = _time("from", since), _time("to", until)
    if first >= last:
        raise InvalidInputError([Problem("from, to", f"the window ends ({until}) before it begins ({since})")])
    if last - first > LONGEST:
        raise InvalidInputError([Problem("from, to", f"a window is {LONGEST.days} days long at most")])
    if now is not None and first >= now:
        raise InvalidInputError([Problem("from, to", f"the window begins ({since}) in the future")])
    return between(first, last)


def written(at: datetime) -> str:
    """A time as an address has it, by the minute."""
    return at.astimezone(UTC).strftime(_WRITTEN)


def written_length(length: timedelta) -> str:
    """A length as an address has it: the name of its range, else in the largest unit that fits."""
    named = next((name for name, each in RANGES.items() if each == length), None)
    unit = next(unit for unit in reversed(_UNITS) if length % _UNITS[unit] == timedelta() or unit == "m")
    return named or f"{ceil(length / _UNITS[unit])}{unit}"


def _within(length: timedelta) -> timedelta:
    return min(max(length, SHORTEST), LONGEST)


def _length(said: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,6})([mhd])", said.strip())
    if not found or not timedelta() < (length := int(found[1]) * _UNITS[found[2]]) <= LONGEST:
        known = ", ".join(RANGES)
        message = f"{said!r} is no length: write {known}, or any other such as 90m, up to {LONGEST.days}d"
        raise InvalidInputError([Problem("range", message)])
    return length


def _time(field: str, said: str) -> datetime:
    message = f"{said!r} is no time: write it in UTC by the minute, such as {field}=2026-03-01T10:00Z"
    try:
        at = datetime.fromisoformat(said.strip())
    except ValueError:
        raise InvalidInputError([Problem(field, message)]) from None
    if at.tzinfo is None or not 1970 < at.year < 9000:
        raise InvalidInputError([Problem(field, message)])
    return at.astimezone(UTC)


def floored(at: datetime, step_s: int) -> datetime:
    """A time, cut to how old an answer may be."""
    return at - timedelta(seconds=at.timestamp() % step_s)
