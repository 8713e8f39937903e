"""The Python that makes what a page shows: the same calls, for a notebook."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from app.windows import Window, written, written_length
from pipeline.store.history import FROM_HOURS, FROM_TICKS, Source

_OPEN = """\
from datetime import timedelta

import pipeline
from pipeline import charts

up = pipeline.connect()
"""


def states(key: str, window: Window) -> str:
    asked = f'["{key}"], {_over(window)}'
    return f"""{_OPEN}regions = up.spans({asked}).collect()
vote = up.spans({asked}, level="global").collect()
charts.strip(charts.with_vote(regions, vote))"""


def shares(key: str, window: Window, source: Source, width_s: int) -> str:
    """Where the spans are too many for a bar."""
    if source is Source.TICKS:
        return f"{_OPEN}{_ticks(key, _over(window))}charts.strip(charts.states_of(ticks))"
    return f"{_OPEN}{_rollup(key, source, _over(window))}charts.shares(charts.shares_of(rollup, {_every(width_s)}))"


def latency(key: str, window: Window, source: Source, width_s: int) -> str:
    if source is Source.TICKS:
        return f"{_OPEN}{_ticks(key, _over(window))}charts.latency(charts.latency_by(ticks, {_every(width_s)}))"
    return f"{_OPEN}{_rollup(key, source, _over(window))}charts.latency(charts.latency_of(rollup, {_every(width_s)}))"


def phases(key: str, window: Window, width_s: int) -> str:
    return f"{_OPEN}{_ticks(key, _over(window))}charts.phases(charts.phases_by(ticks, {_every(width_s)}))"


def overview(key: str, since: datetime, until: datetime, width_s: int, regions: Collection[str] = ()) -> str:
    over = f'start="{written(since)}", end="{written(until)}"{_named(regions)}'
    if until - since <= FROM_TICKS:
        return f"{_OPEN}{_ticks(key, over)}charts.overview(charts.overview_by(ticks, {_every(width_s)}))"
    source = Source.DAYS if until - since > FROM_HOURS else Source.HOURS
    return f"{_OPEN}{_rollup(key, source, over)}charts.overview(charts.overview_of(rollup, {_every(width_s)}))"


def uptime(key: str) -> str:
    return f"""\
import pipeline
from pipeline import charts

up = pipeline.connect()
up.uptime(sites=["{key}"], start="-30d")
charts.uptime(up.uptime(by=["region"], sites=["{key}"], start="-7d"))"""


def policies(key: str, window: Window, regions: Collection[str] = ()) -> str:
    return f"""\
import pipeline
from pipeline import analysis

up = pipeline.connect()
history = up.history(["{key}"], {_over(window)}{_named(regions)})
analysis.by_policy(history)"""


def waterfall(key: str, window: Window, policy: str, regions: Collection[str] = ()) -> str:
    return f"""\
import pipeline
from pipeline import analysis, charts

up = pipeline.connect()
history = up.history(["{key}"], {_over(window)}{_named(regions)})
charts.policy_waterfall(analysis.waterfall(history, "default", "{policy}"))"""


def snapshots(key: str) -> str:
    return f"""\
import pipeline

up = pipeline.connect()
up.snapshots(["{key}"], start="-30d").sort("scheduled_at", descending=True)"""


def ticks(key: str) -> str:
    recent = _ticks(key, 'start="-24h"')
    return f'{_OPEN}{recent}ticks.sort("scheduled_at", descending=True)'


def fleet() -> str:
    ticks = 'ticks = up.ticks(start="-1h").collect()'
    return f"{_OPEN}{ticks}\ncharts.fleet(charts.fleet_by(ticks, every=timedelta(minutes=1)))"


def failing(keys: Iterable[str]) -> str:
    named = ", ".join(f'"{key}"' for key in keys)
    return f"""{_OPEN}ticks = up.ticks([{named}], start="-1h").collect()
states = charts.states_of(ticks)
charts.strip(states.with_columns(label=states["site"] + " · " + states["region"]))"""


def budget(key: str) -> str:
    drawn = "charts.budget(analysis.budget_left(spans, objective, now), analysis.forecast(spans, objective, now))"
    return f"{_promised(key)}analysis.slo(spans, objective, now)\n{drawn}"


def burn(key: str, factor: float) -> str:
    return f"""{_promised(key)}times = [now - timedelta(minutes=15) * step for step in range(288)]
evidence = up.spans(objective.sites, start="-6d")
charts.burn(analysis.burn(spans, objective, times, evidence), factor={factor:g})"""


def probers(span: str, width_s: int, regions: Iterable[str]) -> str:
    drawn = f'charts.probers(sampled, up.decisions(start="-{span}"{_named(regions)}))'
    return f"{_OPEN}{_samples(span, width_s, regions)}{drawn}"


def lateness(span: str, width_s: int, regions: Iterable[str]) -> str:
    return f"{_OPEN}{_samples(span, width_s, regions)}charts.lateness(sampled)"


def lag(name: str, span: str, width_s: int, regions: Iterable[str]) -> str:
    return f'{_OPEN}{_samples(span, width_s, regions)}charts.lag(sampled, "{name}")'


def decisions(span: str, regions: Iterable[str]) -> str:
    return f'{_OPEN}up.decisions(start="-{span}"{_named(regions)}).sort("at", descending=True)'


def _promised(key: str) -> str:
    return f"""\
from datetime import UTC, datetime, timedelta

import pipeline
from pipeline import analysis, charts
from pipeline.objectives import reach_of

up = pipeline.connect()
objective, now = up.objective("{key}"), datetime.now(UTC)
spans = up.spans(objective.sites, start=reach_of(objective, now), level="global").collect()
"""


def _samples(span: str, width_s: int, regions: Iterable[str]) -> str:
    return (
        f'samples = up.fleet_samples(start="-{span}"{_named(regions)})\n'
        f"sampled = charts.sampled(samples, every=timedelta(seconds={width_s}))\n"
    )


def _named(regions: Iterable[str]) -> str:
    """The argument that picks regions; nothing for all."""
    keys = ", ".join(f'"{key}"' for key in regions)
    return f", regions=[{keys}]" if keys else ""


def _ticks(key: str, over: str) -> str:
    return f'ticks = up.ticks(["{key}"], {over}).collect()\n'


def _rollup(key: str, source: Source, over: str) -> str:
    return f'rollup = up.rollup("{source}", sites=["{key}"], {over}).collect()\n'


def _over(window: Window) -> str:
    """The arguments that pick a window's time."""
    if window.end is None:
        return f'start="-{written_length(window.length)}"'
    return f'start="{written(window.end - window.length)}", end="{written(window.end)}"'


def _every(width_s: int) -> str:
    return f"every=timedelta(seconds={width_s})"
