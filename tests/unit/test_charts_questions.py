"""The charts of the questions: within their budgets, true to their frames, and described in words."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from pipeline import charts
from pipeline.analysis import Box, anomalies, changes, compare, explain, together
from pipeline.answers import COMPARED
from pipeline.charts.changes import POINTS, levels, thinned
from pipeline.charts.heat import BOX, HEAT, failures_from, slowest_from, width_of
from pipeline.frames import ROLLUPS, schema
from tests.unit.test_boxes import SLOW, START, ticks
from tests.unit.test_change_points import medians, noise
from tests.unit.test_comparisons import rollup
from tests.unit.test_joint_failures import spans

CELLS = 5000


def rows(chart: Any) -> list[dict[str, Any]]:
    return [row for data in chart.to_dict()["datasets"].values() for row in data]


def test_the_heatmap_holds_every_answer_once_and_failures_above() -> None:
    mixed = ticks(600).with_columns(
        state=pl.when(pl.col("region") == "asia").then(pl.lit("down")).otherwise("state").cast(ticks(1)["state"].dtype)
    )
    every = width_of(START, START + timedelta(minutes=600), timedelta(minutes=1))
    cells = charts.heat_by(mixed, every)
    assert cells.schema == pl.Schema(HEAT)
    assert cells.height <= CELLS
    assert cells.group_by("failed").agg(pl.col("checks").sum()).sort("failed").rows() == [(False, 1200), (True, 600)]
    answered = cells.filter(~pl.col("failed"))
    assert failures_from(cells) == answered["high_ms"].max()
    assert (cells.filter("failed")["low_ms"] >= failures_from(cells)).all()


def test_the_heatmap_of_rollups_is_that_of_their_ticks() -> None:
    hours = rollup(48)
    counted = hours.with_columns(down=pl.lit(2, pl.Int64))
    cells = charts.heat_of(counted.cast({"counts": ROLLUPS["counts"].dtype}), timedelta(hours=2))
    assert cells.filter(~pl.col("failed"))["checks"].sum() == 48 * 60
    assert cells.filter("failed")["checks"].to_list() == [4] * 24
    assert cells["at"].n_unique() == 24


@pytest.mark.parametrize("spread", [0.001, 1.0, 4.0])
def test_whatever_the_latencies_the_heatmap_stays_in_its_budget(spread: float) -> None:
    random = np.random.default_rng(0)
    wild = ticks(2000).with_columns(latency_ms=pl.Series(np.exp(random.normal(4, spread, 6000)), dtype=pl.Float32))
    every = width_of(START, START + timedelta(minutes=2000), timedelta(minutes=1))
    assert charts.heat_by(wild, every).height <= CELLS


def test_a_box_is_picked_on_the_heatmap_and_the_address_can_bring_one() -> None:
    cells = charts.heat_by(ticks(600), timedelta(minutes=15))
    (param,) = charts.heat(cells).to_dict()["params"]
    assert (param["name"], param["select"]["encodings"], "value" in param) == (BOX, ["x", "y"], False)
    begun = charts.heat(cells, box=(START, START + timedelta(hours=1), 100.0, 500.0)).to_dict()
    (param,) = begun["params"]
    assert param["value"] == {"x": [START.timestamp() * 1000, START.timestamp() * 1000 + 3_600_000], "y": [100, 500]}
    assert begun["description"]


def test_the_slowest_are_at_least_the_share_that_is_asked_for() -> None:
    cells = charts.heat_by(ticks(600), timedelta(minutes=15))
    slow = slowest_from(cells, 0.05)
    assert slow is not None
    share = int(cells.filter(pl.col("low_ms") >= slow)["checks"].sum()) / int(cells["checks"].sum())
    assert 0.05 <= share < 0.17
    assert slowest_from(cells.clear(), 0.05) is None


def test_a_heatmap_of_nothing_is_empty_and_can_be_drawn() -> None:
    cells = charts.heat_by(ticks(0), timedelta(minutes=1))
    assert cells.is_empty()
    assert charts.heat(cells).to_dict()


def test_what_stands_out_is_drawn_inside_against_outside_and_phases_by_their_difference() -> None:
    found = explain(ticks(), SLOW)
    drawn = rows(charts.explained(found))
    assert {"region: us", "address: 10.0.0.9"} <= {row["label"] for row in drawn}
    assert {row["side"] for row in drawn if "side" in row} == {"in the box", "outside"}
    assert {row["phase"]: row["sure"] for row in rows(charts.slower(found))}["first byte"] == 1.0
    nothing = explain(ticks(5), Box(START, START + timedelta(hours=1)))
    assert charts.explained(nothing).to_dict()


def test_a_change_is_marked_where_it_is_between_its_two_levels() -> None:
    logs = noise(90 * 24)
    logs[1000:] += 0.5
    frame = medians(logs)
    found = changes(frame)
    chart = charts.changes(frame, found)
    (mark,) = {row["said"] for row in rows(chart) if "said" in row}
    assert mark.startswith("▲ 6")
    stair = levels(frame.select("at", pl.col("region").cast(pl.String), "p50_ms"), found)
    assert stair["p50_ms"].to_list() == pytest.approx([found["before_ms"][0], *[found["after_ms"][0]] * 2])
    assert charts.changes(frame, found.clear()).to_dict()["description"]


def test_a_thinned_series_keeps_its_least_and_its_greatest() -> None:
    frame = medians(noise(5000)).select("at", pl.col("region").cast(pl.String), "p50_ms")
    thin = thinned(frame, POINTS)
    assert thin.height <= POINTS
    assert (thin["p50_ms"].min(), thin["p50_ms"].max()) == (frame["p50_ms"].min(), frame["p50_ms"].max())
    assert thin["at"].is_sorted()
    assert thinned(frame.head(100), POINTS).equals(frame.head(100))


def test_anomalies_point_up_where_slower_and_down_where_faster() -> None:
    logs = noise(42 * 24)
    logs[500], logs[700] = 7.0, 2.0
    drawn = [row for row in rows(charts.strange(anomalies(medians(logs), least_z=8))) if "way" in row]
    assert sorted(row["way"] for row in drawn) == ["faster", "slower"]


def test_groups_are_drawn_below_each_other_in_their_order() -> None:
    outages = spans(("b", 0, 30), ("a", 0, 30), ("x", 99, 120), ("y", 99, 120), ("z", 99, 120), ("alone", 5, 6))
    chart = charts.together(outages, together(outages)).to_dict()
    assert chart["encoding"]["y"]["scale"]["domain"] == ["1 · x", "1 · y", "1 · z", "2 · a", "2 · b"]
    assert {row["site"] for data in chart["datasets"].values() for row in data} == set("abxyz")


def test_a_difference_that_may_be_none_is_grey_and_of_another_shape() -> None:
    differs = rows(charts.compared(compare(rollup(240), rollup(240, 200.0, seed=1))))
    same = rows(charts.compared(compare(rollup(12), rollup(12, seed=1))))
    assert {row["shape"] for row in differs if "shape" in row} == {"circle"}
    assert {row["shape"] for row in same if "shape" in row} == {"diamond"}
    assert charts.compared(pl.DataFrame(schema=schema(COMPARED))).to_dict()
