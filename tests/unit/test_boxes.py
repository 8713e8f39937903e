"""What a box of checks has more of than the rest is told, with how sure that is; what all have explains nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis import Box, explain
from pipeline.analysis.boxes import counted
from pipeline.answers import EXPLAINED
from pipeline.frames import SNAPSHOTS, TICKS, check, schema

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
REGIONS = ("eu", "us", "asia")


def ticks(minutes: int = 600, seed: int = 0, **story: Any) -> pl.DataFrame:
    """A check a minute from each of three regions, of which `us` is slow to its first byte from the 300th minute on.

    Its slow answers come from an address of their own. `story` overrides columns of every tick.
    """
    random = np.random.default_rng(seed)
    rows = []
    for minute in range(minutes):
        for number, region in enumerate(REGIONS, 1):
            slow = region == "us" and minute >= 300
            phases = {"dns_ms": 2.0, "connect_ms": 10.0, "tls_ms": 20.0, "transfer_ms": 5.0}
            ttfb_ms = float(random.lognormal(4.1, 0.1)) + 400 * slow
            row = {
                **phases,
                "scheduled_at": START + timedelta(minutes=minute),
                "site": "shop",
                "site_id": 1,
                "region": region,
                "region_id": number,
                "attempt": 0,
                "state": "up",
                "outcome": "ok",
                "status": 200,
                "ttfb_ms": ttfb_ms,
                "latency_ms": sum(phases.values()) + ttfb_ms,
                "trusted": True,
                "ip": "10.0.0.9" if slow else f"10.0.0.{int(random.integers(1, 4))}",
                "interval_s": 60,
                "final": True,
                "kind": "scheduled",
                "prober": f"{region}-1",
            }
            rows.append(row | story)
    types = schema(TICKS)
    return pl.DataFrame([{name: row.get(name) for name in types} for row in rows], schema=types)


SLOW = Box(START + timedelta(minutes=300), START + timedelta(minutes=600), low_ms=300)


def told(frame: pl.DataFrame, attribute: str) -> list[tuple[str, float]]:
    return frame.filter(attribute=attribute).select("value", "score").rows()


def test_it_finds_who_where_and_what_was_slow() -> None:
    found = check(explain(ticks(), SLOW), EXPLAINED)
    assert counted(ticks(), SLOW) == (300, 1500)
    best = {(row["attribute"], row["value"]) for row in found.head(4).iter_rows(named=True)}
    assert {("region", "us"), ("address", "10.0.0.9"), ("prober", "us-1"), ("phase", "ttfb")} == best
    us = found.row(by_predicate=(pl.col("attribute") == "region") & (pl.col("value") == "us"), named=True)
    assert (us["inside"], us["outside"], us["share_inside"], us["test"]) == (300, 300, 1.0, "G")
    assert us["lift"] == pytest.approx(1 / (300 / 1500))
    ttfb = found.row(by_predicate=(pl.col("value") == "ttfb") & (pl.col("attribute") == "phase"), named=True)
    assert ttfb["difference_ms"] == pytest.approx(400, rel=0.03)
    assert ttfb["score"] == pytest.approx(1.0)


def test_what_is_the_same_everywhere_explains_nothing() -> None:
    found = explain(ticks(), SLOW)
    assert told(found, "outcome") == []  # one value: nothing to compare
    assert {score for value, score in told(found, "phase") if value != "ttfb"} == {0.0}


def test_a_box_is_not_explained_by_its_own_time() -> None:
    """All checks of two hours are of these two hours."""
    everything = Box(START + timedelta(hours=1), START + timedelta(hours=3))
    found = explain(ticks(290), everything)
    assert told(found, "hour of day") == []
    assert found.filter(pl.col("score") > 0).is_empty()


def test_an_hour_that_is_slow_again_and_again_is_told() -> None:
    daily = ticks(3 * 1440).with_columns(
        latency_ms=pl.when(pl.col("scheduled_at").dt.hour() == 9).then(900.0).otherwise(100.0).cast(pl.Float32)
    )
    found = explain(daily, Box(START, START + timedelta(days=3), low_ms=500))
    assert (found["attribute"][0], found["value"][0]) == ("hour of day", "09:00")


def test_failures_are_in_the_box_only_where_it_says_so_and_unknown_ones_never() -> None:
    mixed = ticks(100).with_columns(
        state=pl.when(pl.col("region") == "us")
        .then(pl.lit("down"))
        .when(pl.col("region") == "asia")
        .then(pl.lit("unknown"))
        .otherwise(pl.lit("up"))
        .cast(schema(TICKS)["state"]),
        outcome=pl.when(pl.col("region") == "us")
        .then(pl.lit("tls"))
        .otherwise(pl.lit("ok"))
        .cast(schema(TICKS)["outcome"]),
    )
    end = START + timedelta(days=1)
    assert counted(mixed, Box(START, end)) == (100, 100)
    failures = Box(START, end, low_ms=float("inf"), failed=True)
    assert counted(mixed, failures) == (100, 100)
    found = explain(mixed, failures)
    assert ("outcome", "tls") in found.select("attribute", "value").head(3).rows()


def test_a_few_checks_prove_little() -> None:
    few = explain(ticks(302), Box(START, START + timedelta(days=1), low_ms=300))
    us = few.filter(attribute="region", value="us").row(0, named=True)
    assert (us["inside"], us["test"]) == (2, "Fisher")
    assert us["p_value"] > 0.01
    assert us["score"] == 0


def test_who_signed_the_certificate_is_told_where_snapshots_know() -> None:
    down = ticks(40, state="down", outcome="tls")
    seen = down.select("scheduled_at", "site", "region", "site_id", "region_id", "attempt").with_columns(
        certificate_issuer=pl.when(pl.col("region") == "us").then(pl.lit("Old CA")).otherwise(pl.lit("New CA"))
    )
    types = schema(SNAPSHOTS)
    blank = [pl.lit(None, dtype).alias(name) for name, dtype in types.items() if name not in seen.columns]
    snapshots = seen.with_columns(blank).select(types.names())
    box = Box(START + timedelta(minutes=20), START + timedelta(minutes=40), failed=True)
    one = down.filter((pl.col("region") == "us") | (pl.col("scheduled_at") < box.since))
    found = explain(one, box, snapshots)
    assert ("issuer", "Old CA") in found.filter(pl.col("score") > 0).select("attribute", "value").rows()


def test_an_empty_box_and_no_ticks_have_no_answer() -> None:
    nowhere = Box(START - timedelta(days=2), START - timedelta(days=1))
    for frame in (ticks(5), ticks(0)):
        assert check(explain(frame, nowhere), EXPLAINED).is_empty()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 9), st.integers(0, 60), st.integers(1, 60), st.floats(0, 500), st.booleans())
def test_counts_add_up_and_no_score_is_without_significance(
    seed: int, first: int, length: int, low_ms: float, failed: bool
) -> None:
    since = START + timedelta(minutes=first)
    box = Box(since, since + timedelta(minutes=length), low_ms, low_ms + 200, failed)
    frame = ticks(60, seed)
    inside, outside = counted(frame, box)
    assert inside + outside == frame.height
    found = explain(frame, box)
    regions = found.filter(attribute="region")
    assert regions["inside"].sum() in (0, inside)
    assert (found["share_inside"].drop_nulls().is_between(0, 1)).all()
    assert (found["p_value"].is_between(0, 1)).all()
    assert found.filter((pl.col("p_value") > 0.01) & (pl.col("score") != 0)).is_empty()
    assert found["score"].is_sorted(descending=True)
