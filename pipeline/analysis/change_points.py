"""What shifted, and since when: lasting steps of latency, by site, region and phase."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import exp, log
from typing import Any

import numpy as np
import polars as pl
from msgspec import Struct, structs

from pipeline.analysis import levels
from pipeline.analysis.rhythm import SERIES, measured, without_rhythm
from pipeline.analysis.significance import adjusted
from pipeline.answers import CHANGES, MEDIANS
from pipeline.frames import schema

LEAST_HOURS = 24  # a level lasts a day, or it is an anomaly
LEAST_RATIO = 1.05  # what is sure and smaller than this, nobody has to know
ALPHA = 0.001  # as Hunter has it


class _Series(Struct, frozen=True):
    part: pl.DataFrame
    logs: levels.Series
    shifts: list[levels.Tried]

    @property
    def spans(self) -> list[tuple[int, int]]:
        return self.logs.cut([shift.place for shift in self.shifts if shift.place is not None])


def changes(
    medians: pl.DataFrame,
    *,
    least_hours: int = LEAST_HOURS,
    least_ratio: float = LEAST_RATIO,
    alpha: float = ALPHA,
) -> pl.DataFrame:
    """Frame CHANGES of frame MEDIANS (frame ROLLUPS by hour, site and region will do), sorted by series and time.

    Level shifts of hourly median log-latency, the rhythm of day and week taken out: E-divisive splits that a t-test
    confirms (see `analysis.levels`). Each level lasts `least_hours` measured hours, neighbours differ by
    `least_ratio`. p-values are those of Benjamini and Hochberg over all places tried in all series, so that of the
    changes told at most `alpha` are expected to be chance. A drift becomes a stair.
    """
    limits = {"least": least_hours, "alpha": alpha, "distance": log(least_ratio)}
    first, tries = _shifted(without_rhythm(measured(medians)), limits)
    found, more = _shifted(_again(first), limits)
    rows = [row for each in _sure(found, tries + more, limits) for row in _rows(each)]
    return pl.DataFrame(rows, schema=schema(CHANGES), orient="row").sort(
        pl.col("site").cast(pl.String), pl.col("region").cast(pl.String), "phase", "at"
    )


def _shifted(hours: pl.DataFrame, limits: dict[str, Any]) -> tuple[list[_Series], int]:
    """The series that have shifts, and how many places were tried in all of them."""
    found, tries = [], 0
    for part in hours.partition_by(SERIES, maintain_order=True):
        of = levels.series(part["level"].to_numpy())
        shifts, tried = levels.shifts(of, **limits)
        tries += tried
        if shifts:
            found.append(_Series(part, of, shifts))
    return found, tries


def _again(found: list[_Series]) -> pl.DataFrame:
    """The hours of these series with the rhythm found anew, around the levels that were found.

    A short level is in few weeks, and bends the median of those.
    """
    if not found:
        return without_rhythm(measured(pl.DataFrame(schema=schema(MEDIANS))))
    stair = [np.full(end - start, np.median(e.logs.values[start:end])) for e in found for start, end in e.spans]
    hours = pl.concat([each.part.drop("level") for each in found]).with_columns(stair=np.concatenate(stair))
    return without_rhythm(hours, around="stair")


def _sure(found: list[_Series], tries: int, limits: dict[str, Any]) -> list[_Series]:
    """The series with the shifts that hold among all that were tried, and those p-values."""
    p_values = [shift.p_value for each in found for shift in each.shifts]
    after = adjusted(p_values, tries)
    level = max((p for p, p_adjusted in zip(p_values, after, strict=True) if p_adjusted <= limits["alpha"]), default=-1)
    sure = []
    for each in found:
        places = [shift.place for shift in each.shifts if shift.place is not None]
        held = levels.pruned(each.logs, places, **limits | {"alpha": level})
        ranked = [(shift, max(1, sum(p <= shift.p_value for p in p_values))) for shift in held]
        told = [structs.replace(shift, p_value=min(1.0, shift.p_value * tries / rank)) for shift, rank in ranked]
        sure.append(structs.replace(each, shifts=told))
    return sure


def _rows(each: _Series) -> Iterator[tuple[Any, ...]]:
    middles = [float(np.median(each.logs.values[start:end])) for start, end in each.spans]
    key = each.part.select(SERIES).row(0) if each.shifts else ()
    for (before, after), (low, high), shift in zip(pairwise(each.spans), pairwise(middles), each.shifts, strict=True):
        sizes = (before[1] - before[0], after[1] - after[0])
        yield (*key, each.part["at"][after[0]], exp(low), exp(high), exp(high - low), shift.p_value, *sizes)
