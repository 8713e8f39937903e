"""The Python that makes what a page shows: the same calls, for a notebook."""

from __future__ import annotations

from collections.abc import Iterable

_OPEN = """\
from datetime import timedelta

import pipeline
from pipeline import charts

up = pipeline.connect()
"""


def states(key: str, span: str) -> str:
    return f"{_OPEN}{_ticks(key, span)}charts.strip(charts.states_of(ticks))"


def latency(key: str, span: str, width_s: int) -> str:
    if span == "7d":
        rollup = f'rollup = up.rollup("1h", sites=["{key}"], start="-{span}").collect()'
        return f"{_OPEN}{rollup}\ncharts.latency(charts.latency_of(rollup))"
    return f"{_OPEN}{_ticks(key, span)}charts.latency(charts.latency_by(ticks, every=timedelta(seconds={width_s})))"


def phases(key: str, span: str, width_s: int) -> str:
    return f"{_OPEN}{_ticks(key, span)}charts.phases(charts.phases_by(ticks, every=timedelta(seconds={width_s})))"


def uptime(key: str) -> str:
    return f"""\
import pipeline
from pipeline import charts

up = pipeline.connect()
up.uptime(sites=["{key}"], start="-30d")
charts.uptime(up.uptime(by=["region"], sites=["{key}"], start="-7d"))"""


def ticks(key: str) -> str:
    return f'{_OPEN}{_ticks(key, "24h")}ticks.sort("scheduled_at", descending=True)'


def fleet() -> str:
    ticks = 'ticks = up.ticks(start="-1h").collect()'
    return f"{_OPEN}{ticks}\ncharts.fleet(charts.fleet_by(ticks, every=timedelta(minutes=1)))"


def failing(keys: Iterable[str]) -> str:
    named = ", ".join(f'"{key}"' for key in keys)
    return f"""{_OPEN}ticks = up.ticks([{named}], start="-1h").collect()
states = charts.states_of(ticks)
charts.strip(states.with_columns(label=states["site"] + " · " + states["region"]))"""


def _ticks(key: str, span: str) -> str:
    return f'ticks = up.ticks(["{key}"], start="-{span}").collect()\n'
