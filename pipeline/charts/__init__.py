"""Charts: a frame in, an `alt.Chart` out, the same in the app and in a notebook.

`latency_by`, `latency_of`, `phases_by`, `states_of` and `fleet_by` make what the charts draw of ticks and rollups.
"""

from pipeline.charts.latency import latency, phases, waterfall
from pipeline.charts.shapes import fleet_by, latency_by, latency_of, phases_by, states_of
from pipeline.charts.states import fleet, strip, uptime

__all__ = [
    "fleet",
    "fleet_by",
    "latency",
    "latency_by",
    "latency_of",
    "phases",
    "phases_by",
    "states_of",
    "strip",
    "uptime",
    "waterfall",
]
