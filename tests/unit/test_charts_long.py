"""Charts of long ranges: merged and not averaged, honest about what nobody knows, within what a browser can paint."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import polars as pl
import pytest

from app.components import site_bar
from pipeline import charts
from pipeline.analysis import histograms
from pipeline.analysis.histograms import ALPHA
from pipeline.charts import shapes
from pipeline.charts.overview import WINDOW
from pipeline.charts.palette import COLOURS
from pipeline.charts.states import SHARE, SLIVER
from pipeline.store.history import Source, width_of
from pipeline.store.series import POINTS
from pipeline.vocabulary import State

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def hours(
    *, count: int = 6, region: str = "eu", latencies: list[np.ndarray[Any, Any]] | None = None, **held_s: float
) -> pl.DataFrame:
    """Frame ROLLUPS of one site by hour. `held_s` are seconds by state, `expected_s` what was called for (an hour)."""
    drawn = latencies or [np.full(60, 100.0)] * count
    flat = pl.DataFrame({"at": np.repeat(np.arange(count), [len(each) for each in drawn]), "ms": np.concatenate(drawn)})
    built = histograms.with_quantiles(histograms.build(flat, ["at"], "ms"))
    states = {
        f"{state}_us": int(1e6 * held_s.get(state, 3600 if state == "up" else 0))
        for state in ("up", "degraded", "down", "unknown")
    }
    return built.with_columns(
        at=pl.lit(START, pl.Datetime("us", "UTC")) + HOUR * pl.col("at"),
        region=pl.lit(region),
        expected_s=pl.lit(held_s.get("expected_s", 3600.0)),
        up=60, degraded=0, down=int(held_s.get("down", 0) // 60),
        **{name: pl.lit(held) for name, held in states.items()},
    )  # fmt: skip


def datasets(chart: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [row for rows in chart.to_dict()["datasets"].values() for row in rows]
    return found


def test_a_percentile_of_three_hours_is_that_of_their_merged_histograms() -> None:
    random = np.random.default_rng(3)
    drawn = [random.lognormal(mean, 0.4, 400) for mean in (3, 5, 3, 3, 6, 3)]
    rollup = hours(latencies=drawn)
    found = charts.latency_of(rollup, every=3 * HOUR)
    assert found["at"].to_list() == [START, START + 3 * HOUR]
    for row, parts in zip(found.iter_rows(named=True), (drawn[:3], drawn[3:]), strict=True):
        exact = np.quantile(np.concatenate(parts), 0.95, method="inverted_cdf")
        assert row["p95_ms"] == pytest.approx(exact, rel=ALPHA + 1e-6)
        assert row["checks"] == 180
    averaged = rollup.group_by_dynamic("at", every="3h").agg(pl.col("p95_ms").mean())["p95_ms"]
    assert abs(averaged[0] / found["p95_ms"][0] - 1) > 0.2  # what this is not


def test_regions_are_merged_in_the_overview_and_apart_below_it() -> None:
    slow = hours(region="us", latencies=[np.full(60, 900.0)] * 6)
    both = pl.concat([hours(), slow])
    assert charts.overview_of(both, HOUR)["p95_ms"][0] == pytest.approx(900, rel=ALPHA)
    assert charts.overview_of(both, HOUR)["up"][0] == 7200
    assert set(charts.latency_of(both)["region"]) == {"eu", "us"}


def test_time_that_nobody_speaks_for_is_unknown_and_time_not_called_for_is_nothing() -> None:
    gap = hours(up=1800)
    assert charts.shares_of(gap)["unknown"].to_list() == [1800.0] * 6
    paused = hours(up=0, expected_s=0)
    assert charts.shares_of(paused).select("down", "degraded", "unknown", "up").rows() == [(0, 0, 0, 0)] * 6
    assert {row["state"] for row in datasets(charts.shares(charts.shares_of(gap)))} == {"up", "unknown"}
    assert all("state" not in row for row in datasets(charts.shares(charts.shares_of(paused))))


def test_hours_without_a_row_are_there_and_empty() -> None:
    rollup = hours().filter(pl.col("at") != START + 2 * HOUR)
    for frame in (charts.latency_of(rollup), charts.shares_of(rollup), charts.overview_of(rollup)):
        assert frame["at"].n_unique() == 6
    assert charts.latency_of(rollup)["p50_ms"][2] is None
    wide = charts.shares_of(rollup, HOUR, START - DAY, START + DAY)
    assert (wide["at"].min(), wide["until"].max()) == (START - DAY, START + DAY)


def test_a_minute_down_in_a_day_can_be_seen_and_its_tooltip_tells_the_truth() -> None:
    day = charts.shares_of(hours(count=24, up=3600).with_columns(
        down_us=pl.when(pl.col("at") == START).then(60_000_000).otherwise(0),
        up_us=pl.when(pl.col("at") == START).then(3_540_000_000).otherwise(3_600_000_000),
    ), DAY)  # fmt: skip
    drawn = {row["state"]: row for row in datasets(charts.shares(day))}
    tall = drawn["down"]["high"] - drawn["down"]["low"]
    assert tall > 0.85 * SLIVER * SHARE
    assert drawn["down"]["share"] == pytest.approx(60 / 86_400)
    assert drawn["down"]["lasted"] == "1 min"


@pytest.mark.parametrize("days", [2, 7, 30, 31, 90, 365])
def test_no_range_draws_more_than_a_browser_paints(days: int) -> None:
    source = Source.DAYS if days > 31 else Source.HOURS
    width = width_of(source, START, START + days * DAY)
    buckets = days * DAY / width
    assert buckets <= POINTS + 1 <= 2_000
    assert 5 * buckets <= 5_000
    assert width % (DAY if source is Source.DAYS else HOUR) == timedelta()


def test_new_data_change_the_overviews_data_and_not_the_chart() -> None:
    """Else a refresh would make a new view, and the brush with it, while somebody drags."""
    brush = (START + HOUR, START + 2 * HOUR)
    first = charts.overview(charts.overview_of(hours()), brush=brush).to_dict()
    later = hours(count=9, down=600, up=3000, latencies=[np.full(60, 300.0)] * 9)
    second = charts.overview(charts.overview_of(later), brush=brush).to_dict()
    assert _without_data(first) == _without_data(second)


def _without_data(spec: dict[str, Any]) -> str:
    """As Streamlit compares charts: by all but their data, and names that are made of it."""
    spec.pop("datasets")
    for layer in spec["layer"]:
        layer.pop("data")
    return re.sub(r"view_[0-9a-f]+", "view", json.dumps(spec))


def test_the_brush_begins_at_utc_whatever_zone_its_times_are_in() -> None:
    kolkata = timezone(timedelta(hours=5, minutes=30))
    brush = (START.astimezone(kolkata), (START + HOUR).astimezone(kolkata))
    spec = charts.overview(charts.overview_of(hours()), brush=brush).to_dict()
    params = [param for param in spec["params"] if param["name"] == WINDOW]
    assert params[0]["value"]["x"] == [START.timestamp() * 1000, (START + HOUR).timestamp() * 1000]
    assert {
        layer["encoding"]["x"]["scale"]["type"] for layer in spec["layer"] if "scale" in layer["encoding"]["x"]
    } == {"utc"}


def test_a_young_site_has_an_overview_of_its_ticks() -> None:
    states = pl.DataFrame(
        {"site": "shop", "region": "eu", "at": [START, START + HOUR / 2], "until": [START + HOUR / 2, START + HOUR],
         "state": ["up", "down"], "checks": 30},
        schema=shapes.STATES,
    )  # fmt: skip
    found = charts.shares_by(states, HOUR / 6)
    assert found["up"].to_list() == [600.0] * 3 + [0.0] * 3
    assert found["down"].to_list() == [0.0] * 3 + [600.0] * 3


def unknown(since: int, until: int) -> dict[str, Any]:
    at, end = START + since * HOUR, START + until * HOUR
    return {"site": "shop", "region": "eu", "at": at, "until": end, "state": "unknown", "checks": 0}


def test_a_pause_is_paused_and_before_a_site_was_there_is_nothing() -> None:
    states = pl.DataFrame([unknown(0, 10), {**unknown(10, 12), "state": "up", "checks": 120}], schema=shapes.STATES)
    silences = pl.DataFrame(
        [("shop", "eu", START, START + 2 * HOUR, False), ("shop", "eu", START + 5 * HOUR, START + 11 * HOUR, True)],
        schema=shapes.SILENCES,
        orient="row",
    )
    found = shapes.silenced(states, silences)
    assert [(row["state"], (row["at"] - START) / HOUR, (row["until"] - START) / HOUR) for row in found.to_dicts()] == [
        ("unknown", 2, 5),
        ("paused", 5, 10),
        ("up", 10, 12),  # what was recorded stays
    ]


def test_a_series_without_any_tick_is_unknown_and_not_left_out() -> None:
    series = pl.DataFrame({"site": ["shop", "shop"], "region": ["eu", "us"]})
    states = pl.DataFrame([unknown(0, 1) | {"state": "up"}], schema=shapes.STATES)
    found = shapes.whole(states, series, START, START + HOUR)
    assert found.select("region", "state").rows() == [("eu", "up"), ("us", "unknown")]


def test_a_bar_leaves_empty_what_was_not_called_for_and_shows_a_short_failure() -> None:
    picture = site_bar.bar([(0, 0, 0, 0), (36, 0, 0, 86_364), (0, 0, 86_400, 0)])
    red = COLOURS[State.DOWN].replace("#", "%23")
    assert picture.count(red) == 1
    assert picture.count("M0.0 ") == 0  # the first column has nothing in it
    assert picture.startswith("data:image/svg+xml,")
    assert "#" not in picture  # it would end the picture
