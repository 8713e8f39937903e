"""Days, weeks and months of a time zone, as UTC times: whole ones, whatever the clocks do in them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import count
from typing import Literal
from zoneinfo import ZoneInfo

from pipeline.errors import InvalidInputError, Problem

Every = Literal["day", "week", "month"]
DAY = timedelta(days=1)


def zone(name: str) -> ZoneInfo:
    """The time zone of that name. Errors: InvalidInputError."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        message = f"there is no time zone {name!r}; write it as in Europe/Berlin"
        raise InvalidInputError([Problem("tz", message)]) from error


def midnight(day: date, where: tzinfo = UTC) -> datetime:
    """When a local day begins, in UTC. Where clocks skip midnight, that is when they do."""
    return datetime.combine(day, time(), where).astimezone(UTC)


def day_of(at: datetime) -> datetime:
    """The beginning of the time's UTC day."""
    return midnight(at.astimezone(UTC).date())


def first_day(every: Every, at: datetime, where: tzinfo) -> date:
    """The first day of the day, week (from Monday) or month that the time is in, there."""
    day = at.astimezone(where).date()
    if every == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if every == "month" else day


def next_first_day(every: Every, day: date) -> date:
    """The first day of the period after the one that begins on `day`."""
    if every == "month":
        return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return day + timedelta(days=7 if every == "week" else 1)


def first_days(every: Every, day: date) -> Iterator[date]:
    """`day` and the first days of all periods after it."""
    for _ in count():
        yield day
        day = next_first_day(every, day)


def over(every: Every, since: datetime, until: datetime, where: tzinfo) -> Iterator[tuple[date, datetime, datetime]]:
    """First day, beginning and end of every period that begins at or after `since` and is over at `until`."""
    for day in first_days(every, first_day(every, since, where)):
        begins, ends = midnight(day, where), midnight(next_first_day(every, day), where)
        if ends > until:
            return
        if begins >= since:
            yield day, begins, ends
