"""Times as people give them: an aware datetime, a date, how long ago, or text of either. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from pipeline.errors import InvalidInputError, Problem

Moment = datetime | date | str

_AGO = re.compile(r"-(\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(given: Moment, now: datetime, field: str) -> datetime:
    """A time as people give it: aware datetime, date, "-7d", or an ISO string of either. Errors: InvalidInputError."""
    zone = "tzinfo=UTC"
    try:
        if isinstance(given, str):
            zone, given = "Z at its end", given.strip()
            if ago := _AGO.fullmatch(given):
                return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
            given = datetime.fromisoformat(given) if len(given) > 10 else date.fromisoformat(given)
        if not isinstance(given, datetime):
            return datetime.combine(given, time(), UTC)
        if given.tzinfo is None:
            raise InvalidInputError([Problem(field, f"{given} has no time zone: add one, such as {zone}")])
        return given.astimezone(UTC)
    except OverflowError:
        raise InvalidInputError([Problem(field, f"{given} is too long ago, or too far ahead")]) from None
    except ValueError:
        message = f"{given!r} is no time: write -7d, -4h, -90m, 2026-03-01 or 2026-03-01T12:00Z"
        raise InvalidInputError([Problem(field, message)]) from None
