"""Which marked hours are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from workers.roller import horizon

NOW = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
HOUR = NOW.replace(minute=0)


def test_hours_that_are_over_are_always_due() -> None:
    assert horizon(NOW, NOW) == HOUR


def test_open_hours_are_due_once_a_minute_however_long_they_take() -> None:
    assert horizon(NOW, None) > NOW
    assert horizon(NOW, NOW - timedelta(seconds=59), timedelta(seconds=30)) == HOUR
    assert horizon(NOW, NOW - timedelta(seconds=60), timedelta(seconds=30)) > NOW


def test_open_hours_that_are_cheap_are_due_sooner() -> None:
    assert horizon(NOW, NOW - timedelta(seconds=5), timedelta(milliseconds=100)) > NOW
    assert horizon(NOW, NOW - timedelta(seconds=4), timedelta(milliseconds=100)) == HOUR


def test_a_clock_that_was_set_back_does_not_stop_them() -> None:
    assert horizon(NOW, NOW + timedelta(hours=1)) > NOW
