"""Objectives: what is spent, what is left, how fast it burns and whether it will last, on numbers worked by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis.budgets import budget_left, slo
from pipeline.analysis.burning import RULES, Burning, burn, burning
from pipeline.analysis.forecasts import forecast
from pipeline.answers import BUDGET, BURN, FORECAST, SLO
from pipeline.frames import SITE_SPANS, SPANS, check, schema
from pipeline.objectives import Objective, budget_s, reach_of, window_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
SHOP = Objective(1, "shop", "Shop", 0.999, site="shop", sites=("shop",))

Run = tuple[str, datetime, datetime]


def site_spans(*runs: Run, site_id: int = 1, **columns: Any) -> pl.DataFrame:
    """Frame SITE_SPANS of runs (state, since, until)."""
    rows = [
        {"site": f"s{site_id}", "site_id": site_id, "state": state, "since": since, "until": until, **columns}
        | {"down": 2 * (state == "down"), "known": 2, "regions": 2}
        for state, since, until in runs
    ]
    types = schema(SITE_SPANS)
    return pl.DataFrame([{name: row.get(name) for name in types} for row in rows], schema=types, orient="row")


def spans(*runs: Run, region_id: int, checks: int, site_id: int = 1) -> pl.DataFrame:
    """Frame SPANS of one region, each run with so many slots."""
    rows = [
        {"site": f"s{site_id}", "region": f"r{region_id}", "site_id": site_id, "region_id": region_id, "state": state}
        | {"since": since, "until": until, "checks": checks}
        for state, since, until in runs
    ]
    types = schema(SPANS)
    return pl.DataFrame([{name: row.get(name) for name in types} for row in rows], schema=types, orient="row")


def outage(minutes: float, *, ends: timedelta = timedelta(), back: timedelta = 30 * DAY) -> list[Run]:
    """Up but for one outage that ended `ends` ago."""
    began, ended = NOW - ends - minutes * MINUTE, NOW - ends
    runs = [("up", NOW - back, began), ("down", began, ended), ("up", ended, NOW)]
    return [run for run in runs if run[1] < run[2]]


def both(runs: Sequence[Run], checks: int = 5) -> pl.DataFrame:
    """Both regions saw the same."""
    return pl.concat([spans(*runs, region_id=region, checks=checks) for region in (1, 2)])


def only(frame: pl.DataFrame) -> dict[str, Any]:
    [row] = frame.rows(named=True)
    return row


# --- windows ----------------------------------------------------------------------------------------------------------


def test_a_rolling_window_ends_now() -> None:
    assert window_of(SHOP, NOW) == (NOW - 30 * DAY, NOW)
    assert budget_s(SHOP, NOW) == pytest.approx(2592)  # 0.1 % of 30 days: 43 min 12 s


def test_a_calendar_month_is_cut_in_its_time_zone_and_summer_time_makes_it_longer() -> None:
    month = Objective(1, "m", "", 0.99, site="s", window_days=None, tz="Europe/Berlin")
    october = datetime(2026, 10, 31, 22, 59, tzinfo=UTC)  # 23:59 on the last day, in Berlin
    since, until = window_of(month, october)
    assert (since, until) == (datetime(2026, 9, 30, 22, tzinfo=UTC), datetime(2026, 10, 31, 23, tzinfo=UTC))
    assert budget_s(month, october) == pytest.approx(0.01 * (31 * 24 + 1) * 3600)
    assert window_of(month, october + MINUTE)[0] == until


@given(st.dates(date(2024, 1, 1), date(2030, 12, 31)), st.sampled_from(["UTC", "Asia/Kolkata", "America/Santiago"]))
@settings(max_examples=40)
def test_months_follow_each_other_without_a_gap(day: date, tz: str) -> None:
    month = Objective(1, "m", "", 0.99, site="s", window_days=None, tz=tz)
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    since, until = window_of(month, at)
    assert since <= at < until
    assert window_of(month, until)[0] == until
    assert window_of(month, until - timedelta(microseconds=1)) == (since, until)


# --- what is spent ----------------------------------------------------------------------------------------------------


def test_an_outage_of_21_minutes_and_36_seconds_spends_half_of_three_nines_over_30_days() -> None:
    found = only(check(slo(site_spans(*outage(21.6, ends=DAY)), SHOP, NOW), SLO))
    assert found["budget_s"] == pytest.approx(2592)
    assert found["spent_s"] == pytest.approx(1296)
    assert found["left_s"] == pytest.approx(1296)
    assert found["left"] == pytest.approx(0.5)
    assert found["uptime"] == pytest.approx(1 - 1296 / (30 * 86_400))
    assert found["coverage"] == 1


def test_unknown_time_spends_nothing_and_widens_what_the_uptime_could_be() -> None:
    frame = site_spans(("up", NOW - 30 * DAY, NOW - 3 * DAY), ("unknown", NOW - 3 * DAY, NOW))
    found = only(slo(frame, SHOP, NOW))
    assert (found["spent_s"], found["left"], found["uptime"]) == (0, 1, 1)
    assert (found["low"], found["high"], found["coverage"]) == (pytest.approx(0.9), 1, pytest.approx(0.9))


def test_maintenance_and_pauses_are_in_no_figure() -> None:
    frame = site_spans(("up", NOW - DAY, NOW - HOUR), ("maintenance", NOW - HOUR, NOW))
    found = only(slo(frame, SHOP, NOW))
    assert (found["good_s"], found["unknown_s"], found["coverage"]) == (23 * 3600, 0, 1)


@pytest.mark.parametrize("runs", [[], [("unknown", NOW - DAY, NOW)], [("paused", NOW - DAY, NOW)]])
def test_where_nothing_is_known_nothing_is_claimed(runs: list[Run]) -> None:
    found = only(check(slo(site_spans(*runs), SHOP, NOW), SLO))
    assert [found[name] for name in ("uptime", "spent_s", "left_s", "left")] == [None] * 4
    assert found["budget_s"] > 0


def test_what_lies_outside_the_window_does_not_count() -> None:
    frame = site_spans(("down", NOW - 31 * DAY, NOW - 30 * DAY + MINUTE), ("up", NOW - 30 * DAY + MINUTE, NOW + DAY))
    assert only(slo(frame, SHOP, NOW))["spent_s"] == 60


def test_edges_say_how_long_an_outage_was_at_least_and_at_most() -> None:
    began, ended = NOW - HOUR, NOW - HOUR + 10 * MINUTE
    frame = site_spans(("down", began, ended), began_after=began - MINUTE, ended_after=ended - 2 * MINUTE)
    found = only(slo(frame, SHOP, NOW))
    assert [found[name] / 60 for name in ("spent_low_s", "spent_s", "spent_high_s")] == [8, 10, 11]


def test_of_several_sites_it_is_the_mean_by_seconds() -> None:
    frames = [site_spans(*outage(30, ends=HOUR), site_id=1), site_spans(("up", NOW - 30 * DAY, NOW), site_id=2)]
    found = only(slo(pl.concat(frames), SHOP, NOW))
    assert (found["sites"], found["spent_s"], found["good_s"]) == (2, 900, 30 * 86_400 - 900)


def test_degraded_is_good_by_default_and_spends_by_the_strict_policy() -> None:
    frame = site_spans(("up", NOW - DAY, NOW - HOUR), ("degraded", NOW - HOUR, NOW))
    strict = Objective(1, "s", "", 0.999, site="shop", policy="strict")
    assert only(slo(frame, SHOP, NOW))["spent_s"] == 0
    assert only(slo(frame, strict, NOW))["spent_s"] == 3600


# --- how it went and where it leads -----------------------------------------------------------------------------------


def test_the_line_falls_with_an_outage_and_a_rolling_window_gives_it_back() -> None:
    week = Objective(1, "w", "", 0.99, site="shop", window_days=7)  # a budget of 6 048 s
    old = NOW - 10 * DAY
    frame = site_spans(("up", NOW - 14 * DAY, old), ("down", old, old + HOUR), ("up", old + HOUR, NOW))
    left = check(budget_left(frame, week, NOW, HOUR), BUDGET)
    assert (left["at"][0], left["at"][-1]) == (NOW - 7 * DAY, NOW)
    assert left["left"][0] == pytest.approx(1 - 3600 / 6048)
    assert left.filter(pl.col("at") >= old + HOUR + 7 * DAY)["left"].unique().to_list() == [1]


def test_the_last_point_of_the_line_is_what_is_left_now() -> None:
    frame = site_spans(*outage(21.6, ends=DAY))
    assert budget_left(frame, SHOP, NOW)["left"][-1] == pytest.approx(only(slo(frame, SHOP, NOW))["left"])


def test_a_month_begins_with_a_full_budget() -> None:
    month = Objective(1, "m", "", 0.999, site="shop", window_days=None)
    frame = site_spans(("down", datetime(2026, 10, 30, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)),
                       ("up", datetime(2026, 11, 1, tzinfo=UTC), NOW))  # fmt: skip
    assert budget_left(frame, month, NOW)["left"].unique().to_list() == [1]


def every_day(minutes: float, days: int = 30) -> list[Run]:
    """An outage of so many minutes in the middle of each day."""
    runs: list[Run] = []
    for number in range(days, 0, -1):
        began = NOW - number * DAY + 12 * HOUR
        ended = began + minutes * MINUTE
        runs += [("up", NOW - number * DAY, began), ("down", began, ended), ("up", ended, began + 12 * HOUR)]
    return runs


def test_days_that_are_all_the_same_leave_no_doubt() -> None:
    month = Objective(1, "m", "", 0.999, site="shop", window_days=None)  # 2 592 s for November
    told = check(forecast(site_spans(*every_day(1)), month, NOW), FORECAST)
    assert (told["at"][0], told["at"][-1]) == (NOW, datetime(2026, 12, 1, tzinfo=UTC))
    # 24 outages of a minute until now, and 6.5 days to come.
    assert told["middle"][-1] == pytest.approx(1 - (24 + 6.5) * 60 / 2592)
    assert told["low"][-1] == pytest.approx(told["high"][-1])
    assert told["gone"].unique().to_list() == [0]
    assert forecast(site_spans(*every_day(1.7)), month, NOW)["gone"][-1] == 1


def test_a_rolling_window_gives_back_what_leaves_it() -> None:
    week = Objective(1, "w", "", 0.999, site="shop", window_days=7)  # a budget of 604.8 s
    told = forecast(site_spans(*outage(8, ends=6 * DAY)), week, NOW)
    assert told["middle"][0] == pytest.approx(1 - 480 / 604.8)
    assert told["middle"][-1] == 1  # one day of thirty had an outage, so most weeks have none


def test_the_same_history_tells_the_same_and_a_wild_one_is_between() -> None:
    frame = site_spans(*outage(35, ends=3 * DAY))
    told = forecast(frame, SHOP, NOW)
    assert told.equals(forecast(frame, SHOP, NOW))
    assert 0 < told["gone"][-1] < 1
    assert told["gone"].is_sorted()
    assert (told["low"] <= told["middle"]).all()
    assert (told["middle"] <= told["high"]).all()


def test_a_few_days_are_no_ground_for_a_forecast() -> None:
    assert forecast(site_spans(*every_day(1, days=6)), SHOP, NOW).is_empty()
    assert not forecast(site_spans(*every_day(1, days=7)), SHOP, NOW).is_empty()
    assert forecast(site_spans(("unknown", NOW - 30 * DAY, NOW)), SHOP, NOW).is_empty()


def test_what_is_gone_is_gone() -> None:
    told = forecast(site_spans(*outage(60, ends=HOUR)), SHOP, NOW)
    assert told["gone"].unique().to_list() == [1]


# --- how fast it burns ------------------------------------------------------------------------------------------------


def test_six_minutes_down_burn_an_hours_budget_a_hundredfold_and_page() -> None:
    runs = outage(6)
    rates = check(burn(site_spans(*runs), SHOP, [NOW], both(runs)), BURN)
    assert rates["long_rate"].to_list() == pytest.approx([100, 100 / 6, 100 / 72])
    assert rates["short_rate"].to_list() == pytest.approx([1000, 200, 100 / 6])
    assert rates["firing"].to_list() == [True, True, True]
    assert burning(rates) is Burning.PAGE


def test_what_is_over_pages_no_more() -> None:
    runs = outage(6, ends=6 * MINUTE)
    rates = burn(site_spans(*runs), SHOP, [NOW], both(runs))
    assert rates["firing"].to_list() == [False, True, True]  # the half-hour still sees it
    assert burning(burn(site_spans(*outage(6, ends=HOUR)), SHOP, [NOW], both(outage(6, ends=HOUR)))) is Burning.TICKET


def test_a_slow_leak_is_a_ticket() -> None:
    runs = outage(5, ends=5 * HOUR)
    assert burning(burn(site_spans(*runs), SHOP, [NOW], both(runs))) is Burning.TICKET


def test_one_bad_slot_is_no_evidence_and_a_single_region_is_no_quorum() -> None:
    runs = outage(6)
    up = [("up", NOW - DAY, NOW)]
    lone = pl.concat([spans(*runs, region_id=1, checks=5), spans(*up, region_id=2, checks=99)])
    for evidence in (both(runs, checks=1), lone, None):
        rates = burn(site_spans(*runs), SHOP, [NOW], evidence)
        assert rates["over"].to_list() == [True, True, True]
        assert burning(rates) is Burning.CALM


def test_a_region_that_knows_nothing_takes_no_part_in_the_quorum() -> None:
    runs = outage(6)
    blind = spans(("unknown", NOW - DAY, NOW), region_id=3, checks=99)
    assert burning(burn(site_spans(*runs), SHOP, [NOW], pl.concat([both(runs), blind]))) is Burning.PAGE


def test_a_site_that_flaps_for_days_is_judged_in_no_time() -> None:
    runs: list[Run] = [
        ("down" if number % 2 else "up", NOW - (number + 1) * MINUTE, NOW - number * MINUTE) for number in range(4320)
    ]
    rates = burn(site_spans(*runs), SHOP, [NOW], both(runs, checks=2))
    assert rates["long_rate"].to_list() == pytest.approx([500, 500, 500])
    assert rates["firing"].to_list() == [True, True, True]


def test_while_nobody_knows_nothing_changes() -> None:
    runs = [("up", NOW - 3 * DAY, NOW - HOUR), ("unknown", NOW - HOUR, NOW)]
    rates = burn(site_spans(*runs), SHOP, [NOW], both(runs))
    assert rates["long_rate"].to_list() == [None, 0, 0]
    assert burning(rates) is None


def test_a_pause_is_calm() -> None:
    runs = [("down", NOW - 3 * DAY, NOW - 2 * DAY), ("paused", NOW - 2 * DAY, NOW)]
    assert burning(burn(site_spans(*runs), SHOP, [NOW], both(runs))) is Burning.CALM


def test_rates_are_told_of_many_times_at_once() -> None:
    runs, times = outage(6, ends=HOUR), [NOW - 2 * HOUR, NOW - HOUR, NOW]
    whole = burn(site_spans(*runs), SHOP, times, both(runs))
    for at in times:
        alone = burn(site_spans(*runs), SHOP, [at], both(runs))
        assert whole.filter(pl.col("at") == at).equals(alone)


STATES = ("up", "degraded", "down", "unknown", "maintenance")


@st.composite
def histories(draw: st.DrawFn) -> list[list[Run]]:
    """Of one to three sites: runs of some minutes each, the last ends now."""
    sites = []
    for _ in range(draw(st.integers(1, 3))):
        at, runs = NOW, []
        for state, minutes in draw(st.lists(st.tuples(st.sampled_from(STATES), st.integers(1, 400)), max_size=12)):
            runs.append((state, at - minutes * MINUTE, at))
            at -= minutes * MINUTE
        sites.append(runs[::-1])
    return sites


@given(histories())
@settings(max_examples=40)
def test_a_plain_loop_over_the_minutes_tells_the_same(history: list[list[Run]]) -> None:
    frame = pl.concat([site_spans(*runs, site_id=number) for number, runs in enumerate(history)])
    short = Objective(1, "s", "", 0.99, site="s", window_days=1)
    sites = max(1, sum(any(until > NOW - DAY for _, _, until in runs) for runs in history))

    held = [[state for state, since, until in runs for _ in range(int((until - since) / MINUTE))] for runs in history]

    def minutes(states: set[str], window: timedelta) -> float:
        last = int(window / MINUTE)
        return sum(state in states for each in held for state in each[-last:]) / sites

    found = only(slo(frame, short, NOW))
    down, known = minutes({"down"}, DAY), minutes({"up", "degraded", "down"}, DAY)
    unknown = minutes({"unknown"}, DAY)
    assert found["good_s"] == pytest.approx(60 * (known - down))
    assert found["unknown_s"] == pytest.approx(60 * unknown)
    assert found["spent_s"] == (pytest.approx(60 * down) if known else None)
    assert found["coverage"] == (pytest.approx(known / (known + unknown)) if known + unknown else None)
    rates = burn(frame, short, [NOW])
    everywhere = max(1, sum(bool(runs) for runs in history))
    for rule, rate in zip(RULES[:2], rates["long_rate"], strict=False):
        spent = minutes({"down"}, rule.long) * sites / everywhere * 60
        known_then = minutes({"up", "degraded", "down"}, rule.long)
        assert rate == (pytest.approx(spent / rule.long.total_seconds() / 0.01) if known_then else None)


def test_spans_reach_back_far_enough_for_what_is_asked() -> None:
    assert reach_of(SHOP, NOW) == NOW - 60 * DAY
    month = Objective(1, "m", "", 0.999, site="shop", window_days=None)
    assert reach_of(month, NOW) == NOW - 30 * DAY
