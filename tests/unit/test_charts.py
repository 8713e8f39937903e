"""Charts: what is missing stays missing, colour is never the only sign, and no chart grows without bound."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from pipeline import charts
from pipeline.charts import shapes
from pipeline.charts.latency import POINTS, few
from pipeline.charts.palette import COLOURS, GUTTER, SYMBOLS, WIDEST_GUTTER, gutter_of
from pipeline.charts.shapes import SMOKE
from pipeline.charts.states import FILL, lasting
from pipeline.frames import TICKS, schema
from pipeline.vocabulary import State

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def ticks(*minutes: int, region: str = "eu", state: str = "up", latency_ms: float = 100.0) -> pl.DataFrame:
    """A frame TICKS of one site: a check at each of the minutes."""
    rows = [
        {
            "scheduled_at": START + minute * MINUTE,
            "site": "shop",
            "region": region,
            "site_id": 1,
            "region_id": {"eu": 1, "us": 2}[region],
            "attempt": 0,
            "state": state,
            "outcome": {"up": "ok", "down": "dns", "unknown": "late"}[state],
            "latency_ms": latency_ms,
            "dns_ms": 1.0,
            "ttfb_ms": latency_ms - 1,
            "trusted": True,
            "interval_s": 60,
            "final": True,
            "kind": "scheduled",
        }
        for minute in minutes
    ]
    types = schema(TICKS)
    return pl.DataFrame([{name: row.get(name) for name in types} for row in rows], schema=types, orient="row")


def layers(chart: Any) -> list[dict[str, Any]]:
    spec = chart.to_dict()
    found: list[dict[str, Any]] = spec.get("layer", [spec])
    return found


def rows(chart: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [row for data in chart.to_dict()["datasets"].values() for row in data]
    return found


def test_a_gap_in_the_latency_stays_a_gap() -> None:
    frame = charts.latency_by(ticks(0, 1, 2, 5, 6), MINUTE)
    assert frame["p50_ms"].to_list() == [100, 100, 100, None, None, 100, 100]
    assert frame["checks"].to_list() == [1, 1, 1, 0, 0, 1, 1]
    lines = [layer for layer in layers(charts.latency(frame)) if layer["mark"]["type"] in ("line", "area")]
    assert [line["mark"]["invalid"] for line in lines] == ["break-paths-show-domains"] * 3


def test_a_lonely_check_is_a_point_since_no_line_reaches_it() -> None:
    chart = charts.latency(charts.latency_by(ticks(0, 5, 10), MINUTE))
    assert sum(layer["mark"]["type"] == "point" for layer in layers(chart)) == 2  # the lonely ones, and the hovered one


def test_failures_are_counted_and_not_in_the_latency() -> None:
    both = pl.concat([ticks(0, latency_ms=100), ticks(1, state="down", latency_ms=9_000)])
    frame = charts.latency_by(both, timedelta(minutes=2))
    assert frame.select("p95_ms", "checks", "failed").rows() == [(100, 1, 1)]
    crosses = [layer for layer in layers(charts.latency(frame)) if layer["mark"].get("shape") == "cross"]
    assert len(crosses) == 1


def test_a_cross_is_the_larger_and_the_redder_the_more_failed_and_on_the_ground_where_nothing_answered() -> None:
    seen = pl.concat([ticks(*range(30)), ticks(30, state="down"), ticks(60), ticks(61, 62, state="down")])
    chart = charts.latency(charts.latency_by(seen, 60 * MINUTE))
    (cross,) = [layer for layer in layers(chart) if layer["mark"].get("shape") == "cross"]
    lost = {row["lost"]: row["place_ms"] for row in rows(chart) if "lost" in row}
    assert lost == {"up to 5 % failed": 100, "more failed": 100}
    assert cross["encoding"]["size"]["scale"]["range"] == sorted(cross["encoding"]["size"]["scale"]["range"])
    assert len(set(cross["encoding"]["fill"]["scale"]["range"])) == 3
    assert cross["encoding"]["fill"]["legend"]["values"] == list(lost)
    nothing = charts.latency(charts.latency_by(pl.concat([ticks(0), ticks(1, state="down")]), MINUTE))
    assert [row["place_ms"] for row in rows(nothing) if "lost" in row] == [0]


def test_the_bands_of_few_checks_are_grey_and_join_those_of_many() -> None:
    often = [ticks(*range(5)).with_columns(scheduled_at=pl.col("scheduled_at") + timedelta(milliseconds=step))
             for step in range(100)]  # fmt: skip
    frame = charts.latency_by(pl.concat([*often, ticks(5, 6, 7)]), MINUTE)
    assert frame["checks"].to_list() == [100] * 5 + [1] * 3
    assert few(frame)
    areas = [layer for layer in layers(charts.latency(frame)) if layer["mark"]["type"] == "area"]
    grey = [area for area in areas if area["encoding"]["color"].get("value") == COLOURS[State.UNKNOWN]]
    assert (len(areas), len(grey)) == (4, 2)
    assert not few(frame.head(5))


def test_a_frame_of_months_by_the_minute_is_drawn_within_its_budget_with_its_extremes() -> None:
    at = pl.datetime_range(START, START + 19_999 * MINUTE, MINUTE, eager=True)
    frame = pl.DataFrame({"at": at, "region": "eu"}).with_columns(
        *(pl.lit(100.0).alias(name) for name in SMOKE), checks=pl.lit(1), failed=pl.int_range(pl.len()) == 7
    )
    peak = frame.with_columns(
        p50_ms=pl.when(pl.int_range(pl.len()) == 9_999).then(900.0).otherwise(100.0), failed=pl.col("failed").cast(int)
    )
    chart = charts.latency(peak)
    line = max(chart.to_dict()["datasets"].values(), key=len)
    assert len(line) <= POINTS + 2
    assert max(row["p50_ms"] for row in line) == 900
    assert sum("lost" in row for row in rows(chart)) == 1


def test_regions_differ_in_more_than_colour() -> None:
    frame = charts.latency_by(pl.concat([ticks(0, 1), ticks(0, 1, region="us")]), MINUTE)
    line = next(layer for layer in layers(charts.latency(frame)) if layer["mark"]["type"] == "line")
    dashes = line["encoding"]["strokeDash"]["scale"]["range"]
    assert len({tuple(dash) for dash in dashes}) == 2


def test_phases_add_up_and_leave_gaps() -> None:
    frame = charts.phases_by(ticks(0, 1, 4), MINUTE)
    assert set(frame["phase"]) == {"dns", "ttfb"}  # what never occurs has no place in the legend
    assert frame.filter(pl.col("at") == START + 2 * MINUTE)["ms"].to_list() == [None, None]
    drawn = [row for row in rows(charts.phases(frame)) if row["ms"] is not None]
    assert max(row["high"] for row in drawn) == 100
    assert all(row["high"] - row["low"] == pytest.approx(row["ms"]) for row in drawn)


def test_a_waterfall_is_in_the_order_of_what_happened() -> None:
    bars = [row for row in rows(charts.waterfall(ticks(0))) if row.get("phase")]
    assert [(bar["phase"], bar["start_ms"], bar["end_ms"]) for bar in bars] == [("dns", 0, 1), ("ttfb", 1, 100)]


def test_unknown_is_an_outline_and_never_green() -> None:
    states = charts.states_of(ticks(0, 1, 2, 10), START - 5 * MINUTE, START + 20 * MINUTE)
    assert states["state"].to_list() == ["unknown", "up", "unknown", "up", "unknown"]
    assert states["at"][0] == START - 5 * MINUTE
    assert states["until"][-1] == START + 20 * MINUTE
    unknown = next(layer for layer in layers(charts.strip(states)) if layer["mark"].get("strokeDash"))
    assert unknown["mark"]["fillOpacity"] < 0.2
    assert unknown["encoding"]["stroke"]["value"] == COLOURS[State.UNKNOWN] != COLOURS[State.UP]


def test_states_differ_in_height_and_sign_too() -> None:
    assert FILL[State.UP] < FILL[State.DEGRADED] < FILL[State.DOWN]
    assert len(set(SYMBOLS.values())) == len(State)


def test_the_vote_stands_above_the_regions_and_maintenance_and_pauses_differ_in_more_than_colour() -> None:
    ends = [START, START + MINUTE, START + 2 * MINUTE]
    told = {"site": "shop", "since": ends[:2], "until": ends[1:], "state": ["maintenance", "paused"]}
    own = [pl.DataFrame(told | {"region": region, "checks": 0}) for region in ("us", "eu")]
    states = charts.with_vote(pl.concat(own), pl.DataFrame(told))
    assert states["label"].unique(maintain_order=True).to_list() == ["All regions", "eu", "us"]
    drawn = layers(charts.strip(states))
    looks = [(layer["mark"]["height"]["band"], layer["mark"].get("fillOpacity")) for layer in drawn]
    assert len(set(looks)) == 2
    assert FILL[State.PAUSED] < FILL[State.UP] < FILL[State.MAINTENANCE]
    assert charts.with_vote(own[0], pl.DataFrame(told))["label"].unique().to_list() == ["us"]  # nothing to vote


def test_the_fleet_shows_shares_and_a_silence_as_nothing() -> None:
    seen = pl.concat([ticks(0, 3), ticks(0, state="down").with_columns(site_id=pl.lit(2, pl.Int32))])
    frame = charts.fleet_by(seen)
    assert frame.select("down", "up").rows() == [(1, 1), (0, 0), (0, 0), (0, 1)]
    drawn = rows(charts.fleet(frame))
    assert {(row["state"], row["amount"], row["total"]) for row in drawn} == {
        ("down", 1, 2),
        ("up", 1, 2),
        ("up", 1, 1),
    }
    assert {row["at"][:16] for row in drawn} == {"2026-03-01T12:00", "2026-03-01T12:03"}


def test_a_site_counts_once_a_minute_by_its_worst_state() -> None:
    often = pl.concat([ticks(0, state="down"), *(ticks(0) for _ in range(3))])
    often = often.with_columns(scheduled_at=pl.col("scheduled_at") + pl.int_range(4) * timedelta(seconds=10))
    frame = charts.fleet_by(pl.concat([often, ticks(0).with_columns(site_id=pl.lit(2, pl.Int32))]))
    assert frame.select("down", "up").rows() == [(1, 1)]


def test_axes_reach_over_what_was_asked_for_and_not_over_the_data() -> None:
    until = START + 60 * MINUTE
    whole = shapes.grid(START, until - MINUTE, MINUTE)
    found = charts.latency_by(ticks(50, 51), MINUTE)
    wide = whole.slice(50, 1).with_columns(pl.lit(2.0).alias(phase) for phase in shapes.PHASES)
    drawn = [
        charts.phases(shapes.phases_on_grid(wide, whole)),
        charts.fleet(shapes.fleet_on_grid(charts.fleet_by(ticks(50)).drop("until"), whole, MINUTE)),
        charts.strip(charts.states_of(ticks(50), START, until)),
    ]
    for chart in drawn:
        domains = [layer["encoding"]["x"]["scale"]["domain"] for layer in layers(chart)]
        assert domains == [[START.timestamp() * 1000, until.timestamp() * 1000]] * len(domains)
    # Layers that each name a domain leave Vega without one: there a layer without marks reaches over it.
    lines = layers(charts.latency(shapes.on_grid(found, MINUTE, START, until - MINUTE)))
    assert all("domain" not in layer["encoding"]["x"]["scale"] for layer in lines)
    assert {layer["mark"].get("invalid") for layer in lines[:2]} == {"break-paths-show-domains"}


def test_what_is_of_a_bucket_stands_in_its_middle_and_the_axis_reaches_over_the_whole_of_it() -> None:
    chart = charts.latency(charts.latency_by(pl.concat([ticks(0, 1), ticks(2, state="down")]), MINUTE))
    drawn = [row for row in rows(chart) if "since" in row]
    assert {(row["since"][11:19], row["at"][11:19]) for row in drawn} == {
        ("12:00:00", "12:00:30"),
        ("12:01:00", "12:01:30"),
        ("12:02:00", "12:02:30"),
    }
    ends = [row["at"][11:19] for row in rows(chart) if set(row) == {"at"}]
    assert ends == ["12:00:00", "12:03:00"]


def test_charts_below_each_other_reach_over_the_same_time_and_begin_at_the_same_place() -> None:
    over = (START.timestamp() * 1000, (START + 60 * MINUTE).timestamp() * 1000)
    seen = ticks(50, 51)
    states = charts.states_of(seen, START, START + 60 * MINUTE)
    wide = [
        charts.strip(states, over, gutter=90),
        charts.shares(charts.shares_by(states, 5 * MINUTE), over, gutter=90),
        charts.latency(charts.latency_by(seen, MINUTE), over=over, gutter=90),
        charts.phases(charts.phases_by(seen, MINUTE), over=over, gutter=90),
        charts.fleet(charts.fleet_by(seen), over, gutter=90),
    ]
    for chart in wide:
        axes = [layer["encoding"]["y"]["axis"] for layer in layers(chart) if layer["encoding"].get("y", {}).get("axis")]
        assert {(axis["minExtent"], axis["maxExtent"]) for axis in axes} == {(90, 90)}
        domains = {tuple(x["scale"].get("domain", ())) for layer in layers(chart) if (x := layer["encoding"].get("x"))}
        reaching = [row["at"][11:16] for row in rows(chart) if set(row) == {"at"}]
        assert domains == {over} or (domains == {()} and reaching == ["12:00", "13:00"])


def test_a_gutter_is_as_wide_as_the_longest_label_within_bounds() -> None:
    assert gutter_of([]) == gutter_of(["eu"]) == GUTTER
    assert GUTTER < gutter_of(["x" * 20]) < gutter_of(["x" * 30]) < gutter_of(["x" * 300]) == WIDEST_GUTTER


def test_uptime_is_a_point_between_its_bounds() -> None:
    frame = pl.DataFrame(
        {
            "label": ["a", "b"],
            "uptime": [0.99, None],
            "low": [0.9, None],
            "high": [0.995, None],
            "coverage": [0.9, 0.0],
        },
        schema_overrides=dict.fromkeys(("uptime", "low", "high"), pl.Float64),
    )
    some = next(row for row in rows(charts.uptime(frame)) if row["label"] == "a")
    assert (some["shown"], some["said_low"], some["said_high"]) == ("99.000 %", "90.0000 %", "99.5000 %")
    near = frame.with_columns(uptime=pl.lit(0.99999999), checks=pl.lit(20_000, pl.Int64))
    assert {row["shown"] for row in rows(charts.uptime(near)) if "shown" in row} == {"99.999 %"}, "cut, not rounded"
    nothing = next(row for row in rows(charts.uptime(frame)) if row["label"] == "b")
    assert (nothing["uptime"], nothing["colour"]) == (None, COLOURS[State.UNKNOWN])


@pytest.mark.parametrize("draw", [charts.latency_by, charts.phases_by])
def test_nothing_makes_an_empty_frame(draw: Any) -> None:
    assert draw(ticks(), MINUTE).is_empty()
    assert charts.states_of(ticks()).is_empty()
    assert charts.fleet_by(ticks()).is_empty()


def test_hourly_rollups_read_as_latency() -> None:
    rollup = pl.DataFrame(
        {
            "at": [START, START + 3 * timedelta(hours=1)],
            "region": ["eu"] * 2,
            "buckets": pl.Series([[64, 96, 128], [96, 128, 160]], dtype=pl.List(pl.Int16)),
            "counts": pl.Series([[20, 20, 11], [20, 20, 20]], dtype=pl.List(pl.Int32)),
            "up": [50, 60],
            "degraded": [1, 0],
            "down": [9, 0],
        }
    )
    near = pl.concat([rollup, rollup.with_columns(at=pl.col("at") + timedelta(hours=1))])
    frame = charts.latency_of(near)
    assert frame["p50_ms"].is_null().to_list() == [False, False, True, False, False]
    assert frame["p50_ms"].drop_nulls().to_list() == pytest.approx([8, 8, 16, 16], rel=0.011)
    for name, ms in {"p05_ms": 4, "p25_ms": 4, "p75_ms": 8, "p95_ms": 16}.items():
        assert frame[name][0] == pytest.approx(ms, rel=0.011)
    assert frame["checks"][0] == 51


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3600, "1 h"), (4000, "1 h 6 min"), (90_000, "1 d 1 h"), (-5, "0 s")],
)
def test_durations_are_said_as_people_do(seconds: float, words: str) -> None:
    assert lasting(seconds) == words
