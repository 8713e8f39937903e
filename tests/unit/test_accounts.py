"""Uptime comes with its coverage and its bounds, and nothing known is never 100 %."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.analysis.accounts import expected, quantiles, uptime, within_expected
from pipeline.analysis.claims import at_least, checks_for
from pipeline.analysis.histograms import ALPHA
from pipeline.analysis.rollups import HELD
from pipeline.answers import UPTIME
from pipeline.frames import HOURS, ROLLUPS, TIME, check, schema

START = datetime(2026, 3, 1, tzinfo=UTC)


def rollup(**seconds: float) -> pl.DataFrame:
    given = {f"{state}_us": int(seconds.get(state, 0) * 1e6) for state in ("up", "degraded", "down", "unknown")}
    row = {**given, "expected_s": float(seconds["expected"]), "checks": 10}
    return pl.DataFrame([row], schema=schema(ROLLUPS, row))


def test_degraded_counts_as_up_and_a_gap_as_neither() -> None:
    row = check(uptime(rollup(up=60, degraded=30, down=10, expected=200)), UPTIME).row(0, named=True)
    numbers = {"uptime": 0.9, "low": 0.45, "high": 0.95, "coverage": 0.5, "down_s": 10, "unknown_s": 100, "checks": 10}
    assert row == pytest.approx(numbers | {"up_s": 90} | dict.fromkeys(["at_least", "down_least_s", "down_most_s"]))


def test_nothing_known_is_null() -> None:
    row = uptime(rollup(expected=100, unknown=100)).row(0, named=True)
    assert row["uptime"] is None
    assert (row["low"], row["high"], row["coverage"]) == (0, 1, 0)
    nothing = uptime(rollup(expected=0)).row(0, named=True)
    assert [nothing[name] for name in ("uptime", "low", "high", "coverage")] == [None] * 4


def test_what_is_held_after_a_pause_does_not_raise_coverage_above_one() -> None:
    row = uptime(rollup(up=120, expected=100)).row(0, named=True)
    assert (row["uptime"], row["coverage"], row["low"], row["unknown_s"]) == (1, 1, 1, 0)


def held(last: str = "down", beyond_s: float = 0.0, **seconds: float) -> dict[str, float]:
    """Seconds by state within what was called for, of a row whose last state is held so long past the end of that."""
    row = rollup(**seconds).with_columns(
        called_until=pl.lit(START, TIME),
        last_until=pl.lit(START + timedelta(seconds=beyond_s), TIME),
        last_state=pl.lit(HELD.index(f"{last}_us"), pl.Int16),
    )
    return {name: us / 1e6 for name, us in row.select(within_expected()).row(0, named=True).items() if us}


def test_what_is_held_beyond_now_is_the_last_states_alone() -> None:
    # A site checked every half hour was up for 29 min and has been down for 5 s: its tick is believed for an hour.
    assert held("down", up=1740, down=1860, beyond_s=1855, expected=1745) == {"up_us": 1740, "down_us": 5}
    assert held("up", up=120, down=60, beyond_s=20, expected=160) == {"up_us": 100, "down_us": 60}


def test_what_was_held_past_a_pause_that_ended_is_taken_back_in_proportion() -> None:
    assert held(up=80, down=40, expected=60) == {"up_us": 40, "down_us": 20}
    assert held(down=120, expected=0) == {}
    assert held(up=50, expected=60) == {"up_us": 50}


def test_by_adds_up_seconds_not_percentages() -> None:
    parts = [rollup(up=90, down=10, expected=100), rollup(up=1, expected=1)]
    both = pl.concat(part.with_columns(region=pl.lit(key)) for part, key in zip(parts, "ab", strict=True))
    assert uptime(both)["uptime"].item() == pytest.approx(91 / 101)
    assert uptime(both, ["region"])["uptime"].to_list() == pytest.approx([0.9, 1.0])
    assert uptime(both.lazy(), ["region"]).collect().equals(uptime(both, ["region"]))


seconds = st.floats(0, 3600)


@given(seconds, seconds, seconds, seconds)
def test_the_bounds_enclose_the_uptime(up: float, degraded: float, down: float, expected_s: float) -> None:
    row = uptime(rollup(up=up, degraded=degraded, down=down, expected=expected_s)).row(0, named=True)
    if row["uptime"] is not None:
        assert row["low"] <= row["uptime"] + 1e-12
        assert row["uptime"] <= row["high"] + 1e-12
        assert row["coverage"] is None or 0 <= row["coverage"] <= 1


def revisions(*edits: tuple[float, bool]) -> pl.DataFrame:
    rows = [(n, 1, 1, START + timedelta(hours=hour), active) for n, (hour, active) in enumerate(edits)]
    types = pl.Schema(
        {"id": pl.Int64(), **schema(HOURS, ["site_id", "region_id"]), "effective_at": TIME, "active": pl.Boolean()}
    )
    return pl.DataFrame(rows, schema=types, orient="row")


def test_expected_time_is_the_active_time_of_each_hour() -> None:
    edits = revisions((0.5, True), (1.25, True), (1.5, False), (3, True))
    found = expected(edits, START, START + timedelta(hours=3.25), "1h")
    assert found.select("at", "expected_s").rows() == [
        (START, 1800),
        (START + timedelta(hours=1), 1800),
        (START + timedelta(hours=3), 900),
    ]
    assert expected(edits, START, START + timedelta(hours=3.25), "1d")["expected_s"].to_list() == [4500]
    ends = [START + timedelta(hours=hours) for hours in (1, 1.5, 3.25)]
    assert found["called_until"].to_list() == ends, "when the last of it ends"


def test_a_revision_from_long_ago_is_still_in_force() -> None:
    found = expected(revisions((-1000, True)), START, START + timedelta(days=2), "1d")
    assert found["expected_s"].to_list() == [86_400, 86_400]
    assert expected(revisions((-1000, False)), START, START + timedelta(days=2), "1d").is_empty()


def test_quantiles_are_named_and_merged() -> None:
    rows = pl.DataFrame(
        {"region": ["a", "a", "b"], "buckets": [[0], [32], []], "counts": [[99], [1], []]},
        schema={"region": pl.String, "buckets": pl.List(pl.Int16), "counts": pl.List(pl.Int64)},
    )
    found = quantiles(rows, [0.5, 0.999], ["region"])
    assert found.columns == ["region", "checks", "p50_ms", "p99.9_ms"]
    assert found.row(0) == ("a", 100, pytest.approx(1, rel=ALPHA), pytest.approx(2, rel=ALPHA))
    assert quantiles(rows, [0.5])["checks"].to_list() == [100]


def test_many_checks_are_needed_for_many_nines() -> None:
    assert [checks_for(share) for share in (0.999, 0.9999, 0.99999)] == [3_838, 38_413, 384_157]
    assert at_least(0) is None
    shown = at_least(3_838)
    assert shown is not None
    assert shown >= 0.999 > (at_least(3_837) or 1)
