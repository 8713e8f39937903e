"""The waterfall of two policies as a chart: what each step made, in points and time, and in words."""

from __future__ import annotations

import json

import polars as pl

from pipeline import charts
from pipeline.answers import WATERFALL
from pipeline.charts.waterfalls import bars
from pipeline.frames import schema


def steps(*changes: tuple[str, float | None]) -> pl.DataFrame:
    """A waterfall over 1000 s from 99 %, with so many steps."""
    rows: list[tuple[object, ...]] = [("from", "default", None, 0.99, None, None)]
    at = 0.99
    for name, change in changes:
        at += change or 0.0
        made = None if change is None else change * 1000
        rows.append(("choice", name, "as up → as down", None if change is None else at, change, made))
    rows.append(("to", "kuma", None, at, None, None))
    return pl.DataFrame(rows, schema=schema(WATERFALL), orient="row")


def test_each_bar_goes_from_the_uptime_before_to_the_one_after() -> None:
    drawn = bars(steps(("retries", -0.01), ("regions", 0.005), ("unknown", 1e-16)))
    assert [round(value, 6) for value in drawn["before"]] == [0.99, 0.99, 0.98, 0.985, 0.985]
    assert drawn["text"].to_list() == [
        "99.0000 %",
        "\N{MINUS SIGN} 1 points, 10 s",
        "+ 0.5 points, 5 s",
        "no difference",
        "98.5000 %",
    ]
    assert len(set(drawn["colour"][1:4])) == 3, "a loss, a gain and neither look apart"


def test_a_mixture_without_anything_to_count_leaves_its_step_to_the_next() -> None:
    drawn = bars(steps(("retries", None), ("regions", -0.002)))
    assert drawn["text"].to_list()[1] == "\N{EN DASH}"
    assert drawn["before"].to_list()[2] == 0.99


def test_the_chart_says_in_words_what_it_draws() -> None:
    chart = charts.policy_waterfall(steps(("retries", -0.01)))
    told = json.loads(chart.to_json())["description"]
    assert told == (
        "From default, 99.0000 %, to kuma, 98.0000 %: "
        "retries: as up → as down, \N{MINUS SIGN} 1 points, 10 s more down."
    )
    same = charts.policy_waterfall(steps()).to_dict()["description"]
    assert same.endswith("they make the same choices.")
