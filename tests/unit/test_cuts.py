"""Days are those of the report's time zone, clocks that change with them; hours weigh what somebody says."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.analysis.cuts import clipped, cut_at, cut_by
from pipeline.analysis.hours import BusinessHours, Weights, read_weights, weighed, within_hours
from pipeline.errors import InvalidInputError
from pipeline.frames import TIME

SATURDAY = datetime(2026, 3, 28, tzinfo=UTC)  # clocks in Berlin go forward on Sunday, at 01:00 UTC
HOUR = timedelta(hours=1)


def rows(*spans: tuple[float, float], checks: int = 0) -> pl.DataFrame:
    """Rows [since, until, checks], in hours since Saturday 00:00 UTC."""
    told = [(SATURDAY + since * HOUR, SATURDAY + until * HOUR, checks) for since, until in spans]
    return pl.DataFrame(told, schema={"since": TIME, "until": TIME, "checks": pl.Int64}, orient="row")


def hours(frame: pl.DataFrame) -> list[tuple[float, float]]:
    ordered = frame.sort("since")
    return [((a - SATURDAY) / HOUR, (b - SATURDAY) / HOUR) for a, b in ordered.select("since", "until").rows()]


def lengths(frame: pl.DataFrame) -> list[float]:
    grouped = frame.group_by("at").agg((pl.col("until") - pl.col("since")).sum()).sort("at")
    return [length / HOUR for length in grouped["until"].to_list()]


def test_a_day_has_23_hours_where_the_clocks_go_forward_and_25_where_they_go_back() -> None:
    spring = cut_by(rows((-1, 71)), "1d", "Europe/Berlin")
    assert lengths(spring) == [24, 23, 24, 1]
    assert spring["at"].min() == SATURDAY - HOUR
    october = rows((-1, 71)).with_columns(pl.col("since", "until") + pl.duration(days=210))
    assert lengths(cut_by(october, "1d", "Europe/Berlin")) == [23, 25, 24]
    assert lengths(cut_by(rows((0, 48)), "1d")) == [24, 24]


def test_where_clocks_skip_midnight_the_day_begins_when_they_do() -> None:
    # Santiago went from Saturday 24:00 to Sunday 01:00, at 04:00 UTC of 6 September 2026.
    night = datetime(2026, 9, 6, 4, tzinfo=UTC)
    span = pl.DataFrame({"since": [night - HOUR], "until": [night + 30 * HOUR]}, schema={"since": TIME, "until": TIME})
    cut = cut_by(span, "1d", "America/Santiago")
    assert cut["at"].to_list() == [night - 24 * HOUR, night, night + 23 * HOUR]


def test_weeks_begin_on_monday_months_on_the_first_and_hours_where_the_local_clock_says() -> None:
    assert lengths(cut_by(rows((0, 72)), "1w")) == [48, 24]
    assert lengths(cut_by(rows((0, 100)), "1mo")) == [96, 4]
    assert hours(cut_by(rows((0, 2)), "1h", "Asia/Kathmandu")) == [(0, 0.25), (0.25, 1.25), (1.25, 2)]
    with pytest.raises(InvalidInputError, match="there is no time zone 'Berlin'; write it as in Europe/Berlin"):
        cut_by(rows((0, 1)), "1d", "Berlin")


def test_a_cut_adds_no_doubt_to_an_outage_s_edges_and_splits_its_checks() -> None:
    edges = {"began_after": SATURDAY - HOUR, "ended_after": SATURDAY + 30 * HOUR}
    span = rows((0, 36), checks=36).with_columns(pl.lit(at, TIME).alias(name) for name, at in edges.items())
    first, second = cut_by(span, "1d").sort("since").iter_rows(named=True)
    assert (first["began_after"], first["ended_after"]) == (edges["began_after"], SATURDAY + 24 * HOUR)
    assert (second["began_after"], second["ended_after"]) == (SATURDAY + 24 * HOUR, edges["ended_after"])
    assert (first["checks"], second["checks"]) == (24, 12)
    assert hours(clipped(span, SATURDAY + HOUR, SATURDAY + 2 * HOUR)) == [(1, 2)]


moments = st.integers(0, 200)


@given(st.lists(st.tuples(moments, moments, st.integers(0, 9)), max_size=6), st.lists(moments, max_size=8))
@settings(max_examples=60, deadline=None)
def test_pieces_add_up_to_what_was_cut(told: list[tuple[int, int, int]], edges: list[int]) -> None:
    spans = [rows((since, until), checks=checks) for since, until, checks in told if since < until]
    whole = pl.concat([rows(), *spans]).with_row_index("n")
    marks = pl.Series([SATURDAY + edge * HOUR for edge in edges], dtype=TIME)
    cut = cut_at(whole, marks)
    for number, piece in enumerate(spans):
        part = cut.filter(pl.col("n") == number).sort("since")
        assert part["checks"].sum() == piece["checks"].item()
        since, until = hours(piece)[0]
        inner = sorted({float(edge) for edge in edges if since < edge < until})
        assert hours(part) == list(zip([since, *inner], [*inner, until], strict=True))


def test_opening_hours_are_those_of_the_local_clock() -> None:
    office = BusinessHours("Europe/Berlin", days=(5, 6, 0))
    # 09:00 to 17:00 is 08:00 to 16:00 UTC on Saturday, and an hour earlier from Sunday on.
    assert hours(within_hours(rows((0, 72)), office)) == [(8, 16), (31, 39), (55, 63)]
    assert hours(within_hours(rows((10, 11), (17, 18), (30, 32)), office)) == [(10, 11), (31, 32)]


def test_opening_hours_may_reach_over_midnight_or_be_the_whole_day() -> None:
    night = BusinessHours(days=(5,), opens=time(22), closes=time(6))
    assert hours(within_hours(rows((0, 72)), night)) == [(22, 30)]
    assert hours(within_hours(rows((-30, 72)), BusinessHours(days=(5, 6), opens=time(0), closes=time(0)))) == [
        (0, 24),
        (24, 48),
    ]


def test_hours_of_the_week_weigh_by_the_local_clock() -> None:
    lines = ["hour,weight", *(f"{hour},{hour}" for hour in range(168))]
    found = weighed(rows((0, 3)), read_weights(lines, "Europe/Berlin")).sort("since")
    assert found["weight"].to_list() == [5 * 24 + 1, 5 * 24 + 2, 5 * 24 + 3]
    skipped = weighed(rows((24, 26)), read_weights(lines, "Europe/Berlin")).sort("since")
    assert skipped["weight"].to_list() == [6 * 24 + 1, 6 * 24 + 3], "02:00 is not there that Sunday"


def test_a_week_may_be_written_with_days() -> None:
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    lines = ["Hour, Weight", *(f"{day} {hour},1.5" for day in days for hour in range(24))]
    assert read_weights(lines).week == (1.5,) * 168


def test_times_weigh_what_falls_into_their_hour() -> None:
    lines = ["time,weight", "2026-03-28T01:30+01:00,2", "2026-03-28T00:05Z,3", "2026-03-28 02:00,5"]
    weights = read_weights(lines, "Europe/Berlin")
    assert weights == Weights("Europe/Berlin", at=((SATURDAY, 5.0), (SATURDAY + HOUR, 5.0)))
    assert weighed(rows((0.5, 2)), weights)["weight"].to_list() == [5, 5]
    with pytest.raises(
        InvalidInputError, match="no weight for 2 hours of this time, the first at 2026-03-28 02:00 UTC"
    ):
        weighed(rows((0, 4)), weights)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "the header has to be hour,weight or time,weight, and is empty"),
        (["when,much"], "and is when,much"),
        (["hour,weight", "0,1"], "167 of the week's 168 hours are missing, the first is mon 1"),
        (["hour,weight", "168,1"], "line 2, weights: '168' is no hour of the week: write 0 to 167, or as in mon 14"),
        (["hour,weight", "mon 24,1"], "'mon 24' is no hour of the week"),
        (["hour,weight", "0,1", "mon 0,1"], "line 3, weights: hour mon 0 is there twice"),
        (["hour,weight", "0,-1"], "'-1' is no weight: write a number from 0 up"),
        (["hour,weight", "0,nan"], "'nan' is no weight"),
        (["time,weight", "yesterday,1"], "'yesterday' is no time: write it as in 2026-03-01T14:00"),
        (["time,weight", "2026-03-01T00:00Z,0"], "there is no weight above 0"),
        (["time,weight", "2026-03-01T00:00Z"], "'' is no weight"),
    ],
)
def test_a_wrong_file_of_weights_says_what_is_wrong(lines: list[str], said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_weights(lines)
    assert said in str(caught.value)
