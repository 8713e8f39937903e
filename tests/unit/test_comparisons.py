"""A difference comes with its interval: that of the planted truth is in it, and time that is alike counts as less."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis import compare, histograms
from pipeline.analysis.histograms import ALPHA
from pipeline.answers import COMPARED
from pipeline.frames import ROLLUPS, TICKS, TIME, check, schema

START = datetime(2026, 3, 1, tzinfo=UTC)


def rollup(
    hours: int, median_ms: float = 100.0, *, seed: int = 0, start: datetime = START, day_noise: float = 0.0
) -> pl.DataFrame:
    """[at, buckets, counts] of 60 checks an hour; whole days are faster and slower together by `day_noise`."""
    random = np.random.default_rng(seed)
    days = np.repeat(random.normal(0, day_noise, hours // 24 + 1), 24)[:hours] if day_noise else np.zeros(hours)
    logs = np.log(median_ms) + days[:, None] + random.normal(0, 0.3, (hours, 60))
    flat = pl.DataFrame({"hour": np.repeat(np.arange(hours), 60), "latency_ms": np.exp(logs).ravel()})
    at = pl.lit(start, TIME) + pl.duration(hours=pl.col("hour"))
    built = histograms.build(flat.with_columns(at=at.cast(TIME)), ["at"])
    return built.cast({"buckets": ROLLUPS["buckets"].dtype})


def test_the_truth_is_in_the_interval_and_nothing_is_not() -> None:
    found = check(compare(rollup(240), rollup(240, 130.0, seed=1)), COMPARED)
    median = found.row(0, named=True)
    assert (median["quantile"], median["blocks"], median["left_checks"]) == (0.5, 10, 14_400)
    assert median["left_ms"] == pytest.approx(100, rel=0.03)
    assert 0 < median["low_ms"] <= 30 * 1.1
    assert median["low_ms"] <= median["difference_ms"] <= median["high_ms"]
    assert median["ratio_low"] <= 1.3 * (1 + 2 * ALPHA)
    assert median["ratio_high"] >= 1.3 * (1 - 2 * ALPHA)
    assert median["ratio_low"] > 1


def test_the_same_answer_each_time() -> None:
    frames = rollup(240, day_noise=0.3), rollup(264, 130.0, seed=1, day_noise=0.3)
    assert compare(*frames).equals(compare(*frames))
    assert not compare(*frames, seed=1).equals(compare(*frames, seed=2))


def test_days_that_are_alike_within_make_the_interval_wide() -> None:
    after = START + timedelta(days=30)
    steady, uneven = (
        compare(rollup(240, day_noise=noise), rollup(240, seed=1, start=after, day_noise=noise)).row(0, named=True)
        for noise in (0.0, 0.3)
    )
    assert uneven["high_ms"] - uneven["low_ms"] > 4 * (steady["high_ms"] - steady["low_ms"])


def test_what_both_sides_have_in_common_cancels_out() -> None:
    """Two regions that see the same slow days differ as surely as if there were none."""
    left = rollup(240, day_noise=0.3)
    shifted = left.with_columns(buckets=pl.col("buckets") + pl.lit(8, pl.Int16))
    row = compare(left, shifted).row(0, named=True)
    assert row["ratio_low"] == pytest.approx(2 ** (8 / 32), rel=1e-6)
    assert row["ratio_high"] == pytest.approx(2 ** (8 / 32), rel=1e-6)


def test_too_few_blocks_have_no_interval() -> None:
    row = compare(rollup(12), rollup(12, seed=1)).row(0, named=True)
    assert row["blocks"] == 2
    assert row["left_ms"] is not None
    assert [row[name] for name in ("low_ms", "high_ms", "ratio_low", "ratio_high")] == [None] * 4


def test_one_side_without_latencies_has_no_difference() -> None:
    row = compare(rollup(0), rollup(240)).row(0, named=True)
    assert (row["left_ms"], row["difference_ms"], row["left_checks"], row["right_checks"]) == (None, None, 0, 14_400)
    assert compare(rollup(0), rollup(0)).height == 4


def test_ticks_will_do_and_failures_and_untrusted_ones_are_not_in_it() -> None:
    rows = [
        {
            "scheduled_at": START + timedelta(hours=hour),
            "state": state,
            "latency_ms": ms,
            "trusted": trusted,
            "final": True,
        }
        for hour in range(48)
        for state, ms, trusted in (("up", 100.0, True), ("down", 9000.0, True), ("up", 5000.0, False))
    ]
    ticks = pl.DataFrame(rows, schema=schema(TICKS, rows[0]))
    row = compare(ticks, ticks, [0.99]).row(0, named=True)
    assert row["left_ms"] == pytest.approx(100, rel=ALPHA)
    assert (row["left_checks"], row["blocks"], row["ratio_low"], row["ratio_high"]) == (48, 8, 1.0, 1.0)


@settings(max_examples=10, deadline=None)
@given(st.integers(24, 120), st.floats(0.1, 5000), st.sampled_from([0.1, 0.5, 0.9, 0.99]), st.integers(0, 99))
def test_quantiles_are_those_of_the_merged_histogram_and_swapping_turns_the_sign(
    hours: int, median_ms: float, q: float, seed: int
) -> None:
    left, right = rollup(hours, median_ms, seed=seed), rollup(hours, 90.0, seed=seed + 1)
    row, swapped = (compare(*pair, [q], draws=50).row(0, named=True) for pair in ((left, right), (right, left)))
    merged = histograms.with_quantiles(histograms.merge(left.with_columns(all=pl.lit(0)), ["all"]), {"ms": q})
    assert row["left_ms"] == pytest.approx(merged["ms"][0], rel=1e-5)
    assert swapped["difference_ms"] == pytest.approx(-row["difference_ms"], rel=1e-4, abs=1e-4)
