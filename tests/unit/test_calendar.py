"""Periods of a time zone are whole, also where the clocks change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from pipeline.calendar import Every, first_day, midnight, over

BERLIN = ZoneInfo("Europe/Berlin")
EVERY: tuple[Every, ...] = ("day", "week", "month")
ZONES = (BERLIN, *map(ZoneInfo, ("UTC", "America/New_York", "Asia/Kolkata", "Pacific/Apia")))


def test_a_day_with_a_changed_clock_has_23_or_25_hours() -> None:
    lengths = {day: until - since for day, since, until in over("day", at(2026, 3, 1), at(2026, 11, 1), BERLIN)}
    assert lengths[date(2026, 3, 29)] == timedelta(hours=23)
    assert lengths[date(2026, 10, 25)] == timedelta(hours=25)


def test_a_week_begins_on_monday_and_a_month_on_its_first() -> None:
    assert first_day("week", at(2026, 11, 24), UTC) == date(2026, 11, 23)
    assert first_day("month", at(2026, 11, 24), UTC) == date(2026, 11, 1)
    assert first_day("day", datetime(2026, 11, 24, 23, 30, tzinfo=UTC), BERLIN) == date(2026, 11, 25)


def test_only_what_is_over_counts() -> None:
    since = midnight(date(2026, 11, 1), BERLIN)
    days = [day for day, *_ in over("day", since, midnight(date(2026, 11, 3), BERLIN) - timedelta(seconds=1), BERLIN)]
    assert days == [date(2026, 11, 1)]


@given(
    st.sampled_from(EVERY),
    st.sampled_from(ZONES),
    st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001 - made aware below
    st.integers(0, 100),
)
def test_periods_follow_each_other_without_a_gap(every: Every, tz: ZoneInfo, start: datetime, days: int) -> None:
    since = start.replace(tzinfo=UTC)
    found = list(over(every, since, since + timedelta(days=days), tz))
    assert all(one[2] == other[1] for one, other in pairwise(found))
    assert all(since <= begins < ends <= since + timedelta(days=days) for _, begins, ends in found)


def at(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)
