"""The demo's ninety days: the same wherever they are made, and each story in its place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from pipeline.demo import cast, history
from pipeline.demo.stories import BLIND, EXPIRED, MAINTENANCE, OURS, POST_MORTEM, TOGETHER, Story, beginning, stories
from pipeline.schedule import slots
from pipeline.store.ticks import COLUMNS
from pipeline.vocabulary import OUTCOME_CODES, Outcome, Revision

END = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SITES = {member.key: number for number, member in enumerate(cast.members(), start=1)}
REGIONS = {place.key: number for number, place in enumerate(cast.PLACES, start=1)}
SERIES = history.all_series(SITES, REGIONS, {(s, r): 7 for s in SITES.values() for r in REGIONS.values()})


def ticks_of(story: Story, *, within: timedelta = timedelta()) -> pl.DataFrame:
    """The ticks of the story's day, series and window."""
    since = story.since.replace(hour=0, minute=0)
    frame = history.day(SERIES, END, since, since + DAY)
    sites = [SITES[key] for key in story.sites or SITES]
    regions = [REGIONS[key] for key in story.regions or REGIONS]
    at = pl.col("scheduled_at")
    return frame.filter(
        pl.col("site_id").is_in(sites),
        pl.col("region_id").is_in(regions),
        at >= story.since + within,
        at < story.until - within,
    )


def told(name: str) -> list[Story]:
    found = [story for story in stories(END) if story.name == name]
    assert found
    return found


def test_sixty_sites_are_watched_from_four_regions() -> None:
    assert len(SITES) == 60
    assert len(SERIES) == 240


def test_a_day_is_the_same_whoever_makes_it() -> None:
    one, other = (history.day(SERIES, END, END - 9 * DAY, END - 8 * DAY) for _ in range(2))
    assert one.equals(other)
    assert one.columns == history.PHYSICAL
    assert set(one.columns) == set(COLUMNS)


def test_no_attempt_is_told_twice() -> None:
    frame = history.day(SERIES, END, END - 3 * DAY, END - 2 * DAY)
    assert not frame.select("site_id", "region_id", "scheduled_at", "attempt").is_duplicated().any()


@pytest.mark.parametrize("days", [90, 89, 1])
def test_the_slots_are_those_that_the_schedule_calls_for(days: int) -> None:
    since = END - days * DAY
    frame = history.day(SERIES, END, since, since + DAY).filter(attempt=0)
    for one in (SERIES[0], SERIES[100], SERIES[-1]):
        revision = Revision(
            7, one.site_id, one.region_id, beginning(END), active=True, interval_s=one.member.interval_s
        )
        mine = frame.filter(site_id=one.site_id, region_id=one.region_id)
        assert mine["scheduled_at"].to_list() == [slot.scheduled_at for slot in slots([revision], since, since + DAY)]


def test_three_sites_on_one_address_fail_in_the_same_slots_of_time() -> None:
    for story in told(TOGETHER):
        frame = ticks_of(story)
        assert frame["outcome"].unique().to_list() == [OUTCOME_CODES[Outcome.STATUS]]
        assert frame["site_id"].n_unique() == 3
        assert frame["ip"].unique().to_list() == ["203.0.113.240"]


def test_a_blind_prober_is_unknown_and_measures_nothing() -> None:
    frame = ticks_of(told(BLIND)[0])
    assert frame["outcome"].unique().to_list() == [OUTCOME_CODES[Outcome.PROBE_NETWORK]]
    assert frame["latency_ms"].null_count() == frame.height
    assert frame["started_at"].null_count() == frame.height


def test_a_failure_is_tried_again_and_found_again() -> None:
    frame = ticks_of(told(EXPIRED)[0]).sort("scheduled_at", "attempt")
    assert frame["attempt"].to_list() == [0, 1] * (frame.height // 2)
    assert frame["final"].to_list() == [False, True] * (frame.height // 2)


def test_where_the_workbench_was_down_there_is_no_tick() -> None:
    assert ticks_of(told(OURS)[0]).is_empty()


def test_payments_gets_slow_before_it_fails() -> None:
    slow, *failing = told(POST_MORTEM)
    quiet = Story("", slow.since - timedelta(hours=2), slow.since, slow.sites)
    before, during = (ticks_of(story)["latency_ms"].median() for story in (quiet, slow))
    assert isinstance(before, float)
    assert isinstance(during, float)
    assert during > 1.3 * before
    assert all((ticks_of(story)["outcome"] != 0).all() for story in failing)


def test_maintenance_is_on_sundays() -> None:
    windows = told(MAINTENANCE)
    assert len(windows) >= 12
    assert {story.since.isoweekday() for story in windows} == {7}
