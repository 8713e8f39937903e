"""Of many series those are looked at whose days differ; what is missing is no difference."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from pipeline.analysis.screening import screened
from pipeline.frames import TIME

START = datetime(2026, 3, 1, tzinfo=UTC)
SINCE = START + timedelta(days=14)


def days(**logs: list[float | None]) -> pl.DataFrame:
    rows = [
        (site, START + timedelta(days=day), None if log is None else float(np.exp(log)))
        for site, values in logs.items()
        for day, log in enumerate(values)
    ]
    return pl.DataFrame(rows, schema={"site": pl.String(), "at": TIME, "p50_ms": pl.Float32()}, orient="row")


def noise(seed: int, count: int = 21) -> list[float | None]:
    return [4.6 + float(x) for x in np.random.default_rng(seed).normal(0, 0.03, count)]


def names(frame: pl.DataFrame, most: int = 10) -> list[str]:
    return screened(frame, ["site"], since=SINCE, most=most)["site"].to_list()


def test_the_one_that_shifted_is_first_and_no_more_are_named_than_asked_for() -> None:
    quiet = {f"quiet-{seed}": noise(seed) for seed in range(50)}
    shifted = [None if x is None else x + 0.3 * (day >= 17) for day, x in enumerate(noise(99))]
    found = names(days(**quiet, shifted=shifted), most=5)
    assert found[0] == "shifted"
    assert len(found) <= 5


def test_a_shift_before_the_range_is_not_of_it() -> None:
    old = [4.6 + 0.3 * (day >= 5) for day in range(21)]
    new = [4.6 + 0.3 * (day >= 15) for day in range(21)]
    assert names(days(old=[*old], new=[*new]), most=1) == ["new"]


def test_days_that_never_vary_are_not_named_and_none_is_no_day() -> None:
    assert names(days(same=[4.6] * 21, gone=[None] * 21, young=[5.0])) == []
    assert names(days(holey=[None if day % 2 else 4.6 + 0.3 * (day >= 16) for day in range(21)])) == ["holey"]
    assert names(days()) == []
