"""Charts: a frame in, an `alt.Chart` out, the same in the app and in a notebook.

`latency_by`, `phases_by`, `states_of`, `overview_by` and `fleet_by` make what the charts draw of ticks; `latency_of`,
`shares_of` and `overview_of` make it of rollups, for ranges longer than a day. `heat_by` and `heat_of` are the
same pair for the heatmap.
"""

from pipeline.charts.changes import changes, strange
from pipeline.charts.compared import compared
from pipeline.charts.explained import explained, slower
from pipeline.charts.heat import heat, heat_by, heat_of
from pipeline.charts.latency import latency, phases, waterfall
from pipeline.charts.overview import overview
from pipeline.charts.scaling import lag, lateness, probers, sampled
from pipeline.charts.shapes import fleet_by, latency_by, latency_of, phases_by, states_of
from pipeline.charts.shares import overview_by, overview_of, shares_by, shares_of
from pipeline.charts.slo import budget, burn
from pipeline.charts.states import fleet, shares, strip, uptime
from pipeline.charts.together import together
from pipeline.charts.voted import with_vote
from pipeline.charts.waterfalls import policy_waterfall

__all__ = [
    "budget",
    "burn",
    "changes",
    "compared",
    "explained",
    "fleet",
    "fleet_by",
    "heat",
    "heat_by",
    "heat_of",
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
    "policy_waterfall",
    "probers",
    "sampled",
    "shares",
    "shares_by",
    "shares_of",
    "slower",
    "states_of",
    "strange",
    "strip",
    "together",
    "uptime",
    "waterfall",
    "with_vote",
]
