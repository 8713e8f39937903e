"""Charts of budgets: the cone begins where the line ends, unknown is a gap, and colour is never the only sign."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from pipeline import charts
from pipeline.answers import BUDGET, BURN, FORECAST
from pipeline.charts.slo import LOWEST
from pipeline.frames import schema

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def left(*shares: float) -> pl.DataFrame:
    """Frame BUDGET, a day apart, the last is now."""
    times = [NOW - (len(shares) - 1 - step) * DAY for step in range(len(shares))]
    return pl.DataFrame({"at": times, "spent_s": [0.0] * len(shares), "left": shares}, schema=schema(BUDGET))


def cone(low: float, high: float) -> pl.DataFrame:
    rows = [(NOW, 1.0, 1.0, 1.0, 0.0), (NOW + DAY, low, (low + high) / 2, high, 0.25)]
    return pl.DataFrame(rows, schema=schema(FORECAST), orient="row")


def rates(*pairs: tuple[float | None, float | None], firing: bool = False) -> pl.DataFrame:
    rows = [
        ("web", NOW - step * DAY, "page", 14.4, 3600.0, 300.0, long, short, firing, firing)
        for step, (long, short) in enumerate(pairs)
    ]
    return pl.DataFrame(rows, schema=schema(BURN), orient="row")


def layers(chart: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chart.to_dict()["layer"]
    return found


def marks(chart: Any) -> list[str]:
    return [layer["mark"]["type"] for layer in layers(chart)]


def domain(chart: Any) -> list[float]:
    [found] = {tuple(each["encoding"]["y"]["scale"]["domain"]) for each in layers(chart)
               if "domain" in each["encoding"].get("y", {}).get("scale", {})}  # fmt: skip
    return list(found)


def test_a_budget_is_a_line_with_a_cone_after_it() -> None:
    chart = charts.budget(left(1.0, 0.5), cone(0.2, 0.6))
    assert marks(chart).count("line") == 2
    assert "area" in marks(chart)
    dashed = [layer for layer in layers(chart) if layer["mark"].get("strokeDash") == [5, 4]]
    assert len(dashed) == 1


def test_without_a_forecast_there_is_no_cone() -> None:
    assert "area" not in marks(charts.budget(left(1.0, 0.5), pl.DataFrame(schema=schema(FORECAST))))


def test_the_whole_budget_is_the_top_and_what_is_too_much_reaches_down_but_not_without_end() -> None:
    empty = pl.DataFrame(schema=schema(FORECAST))
    assert domain(charts.budget(left(1.0, 0.9), empty)) == [0, 1]
    assert domain(charts.budget(left(1.0, -0.25), empty)) == [-0.25, 1]
    assert domain(charts.budget(left(1.0, -40.0), empty)) == [LOWEST, 1]


def test_a_burn_rate_that_nobody_knows_is_a_gap() -> None:
    chart = charts.burn(rates((1.0, 2.0), (None, None), (3.0, 4.0)), 14.4)
    [line] = [layer for layer in layers(chart) if layer["mark"]["type"] == "line"]
    assert line["mark"]["invalid"] == "break-paths-show-domains"
    assert "strokeDash" in line["encoding"]


def test_the_rule_is_in_sight_and_where_it_fires_the_ground_says_so() -> None:
    calm, fires = charts.burn(rates((1.0, 2.0), (1.0, 1.0)), 14.4), charts.burn(
        rates((20.0, 30.0), (20.0, 30.0), firing=True), 14.4
    )  # fmt: skip
    assert domain(calm)[1] >= 14.4
    assert "rule" in marks(calm)
    assert "rect" not in marks(calm)
    assert "rect" in marks(fires)


def test_nothing_makes_an_empty_chart() -> None:
    for chart in (charts.budget(left(), cone(0, 1).clear()), charts.burn(rates(), 14.4)):
        chart.to_dict()
