"""From ticks to verdicts: by majority of those who know, at the ticks' own time, once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.judge.fold import Watched, judge, silence
from pipeline.judge.verdict import LATENESS_WINDOW, Standing, verdict, vote
from pipeline.vocabulary import Kind, Outcome, State, Tick

START = datetime(2026, 1, 1, tzinfo=UTC)


def tick(second: float, outcome: Outcome = Outcome.OK, *, region: int = 1, final: bool = True, **more: object) -> Tick:
    at = START + timedelta(seconds=second)
    return Tick(1, region, at, 0, at, outcome, final, 10, 1, "test", **more)  # type: ignore[arg-type] # fields by name


def watched(regions: int = 2) -> dict[int, Watched]:
    numbers = range(1, regions + 1)
    return {1: Watched(regions=dict.fromkeys(numbers, Standing()), settle_s=dict.fromkeys(numbers, 1.0))}


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ("u", "up"),
        ("d", "down"),
        ("?", "unknown"),
        ("uu", "up"),
        ("ud", "degraded"),  # one of two is no majority
        ("dd", "down"),
        ("d?", "unknown"),  # one alone does not know for two
        ("u?", "unknown"),
        ("udd", "down"),
        ("uud", "degraded"),
        ("dd?", "down"),
        ("ud?", "degraded"),
        ("uddd?", "down"),
        ("uuuud", "degraded"),
        ("ug", "degraded"),
        ("", "unknown"),
    ],
)
def test_the_verdict_is_the_vote_of_those_who_know(votes: str, expected: str) -> None:
    states = {"u": State.UP, "d": State.DOWN, "?": State.UNKNOWN, "g": State.DEGRADED}
    assert verdict(dict(enumerate(states[letter] for letter in votes))) == expected


def test_an_outage_seen_from_both_regions_is_one_transition_each_way() -> None:
    sites = watched()
    story = [tick(t, region=r) for t in (0, 10) for r in (1, 2)]
    story += [tick(t, Outcome.STATUS, region=r) for t in (20, 30) for r in (1, 2)]
    story += [tick(t, region=r) for t in (40, 50) for r in (1, 2)]
    states = [t.to_state for t in judge(sites, story, now=START).transitions]
    assert states == [State.UP, State.DEGRADED, State.DOWN, State.DEGRADED, State.UP]


def test_what_is_not_the_slots_final_word_changes_nothing() -> None:
    sites = watched(1)
    judge(sites, [tick(0)], now=START)
    later = [tick(10, Outcome.STATUS, final=False), tick(11, Outcome.STATUS, kind=Kind.MANUAL)]
    assert not judge(sites, later, now=START).transitions
    assert sites[1].state is State.UP


@pytest.mark.parametrize(
    ("outcome", "kept"), [(Outcome.OK, False), (Outcome.SLOW, False), (Outcome.REFUSED, True), (Outcome.TLS, True)]
)
def test_a_site_that_answers_without_a_certificate_has_none_any_more(outcome: Outcome, kept: bool) -> None:
    sites = watched(1)
    judge(sites, [tick(0, expires_at=START), tick(10, outcome)], now=START)
    assert sites[1].regions[1].expires_at == (START if kept else None)


def test_ticks_from_long_ago_change_nothing() -> None:
    assert not judge(watched(1), [tick(0)], now=START + LATENESS_WINDOW + timedelta(seconds=2)).series


def test_a_series_that_is_no_longer_active_changes_nothing() -> None:
    assert not judge(watched(1), [tick(0, region=2)], now=START).series


def test_silence_becomes_unknown_and_a_confirmation_under_way_is_no_silence() -> None:
    sites = watched(1)
    judge(sites, [tick(0)], now=START)
    assert vote(sites[1].regions[1], START + timedelta(seconds=20.9)) is State.UP
    assert vote(sites[1].regions[1], START + timedelta(seconds=21)) is State.UNKNOWN
    changes = silence(sites, now=START + timedelta(seconds=30)).transitions
    assert [(c.from_state, c.to_state) for c in changes] == [(State.UP, State.UNKNOWN)]


@given(
    outcomes=st.lists(st.sampled_from([Outcome.OK, Outcome.STATUS, Outcome.LATE]), max_size=20),
    seed=st.integers(0, 1000),
)
def test_a_batch_in_any_order_and_repeated_is_judged_alike(outcomes: list[Outcome], seed: int) -> None:
    story = [tick(10 * n + region, o, region=region) for n, o in enumerate(outcomes) for region in (1, 2)]
    shuffled = [*story, *story]
    Random(seed).shuffle(shuffled)
    one, other = watched(), watched()
    later = START + timedelta(seconds=250)
    assert judge(one, story, now=later).transitions == judge(other, shuffled, now=later).transitions
    assert one == other


def test_a_check_that_settles_slowly_is_not_late_for_it() -> None:
    sites = watched(1)
    sites[1].settle_s[1] = 2_000.0
    assert judge(sites, [tick(0, Outcome.REFUSED)], now=START + timedelta(seconds=1_900)).transitions


def test_history_goes_forward_though_an_earlier_slot_settles_later() -> None:
    sites = watched()
    judge(sites, [tick(t, region=r) for t in (0, 10) for r in (1, 2)], now=START)
    first = judge(sites, [tick(30, Outcome.REFUSED, region=1)], now=START).transitions
    second = judge(sites, [tick(20, Outcome.TIMEOUT, region=2)], now=START).transitions
    assert [change.to_state for change in first + second] == [State.DEGRADED, State.DOWN]
    assert first[0].at <= second[0].at


def test_a_slot_judged_by_a_clock_that_was_wrong_does_not_silence_the_truth() -> None:
    sites = watched(1)
    judge(sites, [tick(3_600)], now=START + timedelta(hours=1))
    assert judge(sites, [tick(10, Outcome.REFUSED)], now=START + timedelta(seconds=10)).transitions
