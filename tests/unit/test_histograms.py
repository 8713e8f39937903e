"""A quantile from a histogram is within 1.083 % of a latency that was measured, and histograms merge exactly."""

from __future__ import annotations

from math import ceil
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis import histograms
from pipeline.analysis.histograms import ALPHA, GAMMA, LOWEST, bucket, build, merge, value, with_quantiles

# As they are stored: 32-bit floats from the finest to far beyond the longest timeout.
latencies = st.lists(st.floats(0.03125, 300_000, width=32), min_size=1, max_size=60)


def frame(values: list[float], group: int = 1) -> pl.DataFrame:
    return pl.DataFrame({"g": [group] * len(values), "latency_ms": pl.Series(values, dtype=pl.Float32)})


def buckets(*values: float) -> list[int]:
    return pl.select(bucket(pl.lit(pl.Series(values, dtype=pl.Float32)))).to_series().to_list()


def test_the_bound_is_the_one_that_we_publish() -> None:
    assert round(100 * ALPHA, 3) == 1.083
    assert pytest.approx(2) == GAMMA**32


def test_powers_of_two_are_the_upper_bounds_of_their_buckets() -> None:
    powers = [2.0**k for k in range(-6, 40)]
    assert buckets(*powers) == [32 * k for k in range(-6, 40)]


def test_what_is_too_fast_to_tell_shares_the_lowest_bucket() -> None:
    assert buckets(0.0, 0.001, 0.01) == [LOWEST] * 3
    assert buckets(0.0102) == [LOWEST + 1]


@given(latencies)
def test_a_bucket_s_value_is_within_alpha_of_what_fell_into_it(values: list[float]) -> None:
    shown = frame(values).with_columns(shown=value(bucket(pl.col("latency_ms"))).cast(pl.Float64))
    off = (shown["shown"] / shown["latency_ms"].cast(pl.Float64) - 1).abs().max()
    assert isinstance(off, float)
    assert off <= ALPHA + 1e-6  # the value itself is rounded to 32 bits


@given(latencies, st.sampled_from([0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0]))
def test_a_quantile_is_within_alpha_of_the_exact_one(values: list[float], q: float) -> None:
    exact = sorted(values)[max(1, ceil(q * len(values) - 1e-9)) - 1]
    found = with_quantiles(build(frame(values), ["g"]), {"q_ms": q})["q_ms"].item()
    assert abs(found / exact - 1) <= ALPHA + 1e-6


@given(st.lists(latencies, min_size=1, max_size=5), st.randoms())
def test_merging_in_any_order_is_building_from_everything(parts: list[list[float]], random: Random) -> None:
    built = [build(frame(part), ["g"]) for part in parts]
    random.shuffle(built)
    whole = build(frame([value for part in parts for value in part]), ["g"])
    assert merge(pl.concat(built), ["g"]).equals(whole)


def test_nothing_counted_has_no_quantiles() -> None:
    nothing = pl.DataFrame(
        {"buckets": [[]], "counts": [[]]}, schema={"buckets": pl.List(pl.Int16), "counts": pl.List(pl.Int32)}
    )
    assert with_quantiles(nothing)["p50_ms"].to_list() == [None]
    assert with_quantiles(nothing.clear()).height == 0


def test_each_row_gets_the_quantiles_of_its_own_histogram() -> None:
    rows = merge(build(pl.concat([frame([1.0] * 9 + [50.0], 1), frame([700.0], 2)]), ["g"]), ["g"])
    found = with_quantiles(rows)
    assert found["p50_ms"].to_list() == pytest.approx([1, 700], rel=ALPHA)
    assert found["p99_ms"].to_list() == pytest.approx([50, 700], rel=ALPHA)


def test_sums_do_not_overflow_where_counts_have_32_bits() -> None:
    rows = pl.DataFrame(
        {"g": [1, 1], "buckets": [[5], [5]], "counts": [[2**31 - 1], [2**31 - 1]]},
        schema={"g": pl.Int64, "buckets": pl.List(pl.Int16), "counts": pl.List(pl.Int32)},
    )
    assert merge(rows, ["g"])["counts"].to_list() == [[2**32 - 2]]
    assert with_quantiles(rows)["p50_ms"].null_count() == 0


def test_what_was_not_measured_is_not_counted() -> None:
    values = pl.DataFrame(
        {"g": [1] * 4, "latency_ms": pl.Series([None, float("nan"), float("inf"), 3.0], dtype=pl.Float32)}
    )
    assert build(values, ["g"])["counts"].to_list() == [[1]]
    assert histograms.merge(build(values.head(1), ["g"]), ["g"]).height == 0
