"""How sure an uptime is over months: whole days drawn again and again, since failures come in clusters.

Checks are no independent draws: an outage fails a hundred of them in a row, and an interval made of checks would be far
too narrow. Days are close to it. (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13:
the percentile interval of a ratio, blocks drawn with replacement.)
"""

from __future__ import annotations

from random import Random

import polars as pl
from msgspec import Struct

from pipeline.analysis.claims import at_least
from pipeline.answers import UPTIME
from pipeline.frames import check

DRAWS = 2000
SEED = 20_260_301
FEW_DAYS = 7  # fewer days say nothing of how days differ


class Interval(Struct, frozen=True):
    """From `low` to `high` at `level`; both None where there are too few days. `days` are those that know something."""

    low: float | None
    high: float | None
    level: float
    days: int


def interval(days: pl.DataFrame, level: float = 0.95, draws: int = DRAWS, seed: int = SEED) -> Interval:
    """The interval of the uptime over `days`: frame UPTIME, one row a day, as `uptime(cut_by(spans, "1d"), ["at"])`.

    Deterministic: the same days, draws and seed give the same interval. Without a failure in any day there is nothing
    to draw from, and `low` is what the checks show at 95 %, where they are counted. A `high` of 1 says that days
    without a failure may well be drawn alone; it is no uptime, and nobody shows it as 100 %.
    """
    check(days, UPTIME, needs=("up_s", "down_s", "checks"))
    ordered = days.sort("at") if "at" in days.columns else days
    told = [(up, down) for up, down in ordered.select("up_s", "down_s").iter_rows() if up + down > 0]
    if len(told) < FEW_DAYS:
        return Interval(None, None, level, len(told))
    if not any(down for _, down in told):
        return Interval(at_least(int(days["checks"].sum())), 1.0, level, len(told))
    random = Random(seed)  # noqa: S311 - a resampling, no secret
    found = sorted(_ratio(random.choices(told, k=len(told))) for _ in range(draws))
    tail = (1 - level) / 2
    return Interval(_at(found, tail), _at(found, 1 - tail), level, len(told))


def _ratio(drawn: list[tuple[float, float]]) -> float:
    up, down = sum(day[0] for day in drawn), sum(day[1] for day in drawn)
    return up / (up + down)


def _at(ordered: list[float], share: float) -> float:
    """The quantile, between two draws in proportion."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
