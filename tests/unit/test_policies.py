"""Ten minutes of one site in three regions, worked by hand for every policy; and what holds for any history.

Minute by minute, a check each. `.` up, `~` degraded, `x` down in both of its attempts, `r` down at first and up when it
was confirmed, `?` nobody knows. Minute 0 is maintenance.

    minute   0 1 2 3 4 5 6 7 8 9
    a        . . . x x x . . r .
    b        . . . . x x . . . .
    c        x . . . . x . ~ . ?
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.analysis.accounts import uptime
from pipeline.analysis.hours import BusinessHours, Weights
from pipeline.analysis.policies import DEFAULT, POLICIES, Policy, policy_of
from pipeline.analysis.policy_accounts import account, by_policy
from pipeline.analysis.spans import NEEDS
from pipeline.analysis.units import PERIODS, History
from pipeline.analysis.votes import voted
from pipeline.analysis.waterfalls import CHOICES, waterfall
from pipeline.answers import ACCOUNT, WATERFALL
from pipeline.errors import InvalidInputError, NotFoundError
from pipeline.frames import SPANS, TICKS, check, schema
from tests.unit import oracle

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SEEN = {"a": "...xxx..r.", "b": "....xx....", "c": "x....x.~.?"}
STATES = {".": "up", "r": "up", "x": "down", "~": "degraded", "?": "unknown"}


def spans(seen: dict[str, str]) -> pl.DataFrame:
    """Frame SPANS: a minute a letter, a space where nothing was called for."""
    rows = [
        {
            "site": "shop", "region": region, "site_id": 1, "region_id": number, "state": STATES[letter],
            "since": START + minute * MINUTE, "until": START + (minute + 1) * MINUTE, "checks": 1,
            "began_after": None, "ended_after": None,
        }
        for number, (region, letters) in enumerate(seen.items())
        for minute, letter in enumerate(letters) if letter != " "
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=schema(SPANS))


def ticks(seen: dict[str, str]) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for number, letters in enumerate(seen.values()):
        for minute, letter in enumerate(letters):
            if letter == " ":
                continue
            plain = {"site_id": 1, "region_id": number, "scheduled_at": START + minute * MINUTE, "interval_s": 60}
            plain |= {"kind": "scheduled", "attempt": 0, "final": True, "state": STATES[letter]}
            if letter in "xr":
                rows.append(plain | {"state": "down", "final": False})
                plain |= {"attempt": 1}
            rows.append(plain)
    return pl.DataFrame(rows, schema=schema(TICKS, NEEDS))


def history(seen: dict[str, str] = SEEN, maintained: int = 1) -> History:
    until = START + max(len(letters) for letters in seen.values()) * MINUTE
    window = [(1, None, START, START + maintained * MINUTE, "maintenance")] if maintained else []
    return History(START, until, spans(seen), ticks(seen), pl.DataFrame(window, schema=PERIODS, orient="row"))


BY_HAND = {
    # Minutes 1 to 9. Two of three see it down in 4 and 5. One does in 3, slow in 7: degraded, so up. In 9 two know.
    "default": Fraction(9 - 2, 9),
    # Attempts of minutes 1 to 9. Up: a 1 2 6 7 9 and the second of 8, b 1 2 3 6 7 8 9, c 1 2 3 4 6 7 8.
    # Down, each twice: a 3 4 5, b 4 5, c 5; and the first of a's 8. The unknown one has no beat.
    "kuma": Fraction(6 + 7 + 7, 6 + 7 + 7 + 2 * 6 + 1),
    # First attempts of all ten minutes. Down: a 3 4 5 8, b 4 5, c 0 5. Up: the rest but the unknown one.
    "gatus": Fraction(29 - 8, 29),
    "grafana-reachability": Fraction(29 - 8, 29),
    # Steps in which all are down: minute 5 alone.
    "grafana-uptime": Fraction(9, 10),
    # Time in which any is down: minutes 0, 3, 4 and 5.
    "datadog": Fraction(10 - 4, 10),
    # As gatus, but the three checks of minute 0 are maintenance, and that is as good as up.
    "kener": Fraction(29 - 7, 29),
    # Major in 4 and 5; partial in 3, which weighs 30 %; maintenance is operational.
    "statuspage": 1 - Fraction(2, 10) - Fraction(3, 10) * Fraction(1, 10),
    # Newest first: 9 a up, b up, c unknown; 8 c up, b up, a up and before that down; 7 three up. Nine of ten know.
    "seed": Fraction(8, 9),
}


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_counts_the_ten_minutes_as_worked_by_hand(name: str) -> None:
    row = check(account(history(), name), {**ACCOUNT, "site": SPANS["site"]}).row(0, named=True)
    assert row["uptime"] == pytest.approx(float(BY_HAND[name]), abs=1e-12)
    assert (row["site"], row["policy"]) == ("shop", name)


def test_every_policy_says_where_its_rule_is_from() -> None:
    for name, policy in POLICIES.items():
        assert policy.name == name
        assert policy.source
        assert policy.about.endswith(".")
        assert policy.version >= 1


def test_policies_of_seconds_say_their_downtime_and_those_of_checks_what_it_would_be() -> None:
    found = {row["policy"]: row for row in by_policy(history()).iter_rows(named=True)}
    assert list(found) == list(POLICIES)
    assert (found["default"]["down_s"], found["default"]["of_s"]) == (pytest.approx(120), 540)
    assert found["statuspage"]["down_s"] == pytest.approx(120 + 0.3 * 60)
    assert (found["gatus"]["down_s"], found["gatus"]["of_s"]) == (pytest.approx(600 * 8 / 29), 600)


def test_what_nobody_knows_widens_the_bounds_whatever_a_policy_assumes_of_it() -> None:
    dark = history({"a": "..?????x..", "b": "..?????x.."}, maintained=0)
    kept = account(dark, "default").row(0, named=True)
    lulled = account(dark, "datadog").row(0, named=True)
    assert (kept["uptime"], kept["coverage"]) == (pytest.approx(4 / 5), pytest.approx(0.5))
    assert (kept["low"], kept["high"]) == (pytest.approx(4 / 10), pytest.approx(9 / 10))
    assert lulled["uptime"] == pytest.approx(9 / 10)
    assert [lulled[name] for name in ("low", "high", "coverage")] == [
        kept[name] for name in ("low", "high", "coverage")
    ]


def test_without_a_failure_a_policy_claims_no_more_than_its_checks_show() -> None:
    found = {row["policy"]: row for row in by_policy(history({"a": "." * 10, "b": "." * 10}, 0)).iter_rows(named=True)}
    assert all(row["uptime"] == 1 for row in found.values())
    behind = {"default": 20, "kuma": 20, "grafana-uptime": 10, "seed": 10}
    for name, checks in behind.items():
        assert found[name]["checks"] == checks
        assert found[name]["at_least"] == pytest.approx(checks / (checks + 1.96**2))
    assert account(history(), "default")["at_least"].item() is None


def test_hours_that_began_before_the_range_are_not_in_gatus() -> None:
    whole = history({"a": "x" * 70 + "." * 10}, maintained=0)
    late = History(START + 30 * MINUTE, whole.until, whole.spans, whole.ticks)
    assert account(late, "gatus")["uptime"].item() == pytest.approx(10 / 20)
    assert account(late, "grafana-reachability")["uptime"].item() == pytest.approx(10 / 50)


def test_by_region_nobody_votes() -> None:
    found = account(history(), "default", by=["site", "region"])
    assert dict(found.select("region", "uptime").rows()) == pytest.approx({"a": 6 / 9, "b": 7 / 9, "c": 7 / 8})


def test_by_hour_every_policy_has_a_row_for_each() -> None:
    long = history({"a": "." * 60 + "x" * 30, "b": "." * 60 + "x" * 30}, maintained=0)
    for name in ("default", "kuma", "grafana-uptime"):
        found = account(long, name, every="1h")
        assert found.select("at", "uptime").rows() == [(START, 1), (START + 60 * MINUTE, 0)], name
        assert found["of_s"].to_list() == [3600, 1800]


def test_a_region_that_cannot_be_believed_is_unknown_to_policies_of_checks() -> None:
    told = history({"a": "x...", "b": "...."}, maintained=0)
    doubted = pl.DataFrame([(None, 0, START, None, "suspect")], schema=PERIODS, orient="row")
    known = History(told.since, told.until, told.spans, told.ticks, doubted)
    assert account(known, "grafana-reachability").select("uptime", "coverage").row(0) == (1, 0.5)


def test_a_policy_that_counts_checks_wants_the_ticks() -> None:
    bare = History(START, START + 10 * MINUTE, spans(SEEN))
    with pytest.raises(InvalidInputError, match="kuma counts checks, and there are no ticks"):
        account(bare, "kuma")
    with pytest.raises(NotFoundError, match="no policy 'pingdom'; there are default, kuma"):
        policy_of("pingdom")
    with pytest.raises(InvalidInputError, match="'planet' is not one of site, region"):
        account(history(), "default", by=["planet"])


def test_nothing_known_is_null_and_never_all() -> None:
    for name in POLICIES:
        row = account(history({"a": "???", "b": "???"}, maintained=0), name).row(0, named=True)
        assumed = policy_of(name).unknown
        assert row["uptime"] == assumed, name
        assert (row["low"], row["high"], row["coverage"], row["at_least"]) == (0, 1, 0, None)


def test_the_waterfall_takes_one_choice_after_the_other() -> None:
    found = check(waterfall(history(), "default", "statuspage"), WATERFALL)
    assert found.select("kind", "step", "choice").rows() == [
        ("from", "default", None),
        ("choice", "partial outage", "as up → 70 % up"),
        ("choice", "unknown", "left out → as up"),
        ("choice", "maintenance", "left out → as up"),
        ("to", "statuspage", None),
    ]
    # 9 minutes with 18 s more of downtime; nothing is unknown to the vote; a minute more that is up.
    after = [1 - 138 / 540, 1 - 138 / 540, 1 - 138 / 600]
    assert found["uptime"].to_list() == pytest.approx([1 - 120 / 540, *after, 1 - 138 / 600])
    assert found["change_s"].to_list()[1] == pytest.approx(600 * (120 - 138) / 540)


letters = st.text(alphabet="...~xr? ", min_size=1, max_size=12)
seen = st.lists(letters, min_size=1, max_size=4).filter(lambda told: any(text.strip() for text in told))
histories = st.builds(
    lambda told, maintained: history({str(n): text for n, text in enumerate(told)}, maintained),
    seen,
    st.integers(0, 3),
)
names = st.sampled_from(list(POLICIES))
mixtures = st.builds(
    Policy,
    name=st.just("mixture"),
    base=st.sampled_from(["seconds", "checks", "steps"]),
    retries=st.sampled_from(["confirmed", "first", "every"]),
    regions=st.sampled_from(["quorum", "any", "all", "mean"]),
    degraded=st.sampled_from([0.0, 0.5, 1.0]),
    partial=st.sampled_from([0.0, 0.7, 1.0]),
    unknown=st.sampled_from([None, 0.0, 1.0]),
    maintenance=st.sampled_from([None, "counted", 0.0, 1.0]),
    last=st.sampled_from([None, 3]),
)


@given(histories, mixtures)
@settings(max_examples=80, deadline=None)
def test_whatever_a_policy_assumes_its_uptime_lies_within_the_bounds(told: History, policy: Policy) -> None:
    found = account(told, policy)
    for row in found.iter_rows(named=True):
        if row["coverage"] is not None:
            assert row["uptime"] is None or row["low"] - 1e-12 <= row["uptime"] <= row["high"] + 1e-12
            assert 0 <= row["coverage"] <= 1 + 1e-12


@given(mixtures, st.sampled_from(".x"), st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_always_up_is_one_and_always_down_is_none(policy: Policy, letter: str, regions: int) -> None:
    always = history({str(n): letter * 6 for n in range(regions)}, maintained=0)
    assert account(always, policy)["uptime"].item() == (1 if letter == "." else 0)


@given(histories, names, names)
@settings(max_examples=40, deadline=None)
def test_the_steps_of_a_waterfall_add_up_to_the_difference(told: History, first: str, second: str) -> None:
    found = waterfall(told, first, second)
    start, end = found["uptime"][0], found["uptime"][-1]
    if start is not None and end is not None:
        assert sum(found["change"].drop_nulls()) == pytest.approx(end - start, abs=1e-12)
    differing = [name for name in CHOICES if getattr(POLICIES[first], name) != getattr(POLICIES[second], name)]
    assert found.height == len(differing) + 2


@given(seen, st.integers(0, 3), mixtures | st.sampled_from(list(POLICIES.values())))
@settings(max_examples=150, deadline=None)
def test_every_policy_and_every_mixture_is_what_a_plain_loop_counts(
    told: list[str], maintained: int, policy: Policy
) -> None:
    regions = {str(number): letters for number, letters in enumerate(told)}
    row = account(history(regions, maintained), policy, by=()).row(0, named=True)
    plain = oracle.accounted(told, maintained, policy)
    assert [row[name] for name in plain._fields] == [
        None if share is None else pytest.approx(share, abs=1e-12) for share in plain
    ]


def test_opening_hours_leave_the_rest_of_the_day_out_of_seconds_and_of_checks() -> None:
    told = history({"a": "." * 60 + "x" * 30, "b": "." * 60 + "x" * 30}, maintained=0)
    office = BusinessHours(days=(6,), opens=START.time(), closes=(START + 75 * MINUTE).time())
    for base in ("default", "grafana-reachability", "grafana-uptime"):
        open_then = replace(POLICIES[base], name="office", hours=office)
        assert account(told, open_then)["uptime"].item() == pytest.approx(60 / 75), base
    assert account(told, replace(DEFAULT, name="office", hours=office))["of_s"].item() == 75 * 60


def test_an_hour_without_traffic_weighs_nothing_and_a_busy_one_more() -> None:
    told = history({"a": "." * 60 + "x" * 60 + "." * 60, "b": "." * 60 + "x" * 60 + "." * 60}, maintained=0)
    busy = Weights(at=tuple((START + hour * 60 * MINUTE, weight) for hour, weight in enumerate((8.0, 1.0, 1.0))))
    for base in ("default", "grafana-reachability", "grafana-uptime"):
        weighty = replace(POLICIES[base], name="traffic", weights=busy)
        assert account(told, weighty)["uptime"].item() == pytest.approx(9 / 10), base
    steps = waterfall(told, DEFAULT, replace(DEFAULT, name="traffic", weights=busy))
    assert steps["step"].to_list() == ["default", "weights", "traffic"]
    assert steps["change_s"].to_list()[1] == pytest.approx((1 / 3 - 1 / 10) * 3 * 3600)


@given(seen)
@settings(max_examples=40, deadline=None)
def test_the_default_is_the_uptime_of_the_spans_that_the_vote_makes(told: list[str]) -> None:
    known = history({str(number): letters for number, letters in enumerate(told)}, maintained=0)
    regions = known.spans.select("site_id", "region_id", "state", "since", "until", "checks", last_at="since")
    voted_spans = voted(regions.with_columns(cut=pl.lit(value=False)).sort("site_id", "region_id", "since"))
    by_vote = uptime(voted_spans).row(0, named=True)
    row = account(known, by=()).row(0, named=True)
    for name in ("uptime", "low", "high", "coverage", "down_s"):
        assert row[name] == (None if by_vote[name] is None else pytest.approx(by_vote[name])), name
