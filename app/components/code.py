"""The Python that makes what a page shows: the same calls, for a notebook."""

from __future__ import annotations

_OPEN = "import pipeline\nfrom pipeline import analysis, charts\n\nup = pipeline.connect()\n"


def _ticks(key: str, span: str) -> str:
    return f'ticks = up.ticks(sites=["{key}"], start="-{span}").collect()\n'


def states(key: str, span: str) -> str:
    return f'{_OPEN}spans = up.spans(sites=["{key}"], start="-{span}").collect()\ncharts.strip(spans)'


def latency(key: str, span: str) -> str:
    return f'{_OPEN}{_ticks(key, span)}charts.latency(ticks)'


def phases(key: str, span: str) -> str:
    return f'{_OPEN}{_ticks(key, span)}charts.phases(ticks)'


def uptime(key: str) -> str:
    return (
        f'{_OPEN}rollup = up.rollup(every="1d", sites=["{key}"], start="-30d").collect()\n'
        "analysis.uptime(rollup, by=[\"region\"])"
    )


def ticks(key: str) -> str:
    return f'{_OPEN}{_ticks(key, "24h")}ticks.sort("scheduled_at", descending=True)'
