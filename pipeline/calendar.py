"""Days, weeks and months of a time zone, as UTC times: whole ones, whatever the clocks do in them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Every = Literal["day", "week", "month"]


def first_day(every: Every, at: datetime, tz: str) -> date:
    """The first day of the day, week (from Monday) or month that the time is in, there."""
    day = at.astimezone(ZoneInfo(tz)).date()
    if every == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if every == "month" else day


def next_first_day(every: Every, day: date) -> date:
    """The first day of the period after the one that begins on `day`."""
    if every == "month":
        return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return day + timedelta(days=7 if every == "week" else 1)


def midnight(day: date, tz: str) -> datetime:
    """When the day begins there, as UTC."""
    return datetime.combine(day, time(), ZoneInfo(tz)).astimezone(UTC)


def over(every: Every, since: datetime, until: datetime, tz: str) -> Iterator[tuple[date, datetime, datetime]]:
    """First day, beginning and end of every period that begins at or after `since` and is over at `until`."""
    day = first_day(every, since, tz)
    if midnight(day, tz) < since:
        day = next_first_day(every, day)
    while midnight(next_first_day(every, day), tz) <= until:
        yield day, midnight(day, tz), midnight(next_first_day(every, day), tz)
        day = next_first_day(every, day)
