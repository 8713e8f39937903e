"""Charts: a frame in, an `alt.Chart` out, the same in the app and in a notebook."""

from pipeline.charts.latency import latency, phases, waterfall
from pipeline.charts.states import fleet, strip, uptime

__all__ = ["fleet", "latency", "phases", "strip", "uptime", "waterfall"]
