"""A step is found where it is, a drift becomes a stair, and noise stays silent, whatever its rhythm."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.analysis import changes
from pipeline.answers import CHANGES, MEDIANS, PHASE
from pipeline.frames import KEY, check, schema

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
DAY = 24
Logs = NDArray[np.float64]


def medians(logs: Logs, *, site: str = "shop", region: str = "eu", phase: str = "total") -> pl.DataFrame:
    """Frame MEDIANS of one series, an hour each."""
    rows = pl.DataFrame({"at": [START + timedelta(hours=hour) for hour in range(len(logs))], "p50_ms": np.exp(logs)})
    named = rows.with_columns(site=pl.lit(site, KEY), region=pl.lit(region, KEY), phase=pl.lit(phase, PHASE))
    return named.select(list(MEDIANS)).cast(schema(MEDIANS))


def noise(hours: int, seed: int = 0, *, alike: float = 0.0) -> Logs:
    """Around 100 ms: a daily rhythm of 20 %, and chance, which may last for some hours. Of four weeks and more, it is
    slower at weekends, too: of less nobody could tell that from a change.
    """
    chance = np.random.default_rng(seed).normal(0, 0.1, hours)
    for hour in range(1, hours):
        chance[hour] += alike * chance[hour - 1]
    places = np.arange(hours)
    weekend = (places // DAY % 7 >= 5) & (hours >= 28 * DAY)
    logs: Logs = 4.6 + 0.2 * np.sin(2 * np.pi * places / DAY) + 0.1 * weekend + chance
    return logs


@pytest.mark.parametrize("seed", range(5))
def test_a_step_of_30_percent_is_found_where_it_is(seed: int) -> None:
    logs = noise(28 * DAY, seed)
    logs[400:] += np.log(1.3)
    found = check(changes(medians(logs)), CHANGES)
    assert found.height == 1
    row = found.row(0, named=True)
    assert abs((row["at"] - START) / timedelta(hours=1) - 400) <= 6
    assert row["ratio"] == pytest.approx(1.3, rel=0.03)
    assert row["after_ms"] / row["before_ms"] == pytest.approx(row["ratio"], rel=1e-3)
    assert row["hours_before"] + row["hours_after"] == 28 * DAY
    assert row["p_value"] < 1e-20


def test_a_step_of_yesterday_is_found_today() -> None:
    logs = noise(28 * DAY)
    logs[-30:] += np.log(1.3)
    (at,) = changes(medians(logs))["at"]
    assert abs((at - START) / timedelta(hours=1) - (28 * DAY - 30)) <= 6


def test_a_step_that_is_taken_back_is_two() -> None:
    logs = noise(28 * DAY)
    logs[300:400] += np.log(1.5)
    first, second = changes(medians(logs))["ratio"]
    assert first == pytest.approx(1.5, rel=0.04)
    assert second == pytest.approx(1 / 1.5, rel=0.04)


def test_a_slow_drift_becomes_a_stair() -> None:
    hours = np.arange(60 * DAY)
    logs = noise(60 * DAY) + 0.5 * np.clip((hours - 20 * DAY) / (20 * DAY), 0, 1)
    found = changes(medians(logs))
    assert found.height >= 3
    assert (found["ratio"] > 1).all()
    assert np.prod(found["ratio"].to_numpy()) == pytest.approx(np.exp(0.5), rel=0.05)
    inside = found["at"].is_between(START + timedelta(days=18), START + timedelta(days=42))
    assert inside.all()


@pytest.mark.parametrize("alike", [0.0, 0.6])
@pytest.mark.parametrize("days", [10, 28])
def test_noise_with_a_rhythm_stays_silent(days: int, alike: float) -> None:
    fleet = [medians(noise(days * DAY, seed, alike=alike), site=f"site-{seed}") for seed in range(60)]
    assert changes(pl.concat(fleet)).height <= 1


def test_of_many_series_only_the_one_that_shifted_is_told() -> None:
    fleet = [medians(noise(21 * DAY, seed), site=f"site-{seed}") for seed in range(30)]
    shifted = noise(21 * DAY, 99)
    shifted[200:] -= 0.4
    found = changes(pl.concat([*fleet, medians(shifted, site="faster", region="us", phase="tls")]))
    assert found.select("site", "region", "phase").rows() == [("faster", "us", "tls")]


def test_hours_without_a_median_are_no_level() -> None:
    logs = noise(28 * DAY)
    logs[400:] += np.log(1.3)
    holey = medians(logs).with_columns(pl.when(pl.col("at").dt.hour() != 3).then(pl.col("p50_ms")))
    assert changes(holey).height == 1


def test_nothing_and_too_little_have_no_changes() -> None:
    for hours in (0, 1, 47):
        assert check(changes(medians(noise(hours))), CHANGES).is_empty()
    assert changes(medians(np.full(20 * DAY, 4.0))).is_empty()


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(60, 340),
    st.floats(0.25, 1.5),
    st.sampled_from([1, -1]),
    st.floats(0.01, 100),
)
def test_where_and_how_much_do_not_depend_on_the_unit(
    seed: int, place: int, step: float, sign: int, unit: float
) -> None:
    logs = noise(400, seed)
    logs[place:] += sign * step
    found, scaled = (changes(medians(each)) for each in (logs, logs + np.log(unit)))
    assert found["at"].to_list() == scaled["at"].to_list()
    assert found.height >= 1
    assert found["ratio"].to_list() == pytest.approx(scaled["ratio"].to_list(), rel=1e-3)
    strongest = found.row(int(np.argmin(found["p_value"].to_numpy())), named=True)
    assert abs((strongest["at"] - START) / timedelta(hours=1) - place) <= 12
    assert np.sign(np.log(strongest["ratio"])) == sign
