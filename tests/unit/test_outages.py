"""Outages, how soon they were found and repaired; apdex; and how sure an uptime is over days. Worked by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.analysis.accounts import uptime
from pipeline.analysis.apdexes import apdex
from pipeline.analysis.claims import at_least
from pipeline.analysis.cuts import cut_by
from pipeline.analysis.hours import BusinessHours
from pipeline.analysis.policies import POLICIES
from pipeline.analysis.repairs import outages, reliability
from pipeline.analysis.resampling import interval
from pipeline.analysis.rollups import hourly
from pipeline.analysis.spans import NEEDS
from pipeline.answers import APDEX, OUTAGES, RELIABILITY, UPTIME
from pipeline.errors import InvalidInputError
from pipeline.frames import ROLLUPS, SITE_SPANS, TICKS, check, schema

START = datetime(2026, 3, 2, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def site_spans(*runs: tuple[str, float, float], site_id: int = 1, **edges: float) -> pl.DataFrame:
    """Frame SITE_SPANS of runs (state, from minute, to minute); `edges` in minutes are those of the down ones."""
    told = {name: START + minute * MINUTE for name, minute in edges.items()}
    rows = [
        {
            "site": f"site-{site_id}", "site_id": site_id, "state": state,
            "since": START + since * MINUTE, "until": START + until * MINUTE,
            "down": 2 if state == "down" else 0, "known": 2, "regions": 2,
            "began_after": told.get("began_after") if state == "down" else None,
            "ended_after": told.get("ended_after") if state == "down" else None,
        }
        for state, since, until in runs
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=schema(SITE_SPANS))


def test_uptime_by_vote_has_edges_that_say_how_exact_its_downtime_is() -> None:
    spans = site_spans(("up", 0, 10), ("down", 10, 15), ("degraded", 15, 20), began_after=9, ended_after=14)
    row = check(uptime(spans), UPTIME).row(0, named=True)
    assert (row["uptime"], row["down_s"]) == (pytest.approx(15 / 20), 300)
    assert (row["down_least_s"], row["down_most_s"]) == (240, 360)
    assert (row["checks"], row["at_least"]) == (None, None), "a site's spans do not count their checks"
    assert uptime(spans.lazy()).collect().equals(uptime(spans))


def test_maintenance_and_pause_are_outside_and_the_unknown_is_neither_up_nor_down() -> None:
    runs = [("up", 0, 6), ("maintenance", 6, 20), ("paused", 20, 60), ("unknown", 60, 64), ("down", 64, 66)]
    row = uptime(site_spans(*runs), ["site"]).row(0, named=True)
    assert (row["uptime"], row["coverage"], row["unknown_s"]) == (pytest.approx(6 / 8), pytest.approx(8 / 12), 240)
    assert (row["low"], row["high"]) == (pytest.approx(6 / 12), pytest.approx(10 / 12))
    kener = uptime(site_spans(*runs), policy="statuspage")["uptime"].item()
    assert kener == pytest.approx((6 + 14 + 4) / 26)


def test_a_policy_s_hours_and_partial_outages_count_in_spans_too() -> None:
    spans = site_spans(("up", 0, 60), ("degraded", 60, 90), ("down", 90, 120))
    partly = spans.with_columns(down=pl.when(pl.col("state") == "degraded").then(1).otherwise("down").cast(pl.Int16))
    assert uptime(partly, policy="statuspage")["uptime"].item() == pytest.approx((60 + 0.7 * 30) / 120)
    morning = BusinessHours(opens=START.time(), closes=(START + 75 * MINUTE).time())
    early = replace(POLICIES["default"], name="office", hours=morning)
    assert uptime(spans, policy=early).select("uptime", "down_s").row(0) == (1, 0)
    with pytest.raises(InvalidInputError, match=r"kuma counts checks: use analysis\.account"):
        uptime(spans, policy="kuma")


def test_days_of_a_time_zone_come_from_spans() -> None:
    spans = site_spans(("up", 0, 20 * 60), ("down", 20 * 60, 21 * 60))
    found = uptime(cut_by(spans, "1d", "Asia/Tokyo"), ["at"])
    assert found["at"].to_list() == [START - 19 * 60 * MINUTE, START + 5 * 60 * MINUTE]
    assert found["uptime"].to_list() == [1, pytest.approx(15 / 16)]


def test_an_outage_ends_where_somebody_says_so() -> None:
    spans = site_spans(
        ("up", 0, 10), ("down", 10, 12), ("unknown", 12, 15), ("down", 15, 16), ("up", 16, 30), ("unknown", 30, 35),
        ("maintenance", 35, 40), ("down", 40, 41), ("degraded", 41, 50), ("down", 50, 60),
    )  # fmt: skip
    found = check(outages(spans), OUTAGES)
    minutes = found.select(
        (pl.col("since") - START).dt.total_minutes(), (pl.col("until") - START).dt.total_minutes(), "down_s", "open"
    )
    assert minutes.rows() == [(10, 16, 180, False), (40, 41, 60, False), (50, None, 600, True)]
    assert found["began"].to_list() == [True] * 3


def test_an_outage_that_fades_into_the_unknown_is_open_and_one_from_before_did_not_begin_here() -> None:
    found = outages(site_spans(("down", 0, 5), ("up", 5, 10), ("down", 10, 12), ("unknown", 12, 20)))
    assert found.select("began", "open", "down_s").rows() == [(False, False, 300), (True, True, 120)]
    row = check(reliability(site_spans(("down", 0, 5), ("up", 5, 10), ("down", 10, 12))).drop("site"), RELIABILITY)
    assert row.select("outages", "open", "mttr_s", "mtbf_s", "up_s").row(0) == (2, 1, None, 300, 300)


def test_times_to_repair_and_between_failures() -> None:
    lengths = [1, 2, 3, 4, 10]
    runs: list[tuple[str, float, float]] = []
    at = 0
    for length in lengths:
        runs += [("up", at, at + 20), ("down", at + 20, at + 20 + length)]
        at += 20 + length
    runs += [("up", at, at + 20), ("down", at + 20, at + 25)]
    row = reliability(site_spans(*runs), by=()).row(0, named=True)
    assert (row["outages"], row["open"]) == (6, 1)
    assert row["mttr_s"] == pytest.approx(60 * 20 / 5)
    assert row["mttr_median_s"] == pytest.approx(60 * 3)
    assert row["mttr_p90_s"] == pytest.approx(60 * (4 + 0.6 * 6)), "nine tenths of the way from 1 to 10, in five"
    assert row["mtbf_s"] == pytest.approx(60 * 120 / 6)


def test_sites_without_an_outage_have_their_time_up_and_no_mean_of_nothing() -> None:
    two = pl.concat([site_spans(("up", 0, 10)), site_spans(("up", 0, 5), ("down", 5, 6), ("up", 6, 10), site_id=2)])
    found = reliability(two)
    assert found.select("site", "outages", "mttr_s", "mtbf_s", "up_s").rows() == [
        ("site-1", 0, None, None, 600),
        ("site-2", 1, 60, 540, 540),
    ]
    assert outages(two.head(0)).is_empty()


def attempt(minute: float, region: int, state: str, attempt: int = 0, **other: Any) -> dict[str, Any]:
    final = other.pop("final", True)
    begun = START + minute * MINUTE + attempt * timedelta(seconds=10)
    plain = {"site_id": 1, "region_id": region, "scheduled_at": START + minute * MINUTE, "interval_s": 60}
    told = {"attempt": attempt, "state": state, "final": final, "kind": "scheduled", "started_at": begun}
    return {**plain, **told, "latency_ms": 500.0, "trusted": True, **other}


def test_the_time_to_detect_is_from_the_first_failed_attempt_to_the_confirmed_verdict() -> None:
    # Region 0 is at the full minute, region 1 half a minute later; both confirm after ten seconds.
    seen: list[dict[str, Any]] = []
    for region, offset in ((0, 0.0), (1, 0.5)):
        for minute in range(6):
            if minute in (2, 3):
                seen += [attempt(minute + offset, region, "down", number, final=number == 1) for number in (0, 1)]
            else:
                seen.append(attempt(minute + offset, region, "up"))
    ticks = pl.DataFrame(seen, schema=schema(TICKS, [*NEEDS, "started_at", "latency_ms", "trusted"]))
    spans = site_spans(("up", 0, 2.5), ("down", 2.5, 4.0), ("up", 4.0, 7))
    row = outages(spans, ticks).row(0, named=True)
    assert row["failed_at"] == START + 2 * MINUTE + timedelta(seconds=0.5)
    assert row["confirmed_at"] == START + 2.5 * MINUTE + timedelta(seconds=10.5)
    assert row["detected_s"] == 40
    assert reliability(spans, ticks)["mttd_s"].item() == 40
    assert reliability(spans)["mttd_s"].item() is None


def answers(*latencies: float | None) -> pl.DataFrame:
    """One tick a minute: answered after so many ms, failed where None."""
    rows = [
        attempt(minute, 0, "down" if ms is None else "up", latency_ms=30.0 if ms is None else ms)
        for minute, ms in enumerate(latencies)
    ]
    return pl.DataFrame(rows, schema=schema(TICKS, [*NEEDS, "latency_ms", "trusted"]))


def rolled(ticks: pl.DataFrame) -> pl.DataFrame:
    return hourly(ticks).cast({"down": pl.Int64, "counts": ROLLUPS["counts"].dtype})


def test_apdex_takes_who_is_content_and_half_of_who_tolerates() -> None:
    # T = 100: two within, one up to 400, one beyond, one failed in 30 ms.
    ticks = answers(50, 100, 400, 401, None)
    row = check(apdex(ticks, 100), APDEX).row(0, named=True)
    assert (row["apdex"], row["low"], row["high"]) == (pytest.approx(2.5 / 5),) * 3
    assert [row[name] for name in ("satisfied", "tolerating", "frustrated", "failed", "checks")] == [2, 1, 2, 1, 5]
    nothing = apdex(ticks.head(0), 100).row(0, named=True)
    assert (nothing["apdex"], nothing["checks"]) == (None, 0)
    with pytest.raises(InvalidInputError, match="0 is no time to wait"):
        apdex(ticks, 0)


def test_apdex_of_histograms_says_how_far_it_may_be_off() -> None:
    row = apdex(rolled(answers(50, 99.9, 100.5, 250, 5000, None)), 100).row(0, named=True)
    # 99.9 and 100.5 share a bucket with 100: one of them is within, and the frame cannot say which.
    assert (row["high"], row["low"]) == (pytest.approx((3 + 0.5) / 6), pytest.approx((1 + 1.5) / 6))
    exact = apdex(rolled(answers(50, 63, 65, 250, 5000)), 64).row(0, named=True)
    assert (exact["low"], exact["high"], exact["apdex"]) == (pytest.approx((2 + 1) / 5),) * 3, (
        "64 = 2^6 bounds a bucket"
    )


@given(st.lists(st.none() | st.floats(0.0625, 9000, width=32), min_size=1, max_size=20), st.floats(1, 2000))
@settings(max_examples=40, deadline=None)
def test_the_apdex_of_ticks_lies_within_that_of_their_histogram(latencies: list[float | None], target: float) -> None:
    ticks = answers(*latencies)
    exact, rough = (apdex(frame, target).row(0, named=True) for frame in (ticks, rolled(ticks)))
    assert exact["checks"] == rough["checks"]
    assert rough["low"] - 1e-9 <= exact["apdex"] <= rough["high"] + 1e-9


def days(*down_s: float, checks: int = 288) -> pl.DataFrame:
    rows = [{"up_s": 86_400 - down, "down_s": down, "checks": checks} for down in down_s]
    return pl.DataFrame(rows, schema=schema(UPTIME, ["up_s", "down_s", "checks"]))


def test_the_interval_is_that_of_days_drawn_again_and_the_same_every_time() -> None:
    month = days(*[0.0] * 24, 7200.0, 211.0, 253.0, 307.0, 341.0, 388.0)
    found = interval(month)
    assert found == interval(month)
    assert found != interval(month, seed=1)
    whole = 1 - 8700 / (30 * 86_400)
    assert found.low is not None
    assert found.high is not None
    assert found.low < whole < found.high < 1
    # One day carries nearly all of it: it is drawn 0 to 3 times in 95 of 100 draws.
    assert found.low == pytest.approx(1 - 3 * 7200 / (30 * 86_400), abs=1e-3)
    assert found.days == 30


def test_a_week_without_a_failure_claims_what_its_checks_show_and_fewer_days_nothing() -> None:
    assert interval(days(*[0.0] * 7)).low == at_least(7 * 288)
    few = interval(days(0.0, 10.0, 0.0))
    assert (few.low, few.high, few.days) == (None, None, 3)
    unknown = days(*[0.0] * 7).with_columns(up_s=pl.lit(0.0))
    assert interval(unknown).days == 0
