"""The Python that makes what *Explain* and *Changes* show: the same calls, for a notebook."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from math import isfinite

from app.windows import Window, written, written_length
from pipeline.analysis.boxes import Box
from pipeline.store.heat import Heat
from pipeline.store.history import Source
from pipeline.store.medians import HISTORY

_OPEN = """\
from datetime import datetime, timedelta

import polars as pl
import pipeline
from pipeline import analysis, charts

up = pipeline.connect()
"""


def heat(key: str, window: Window, heat: Heat, regions: Collection[str]) -> str:
    over = f'start="-{written_length(window.length)}"' if window.end is None else _between(*_ends(window))
    every = f"every=timedelta(minutes={round(heat.width.total_seconds() / 60)})"
    if heat.source is Source.TICKS:
        ticks = f'ticks = up.ticks(["{key}"], {over}{_seen_from(regions)}).collect()'
        return f"{_OPEN}{ticks}\ncharts.heat(charts.heat_by(ticks, {every}))"
    rollup = f'rollup = up.rollup("{heat.source}", sites=["{key}"], {over}{_seen_from(regions)}).collect()'
    return f"{_OPEN}{rollup}\ncharts.heat(charts.heat_of(rollup, {every}))"


def explain(key: str, box: Box, since: datetime, until: datetime, regions: Collection[str], chart: str) -> str:
    high = repr(box.high_ms) if isfinite(box.high_ms) else 'float("inf")'
    low = repr(box.low_ms) if isfinite(box.low_ms) else 'float("inf")'
    return f"""{_OPEN}ticks = up.ticks(["{key}"], {_between(since, until)}{_seen_from(regions)}).collect()
box = analysis.Box(
    datetime.fromisoformat("{written(box.since)}"), datetime.fromisoformat("{written(box.until)}"),
    low_ms={low}, high_ms={high}, failed={box.failed},
)
found = analysis.explain(ticks, box)
charts.{chart}(found)"""


def changes(span: str, since: datetime) -> str:
    start = f'start="-{_days(span)}d"'
    return f"""{_OPEN}hours = up.rollup("1h", {start}).collect()
found = analysis.changes(hours)
since = datetime.fromisoformat("{written(since)}")
found.filter(pl.col("at") >= since).sort(pl.col("ratio").log().abs(), descending=True)"""


def site_changes(key: str, span: str, regions: Collection[str]) -> str:
    return f"{_OPEN}{_hours(key, span, regions)}charts.changes(hours, analysis.changes(hours))"


def anomalies(key: str, span: str, since: datetime, regions: Collection[str]) -> str:
    found = f'found = analysis.anomalies(hours, since=datetime.fromisoformat("{written(since)}"))'
    return f"{_OPEN}{_hours(key, span, regions)}{found}\ncharts.strange(found)"


def together(span: str, *, shared: bool = False) -> str:
    found = f"""{_OPEN}spans = up.spans(start="-{span}", level="global").collect()
groups = analysis.together(spans)
"""
    if not shared:
        return f"{found}charts.together(spans, groups)"
    return f"""{found}ticks = up.ticks(start="-30m").select("site", "ip").unique().collect()
analysis.shared(groups, analysis.facts_of(up.sites(), ticks))"""


def _hours(key: str, span: str, regions: Collection[str]) -> str:
    return f'hours = up.rollup("1h", sites=["{key}"], start="-{_days(span)}d"{_seen_from(regions)}).collect()\n'


def _days(span: str) -> int:
    """The days of a range such as 7d, with those before it that its rhythm is told of."""
    return int(span.removesuffix("d")) + HISTORY // timedelta(days=1)


def _ends(window: Window) -> tuple[datetime, datetime]:
    assert window.end is not None
    return window.end - window.length, window.end


def _between(since: datetime, until: datetime) -> str:
    return f'start=datetime.fromisoformat("{written(since)}"), end=datetime.fromisoformat("{written(until)}")'


def _seen_from(regions: Collection[str]) -> str:
    keys = ", ".join(f'"{key}"' for key in regions)
    return f", regions=[{keys}]" if keys else ""
