"""The time that a report is about: a calendar month or some whole days, in somebody's time zone."""

from __future__ import annotations

import re
from datetime import date, datetime

from msgspec import Struct

from pipeline.calendar import DAY, first_day, midnight, next_first_day, zone
from pipeline.errors import InvalidInputError, Problem

LONGEST_DAYS = 400
FIRST_YEAR, LAST_YEAR = 2000, 2200


class Period(Struct, frozen=True):
    """[since, until) in UTC, as whole days of `tz`, and what it is called."""

    since: datetime
    until: datetime
    tz: str
    label: str

    def so_far(self, now: datetime) -> bool:
        """Whether it is not over yet."""
        return now < self.until


def period_of(said: str, tz: str, now: datetime) -> Period:
    """`2026-10`, or days from the first to the last, both with: `2026-10-05/2026-10-18`; nothing is the month of now.

    Errors: InvalidInputError naming `month` or `tz`.
    """
    where = zone(tz)
    said = said.strip() or f"{now.astimezone(where):%Y-%m}"
    first, last = _days(said)
    if not FIRST_YEAR <= first.year <= last.year < LAST_YEAR:
        raise _wrong(f"{said!r} is not a time that anything was watched in")
    if (last - first).days >= LONGEST_DAYS:
        raise _wrong(f"{said!r} is longer than {LONGEST_DAYS} days")
    since, until = midnight(first, where), midnight(last + DAY, where)
    if since >= now:
        raise _wrong(f"{said!r} has not begun yet in {tz}")
    return Period(since, until, tz, f"{first:%B %Y}" if "/" not in said else f"{first:%d %b %Y} to {last:%d %b %Y}")


def _days(said: str) -> tuple[date, date]:
    """The first and the last day."""
    if found := re.fullmatch(r"(\d{4})-(\d{2})", said):
        try:
            first = date(int(found[1]), int(found[2]), 1)
            return first, next_first_day("month", first) - DAY
        except (ValueError, OverflowError):
            raise _wrong(f"{said!r} is no month; write it as in 2026-10") from None
    begin, _, end = said.partition("/")
    try:
        first, last = date.fromisoformat(begin), date.fromisoformat(end)
    except ValueError:
        raise _wrong(f"{said!r} is no month; write it as in 2026-10, or days as in 2026-10-05/2026-10-18") from None
    if last < first:
        raise _wrong(f"{said!r} ends before it begins")
    return first, last


def last_month(tz: str, now: datetime) -> str:
    """The newest month that is over, as `period_of` takes it."""
    return f"{first_day('month', now, zone(tz)) - DAY:%Y-%m}"


def months(now: datetime, count: int = 14) -> list[str]:
    """The newest months, the running one first, as `period_of` takes them."""
    place = now.year * 12 + now.month - 1
    return [f"{each // 12}-{each % 12 + 1:02}" for each in range(place, place - count, -1)]


def _wrong(message: str) -> InvalidInputError:
    return InvalidInputError([Problem("month", message)])
