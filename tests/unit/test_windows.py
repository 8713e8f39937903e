"""The window in the address: what it says comes back, what it cannot mean is explained, and it moves as one expects."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import urlencode

import pytest

from app import windows
from app.windows import DAY, HOUR, MINUTE, RANGES, Window
from pipeline.errors import InvalidInputError

NOW = datetime(2026, 3, 10, 12, 34, 56, 789000, tzinfo=UTC)


def read(**said: str) -> Window:
    return windows.read(said.get("range", ""), said.get("from", ""), said.get("to", ""), "6h")


@pytest.mark.parametrize(
    "window",
    [
        *map(windows.following, RANGES.values()),
        windows.following(timedelta(hours=14, minutes=37)),
        windows.between(datetime(2026, 2, 28, 23, 59, tzinfo=UTC), datetime(2026, 3, 1, 0, 7, tzinfo=UTC)),
    ],
)
def test_an_address_says_the_window_that_it_was_made_of(window: Window) -> None:
    said = {name: value for name, value in window.address().items() if value}
    assert read(**said) == window
    assert " " not in urlencode(said)


def test_the_times_of_an_address_are_utc_wherever_they_were_picked() -> None:
    kolkata = timezone(timedelta(hours=5, minutes=30))
    window = windows.between(datetime(2026, 3, 1, 5, 30, tzinfo=kolkata), datetime(2026, 3, 1, 7, 0, tzinfo=kolkata))
    assert window.address() == {"from": "2026-03-01T00:00Z", "to": "2026-03-01T01:30Z"}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"range": "soon"}, "'soon' is no length: write 1h, 6h, 24h, 7d, 30d, 90d"),
        ({"range": "9999d"}, "up to 400d"),
        ({"from": "2026-03-01T10:00Z"}, "a window needs both from= and to="),
        ({"from": "yesterday", "to": "2026-03-01T10:00Z"}, "write it in UTC by the minute, such as from="),
        ({"from": "2026-03-01T10:00", "to": "2026-03-01T11:00"}, "'2026-03-01T10:00' is no time"),
        ({"from": "2026-03-01T11:00Z", "to": "2026-03-01T10:00Z"}, "ends (2026-03-01T10:00Z) before it begins"),
        ({"from": "2020-01-01T00:00Z", "to": "2026-03-01T10:00Z"}, "400 days long at most"),
    ],
)  # fmt: skip
def test_an_address_that_means_nothing_is_explained(said: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read(**said)
    assert message in refused.value.problems[0].message


def test_what_follows_now_asks_the_same_for_a_while_and_then_moves_on() -> None:
    window = windows.following(HOUR)
    assert window.bounds(NOW) == window.bounds(NOW + timedelta(seconds=1))
    assert window.bounds(NOW) != window.bounds(NOW + timedelta(seconds=5))
    for length in RANGES.values():
        since, until = windows.following(length).bounds(NOW)
        assert until - since == length
        assert timedelta() <= NOW - until <= length / 100


def test_a_window_that_is_too_short_to_look_at_is_widened() -> None:
    since = datetime(2026, 3, 1, 10, 0, 30, tzinfo=UTC)
    assert windows.between(since, since + timedelta(seconds=2)).length == windows.SHORTEST


def test_zooming_out_keeps_the_middle_and_never_shows_what_is_to_come() -> None:
    window = windows.between(*(windows.floored(NOW - days * DAY, 60) for days in (10, 9)))
    wider = windows.wider(window, NOW)
    assert wider.length == 3 * window.length
    assert wider.bounds(NOW)[0] == window.bounds(NOW)[0] - DAY
    late = windows.wider(windows.between(NOW - 2 * HOUR, NOW - HOUR), NOW)
    assert late.bounds(NOW)[1] <= NOW
    assert windows.wider(windows.following(6 * HOUR), NOW) == windows.following(24 * HOUR)


def test_earlier_and_later_step_by_the_windows_length() -> None:
    window = windows.between(NOW - 10 * DAY, NOW - 9 * DAY)
    earlier = windows.beside(window, NOW, steps=-1)
    assert earlier.bounds(NOW)[1] == window.bounds(NOW)[0]
    assert windows.beside(earlier, NOW, steps=1) == window
    assert windows.beside(windows.between(NOW - 3 * HOUR, NOW - HOUR), NOW, steps=1).bounds(NOW)[1] <= NOW


def test_the_overview_reaches_over_a_month_and_over_the_window_but_not_to_before_the_site() -> None:
    def reach(window: Window, created_at: datetime) -> timedelta:
        since, until = windows.reach(window, created_at, NOW)
        return until - since

    long_ago = NOW - 300 * DAY
    assert abs(reach(windows.following(HOUR), long_ago) - 30 * DAY) <= MINUTE
    assert reach(windows.following(90 * DAY), long_ago) >= 90 * DAY
    assert abs(reach(windows.following(90 * DAY), NOW - 40 * DAY) - 40 * DAY) <= MINUTE
    assert reach(windows.following(HOUR), NOW - 10 * MINUTE) >= HOUR


def test_a_window_that_begins_in_the_future_is_refused_and_one_that_ends_there_is_not() -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with pytest.raises(InvalidInputError, match=r"begins .2027-01-01T00:00Z. in the future"):
        windows.read("", "2027-01-01T00:00Z", "2027-01-02T00:00Z", "6h", now)
    assert windows.read("", "2026-03-01T11:00Z", "2026-03-01T13:00Z", "6h", now).length == timedelta(hours=2)
