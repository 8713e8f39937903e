"""A strange hour is told against the same hour of other weeks, and against what, is told with it."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis import anomalies
from pipeline.answers import ANOMALIES
from pipeline.frames import check
from tests.unit.test_change_points import DAY, START, medians, noise


def test_a_strange_hour_is_told_and_what_it_was_held_against() -> None:
    logs = noise(42 * DAY)
    logs[1000] += 1.0
    worst = check(anomalies(medians(logs)), ANOMALIES).row(0, named=True)
    assert worst["at"] == START + timedelta(hours=1000)
    assert (worst["against"], worst["hours"]) == ("hour of week", 6)
    assert worst["z"] > 5
    assert worst["expected_ms"] == pytest.approx(np.exp(noise(42 * DAY)[1000]), rel=0.5)


@pytest.mark.parametrize(
    ("days", "against"), [(3, "all hours"), (5, "hour of day"), (21, "hour of day"), (28, "hour of week")]
)
def test_with_too_few_weeks_it_falls_back_and_says_so(days: int, against: str) -> None:
    logs = noise(days * DAY)
    logs[-1] += 3.0
    (told,) = anomalies(medians(logs), least_z=8)["against"]
    assert told == against


def test_the_formula_is_that_of_iglewicz_and_hoaglin() -> None:
    logs = np.log([100.0, 102, 98, 104, 96, 101, 150])
    found = anomalies(medians(logs)).row(0, named=True)
    middle = np.median(logs)
    mad = np.median(np.abs(logs - middle))
    assert found["z"] == pytest.approx(0.6745 * (logs[-1] - middle) / mad, rel=1e-3)


def test_latencies_that_never_vary_are_held_to_what_a_bucket_can_tell() -> None:
    logs = np.full(28 * DAY, np.log(50.0))
    assert anomalies(medians(logs)).is_empty()
    logs[100] = np.log(50.5)  # 1 %: the neighbouring bucket
    assert anomalies(medians(logs)).is_empty()
    logs[100] = np.log(80.0)
    assert anomalies(medians(logs))["z"].to_list() == [pytest.approx(0.6745 * np.log(1.6) / (np.log(2) / 64), rel=0.01)]


def test_few_of_the_hours_of_noise_are_strange() -> None:
    found = anomalies(medians(noise(90 * DAY)))
    assert found.height < 0.01 * 90 * DAY


def test_only_what_is_new_is_told() -> None:
    logs = noise(28 * DAY)
    logs[[50, 600]] += 2
    since = START + timedelta(hours=500)
    assert anomalies(medians(logs), least_z=8, since=since)["at"].to_list() == [START + timedelta(hours=600)]


def test_nothing_is_no_anomaly() -> None:
    assert check(anomalies(medians(noise(0))), ANOMALIES).is_empty()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.1, 10_000), min_size=1, max_size=60))
def test_z_is_finite_and_the_strangest_is_first(values: list[float]) -> None:
    found = anomalies(medians(np.log(np.array(values))), least_z=0)
    assert found.height == len(values)
    assert found["z"].is_finite().all()
    assert found.select(pl.col("z").abs()).to_series().is_sorted(descending=True)
