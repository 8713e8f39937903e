"""A tick's state holds until the next one, two intervals at most; a gap is unknown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipeline.analysis.spans import NEEDS, spans
from pipeline.frames import SPANS, TICKS, FrameError, check, schema

START = datetime(2026, 3, 1, 10, tzinfo=UTC)


def tick(at_s: float, state: str = "up", **other: Any) -> dict[str, Any]:
    plain = {"site_id": 1, "region_id": 1, "attempt": 0, "final": True, "kind": "scheduled", "interval_s": 60}
    return {**plain, "scheduled_at": START + timedelta(seconds=at_s), "state": state, **other}


def runs(*ticks: dict[str, Any]) -> list[tuple[str, float, float, int]]:
    frame = check(spans(pl.DataFrame(ticks, schema=schema(TICKS, NEEDS))), SPANS)
    seconds = [((pl.col(name) - START).dt.total_microseconds() / 1e6).alias(name) for name in ("since", "until")]
    return frame.select("state", *seconds, "checks").rows()


def test_equal_states_are_one_span_and_a_change_begins_another() -> None:
    found = runs(tick(0), tick(60), tick(120, "down"), tick(180))
    assert found == [("up", 0, 120, 2), ("down", 120, 180, 1), ("up", 180, 300, 1)]


def test_a_state_is_believed_for_two_intervals_and_the_rest_of_the_gap_is_unknown() -> None:
    assert runs(tick(0), tick(600)) == [("up", 0, 120, 1), ("unknown", 120, 600, 0), ("up", 600, 720, 1)]


def test_an_unknown_tick_begins_a_span_at_once_and_takes_the_gap_in() -> None:
    found = runs(tick(0), tick(60, "unknown"), tick(600))
    assert found == [("up", 0, 60, 1), ("unknown", 60, 600, 1), ("up", 600, 720, 1)]


def test_the_interval_that_counts_is_the_one_stored_on_the_tick() -> None:
    assert runs(tick(0, interval_s=10), tick(60)) == [("up", 0, 20, 1), ("unknown", 20, 60, 0), ("up", 60, 180, 1)]


def test_a_confirmed_failure_counts_once_and_a_refuted_one_not_at_all() -> None:
    confirmed = (tick(0, "down", final=False), tick(0, "down", attempt=1))
    refuted = (tick(60, "down", final=False), tick(60, "up", attempt=1))
    assert runs(*confirmed, *refuted) == [("down", 0, 60, 1), ("up", 60, 180, 1)]


def test_of_two_final_attempts_the_lower_is_the_slot_s_tick() -> None:
    assert runs(tick(0, "down", attempt=1), tick(0, "up")) == [("up", 0, 120, 1)]


def test_a_manual_check_changes_nothing() -> None:
    assert runs(tick(0), tick(30, "down", kind="manual"), tick(60)) == [("up", 0, 180, 2)]


def test_series_do_not_touch_each_other() -> None:
    found = runs(tick(0), tick(60, "down", region_id=2), tick(60))
    assert found == [("up", 0, 180, 2), ("down", 60, 180, 1)]


def test_a_lazy_frame_gives_the_same() -> None:
    frame = pl.DataFrame([tick(30 * n, "down" if n % 7 else "up") for n in range(50)], schema=schema(TICKS, NEEDS))
    assert spans(frame.sample(fraction=1, shuffle=True, seed=1).lazy()).collect().equals(spans(frame))


def test_a_missing_column_is_named() -> None:
    with pytest.raises(FrameError, match="interval_s is missing"):
        spans(pl.DataFrame([tick(0)], schema=schema(TICKS, NEEDS)).drop("interval_s"))
