"""An hour is a function of its ticks, whatever their order and repetition; a day is the merge of its hours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis.histograms import ALPHA, build, with_quantiles
from pipeline.analysis.rollups import daily, hourly
from pipeline.analysis.spans import NEEDS, attempts, slots
from pipeline.frames import HOUR_ROWS, HOURS, TICKS, check, schema

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
TYPES = schema(TICKS, [*NEEDS, "latency_ms", "trusted"])


def tick(at_s: float, state: str = "up", **other: Any) -> dict[str, Any]:
    plain = {"site_id": 1, "region_id": 1, "attempt": 0, "final": True, "kind": "scheduled", "interval_s": 60}
    told = {"scheduled_at": START + timedelta(seconds=at_s), "state": state, "latency_ms": 10.0, "trusted": True}
    return {**plain, **told, **other}


def frame(*ticks: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(ticks, schema=TYPES)


def hours(*ticks: dict[str, Any]) -> list[dict[str, Any]]:
    return check(hourly(frame(*ticks)), HOUR_ROWS).to_dicts()


def test_slots_are_counted_by_state_and_attempts_beside_them() -> None:
    (row,) = hours(
        tick(0),
        tick(60, "degraded"),
        tick(120, "down", final=False),
        tick(120, "down", attempt=1),
        tick(180, "down", final=False),
        tick(180, "up", attempt=1),
        tick(240, "unknown"),
        tick(250, kind="manual"),
    )
    counted = {
        name: row[name] for name in ("checks", "up", "degraded", "down", "unknown", "attempts", "first_failures")
    }
    assert counted == {
        "checks": 5, "up": 2, "degraded": 1, "down": 1, "unknown": 1, "attempts": 7, "first_failures": 2
    }  # fmt: skip


def test_time_goes_to_the_state_that_was_held_and_a_gap_to_none() -> None:
    (row,) = hours(tick(0), tick(60, "down"), tick(90, "unknown"), tick(1800, "degraded"))
    held = [row[f"{state}_us"] / 1e6 for state in ("up", "down", "unknown", "degraded")]
    assert held == [60, 30, 120, 120]


def test_a_state_is_held_into_the_next_hour_and_cut_there() -> None:
    before, after = hours(tick(3590), tick(3650))
    assert (before["at"], before["up_us"]) == (START, 10_000_000)
    assert (after["at"], after["checks"], after["up_us"]) == (START + timedelta(hours=1), 1, 50_000_000 + 120_000_000)


def test_a_daily_check_fills_the_hours_that_it_is_held_through() -> None:
    rows = hours(tick(1800, interval_s=86_400))
    assert len(rows) == 49
    assert sum(row["up_us"] for row in rows) == 2 * 86_400_000_000
    assert [row["checks"] for row in rows] == [1] + [0] * 48


def test_only_trusted_answers_are_in_the_distribution() -> None:
    (row,) = hours(
        tick(0, latency_ms=20.0),
        tick(60, "degraded", latency_ms=40.0),
        tick(120, "down", latency_ms=5_000.0),
        tick(180, latency_ms=900.0, trusted=False),
        tick(240, latency_ms=None),
        tick(300, "unknown", latency_ms=None, trusted=False),
    )
    assert sum(row["counts"]) == 2
    assert row["untrusted"] == 1
    assert row["p99_ms"] == pytest.approx(40, rel=ALPHA)


def test_an_hour_without_answers_has_no_quantiles() -> None:
    (row,) = hours(tick(0, "down"))
    assert (row["p50_ms"], row["buckets"], row["counts"]) == (None, [], [])


def test_an_unconfirmed_failure_alone_makes_a_row_without_a_check() -> None:
    (row,) = hours(tick(0, "down", final=False))
    assert (row["checks"], row["attempts"], row["first_failures"], row["down_us"]) == (0, 1, 1, 0)


def test_nothing_makes_no_rows() -> None:
    assert hours() == []
    assert hours(tick(0, kind="manual")) == []
    assert daily(hourly(frame())).is_empty()


ticks = st.lists(
    st.builds(
        tick,
        at_s=st.integers(0, 3 * 3600).map(lambda seconds: seconds * 11.5),  # over one and a half days
        state=st.sampled_from(["up", "up", "up", "degraded", "down", "unknown"]),
        site_id=st.integers(1, 2),
        attempt=st.integers(0, 2),
        final=st.booleans(),
        interval_s=st.sampled_from([1, 60, 3600, 86_400]),
        latency_ms=st.none() | st.floats(0.0625, 60_000, width=32),
        trusted=st.booleans(),
        kind=st.sampled_from(["scheduled", "scheduled", "manual"]),
    ),
    max_size=25,
    unique_by=lambda tick: (tick["site_id"], tick["scheduled_at"], tick["attempt"]),
)


@given(ticks, st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_order_and_repetition_change_nothing(some: list[dict[str, Any]], seed: int) -> None:
    once = frame(*some)
    twice = pl.concat([once, once.head(5)]).sample(fraction=1, shuffle=True, seed=seed)
    assert hourly(twice).equals(hourly(once))


@given(ticks)
@settings(max_examples=40)
def test_a_day_is_the_merge_of_its_hours(some: list[dict[str, Any]]) -> None:
    by_hour = hourly(frame(*some))
    days = check(daily(by_hour.sample(fraction=1, shuffle=True, seed=7)), HOURS)
    sums = by_hour.group_by(pl.col("at").dt.truncate("1d"), "site_id").agg(pl.col("checks", "attempts", "up_us").sum())
    assert days.select(sums.columns).rows() == sums.sort("at", "site_id").rows()
    answered = slots(attempts(frame(*some))).filter(pl.col("trusted") & pl.col("state").is_in(["up", "degraded"]))
    whole = with_quantiles(build(answered.with_columns(at=pl.col("scheduled_at").dt.truncate("1d")), ["at", "site_id"]))
    measured = days.filter(pl.col("counts").list.len() > 0)
    assert measured.select(whole.columns).rows() == whole.rows()


@given(ticks)
@settings(max_examples=40)
def test_no_more_time_is_held_than_there_is(some: list[dict[str, Any]]) -> None:
    held = hourly(frame(*some)).select(total=pl.sum_horizontal("up_us", "degraded_us", "down_us", "unknown_us"))
    assert (held["total"] <= 3_600_000_000).all()
