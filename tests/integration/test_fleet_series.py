"""The fleet over time: the page's buckets, made in SQL, are those that a notebook makes of the samples."""

from __future__ import annotations

from datetime import timedelta

import pytest
from polars.testing import assert_frame_equal

from pipeline import charts
from pipeline.declared import RegionIn
from pipeline.errors import NotFoundError
from pipeline.frames import DECISIONS, FLEET_SAMPLES, check
from pipeline.store import beats
from pipeline.store.fleet_series import decisions_over_time, samples_over_time
from pipeline.store.regions import create_region, delete_region
from pipeline.workbench import Workbench
from tests.harness import now, raw, writing

MINUTE = timedelta(minutes=1)
END = now().replace(minute=0, second=0, microsecond=0)
START = END - 30 * MINUTE


@pytest.fixture(scope="module")
def filled(dsn: str) -> str:
    """Two regions of 30 minutes, one with a gap and a late moment, and one that was removed."""
    with writing(dsn) as connection:
        ids = [create_region(connection, RegionIn(key=key), now=START, actor="test").id for key in ("eu", "us", "old")]
        samples = [
            beats.Sample(
                region, START + n * timedelta(seconds=10), 1 + (n // 60), n % 7, n,
                3.0, 2000.0 if (region, n) == (ids[0], 50) else 9.5, 11.0, None, n % 13, 1, float(n % 3), n % 5,
            )
            for region in ids
            for n in range(180)
            if not (region == ids[1] and 60 <= n < 90)
        ]  # fmt: skip
        beats.note_samples(raw(connection), samples)
        decided = [beats.Decision(region, START + 10 * MINUTE, 1, 2, f"of {region}") for region in ids]
        beats.note_decisions(raw(connection), decided)
        delete_region(connection, "old", now=END, actor="test")
    return dsn


def test_the_buckets_of_the_page_are_those_of_the_notebook(filled: str) -> None:
    with Workbench(filled) as up, writing(filled) as connection:
        samples = check(up.fleet_samples(START, END, regions=["eu", "us"]), FLEET_SAMPLES)
        ours = samples_over_time(connection, since=START, until=END, width_s=120)
    theirs = charts.sampled(samples, timedelta(minutes=2))
    assert_frame_equal(ours, theirs)
    assert ours.height == 2 * 15
    eu = ours.filter(region="eu")
    assert eu["lateness_p95_ms"].max() == 2000.0, "a late moment is seen at any width"
    assert ours.filter(region="us")["probers"].null_count() == 2, "a gap stays a gap"


def test_decisions_tell_who_when_and_why(filled: str) -> None:
    with Workbench(filled) as up, writing(filled) as connection:
        found = check(decisions_over_time(connection, since=START, until=END), DECISIONS)
        assert up.decisions(START, regions=["eu"])["reason"].to_list() == ["of 1"]
        with pytest.raises(NotFoundError, match="did you mean"):
            up.decisions(regions=["eus"])
    assert sorted(found["region"].cast(str)) == ["eu", "us"]


def test_the_charts_draw_it_and_nothing_as_well(filled: str) -> None:
    with Workbench(filled) as up:
        sampled = charts.sampled(up.fleet_samples(START), timedelta(minutes=1))
        decisions = up.decisions(START)
    for frame in (sampled, sampled.clear()):
        assert "triangle-up" in str(charts.probers(sampled, decisions).to_dict())
        assert charts.probers(frame, decisions.clear()).to_dict()
        assert charts.lateness(frame).to_dict()
        assert charts.lag(frame, "oldest_waiting_s").to_dict()
