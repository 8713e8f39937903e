"""Charts: a frame in, an `alt.Chart` out, the same in the app and in a notebook.

`latency_by`, `phases_by`, `states_of`, `overview_by` and `fleet_by` make what the charts draw of ticks; `latency_of`,
`shares_of` and `overview_of` make it of rollups, for ranges longer than a day.
"""

from pipeline.charts.latency import latency, phases, waterfall
from pipeline.charts.overview import overview
from pipeline.charts.scaling import lag, lateness, probers, sampled
from pipeline.charts.shapes import fleet_by, latency_by, latency_of, phases_by, states_of
from pipeline.charts.shares import overview_by, overview_of, shares_by, shares_of
from pipeline.charts.states import fleet, shares, strip, uptime

__all__ = [
    "fleet",
    "fleet_by",
    "lag",
    "latency",
    "latency_by",
    "latency_of",
    "lateness",
    "overview",
    "overview_by",
    "overview_of",
    "phases",
    "phases_by",
    "probers",
    "sampled",
    "shares",
    "shares_by",
    "shares_of",
    "states_of",
    "strip",
    "uptime",
    "waterfall",
]
