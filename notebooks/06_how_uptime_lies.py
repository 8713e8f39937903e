# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # How uptime lies
#
# **The claim:** an uptime is not measured, it is decided. One morning's outage, one set of checks, nine ways of counting
# that are in use out there: from "all is well" to a week with a bad day. None of the numbers is false. Each has made
# choices that its page does not tell.
#
# This notebook makes the choices visible, one at a time. All of it is the same site, over the same weeks, from the same
# ticks.

# %% tags=["parameters"]
site = "demo-payments"
days = 22

# %%
from datetime import timedelta
from math import sqrt

import polars as pl
from msgspec.structs import replace

import pipeline
from pipeline import analysis, charts
from pipeline.analysis.claims import percent, shown
from pipeline.analysis.spans import spans as spans_of
from pipeline.charts.states import lasting
from pipeline.report.shown import Markdown, Table

up = pipeline.connect()
start, end = up.window(f"-{days}d")
over = {"start": start, "end": end}
history = up.history([site], **over)
spans = up.spans([site], **over, level="global").collect()
outages = analysis.outages(spans)
down_s = outages["down_s"].sum()
Markdown(f"""{history.ticks.height:,} checks of **{site}** from {history.spans["region"].n_unique()} regions in {days}
days, {outages.height} outages, {lasting(down_s)} down by the vote of the regions.""")

# %% [markdown]
# ## One outage, nine uptimes
#
# Each policy is written down in `pipeline/analysis/policies.py`, with where the other system says so. Beside each number
# stands what none of those systems shows: how much of what it counts is known at all, and what the number would be if
# the unknown were all down, or all up.

# %%
nine = analysis.by_policy(history).sort("uptime")
Table(
    nine,
    {
        "policy": ("policy", str),
        "uptime": ("uptime", lambda share: percent(share, 3)),
        "low": ("at worst", lambda share: percent(share, 3)),
        "high": ("at best", lambda share: percent(share, 3)),
        "coverage": ("known", percent),
        "down_s": ("downtime", lasting),
        "checks": ("checks", str),
    },
)

# %%
charts.uptime(nine.with_columns(label="policy"))

# %%
told = nine.filter(pl.col("policy") != "seed")
low, high = told.row(0, named=True), told.row(-1, named=True)
apart = low["down_s"] - high["down_s"]
Markdown(f"""From `{low["policy"]}`, {percent(low["uptime"], 3)}, to `{high["policy"]}`, {percent(high["uptime"], 3)}: the
same weeks, and **{lasting(apart)} of downtime** that depend on whom you ask. And `seed`, which looks at the last ten
checks, says {percent(nine.filter(pl.col("policy") == "seed")["uptime"][0], 3)}: it has forgotten already.""")

# %% [markdown]
# ## Why they differ, choice by choice
#
# Between any two policies lie a handful of choices. Change one after the other, and the difference comes apart into
# steps that add up to it exactly. Here is the way from ours to the one furthest below.

# %%
below = up.waterfall([site], **over, second=low["policy"])
below.select("kind", "step", "choice", "uptime", "change_s")

# %%
charts.policy_waterfall(below)

# %% [markdown]
# And to the one furthest above. Where a choice makes no difference here, it will with other weeks: maintenance counted
# as up is nothing until there is maintenance.

# %%
above = up.waterfall([site], **over, second=high["policy"])
charts.policy_waterfall(above)

# %% [markdown]
# ## Look less often, see less
#
# The checks come every five minutes. Had they come every quarter of an hour, every hour, or every three hours, what
# would have been left of the outage? We need not guess: take every third check, every twelfth, every 36th, from six
# different beginnings, and count again.

# %%
in_order = history.ticks.sort("region_id", "scheduled_at", "attempt")
slots = in_order.select("region_id", "scheduled_at").unique(maintain_order=True)
numbered = in_order.join(
    slots.with_columns(number=pl.int_range(pl.len()).over("region_id")), on=["region_id", "scheduled_at"]
)


def down_with(every, offset):
    """The downtime that one check in `every` tells, from the given one on."""
    kept = numbered.filter(pl.col("number") % every == offset)
    kept = kept.with_columns((pl.col("interval_s") * every).cast(pl.Int32)).drop("number")
    thinner = analysis.History(since=start, until=end, spans=spans_of(kept))
    return analysis.account(thinner, by=[])["down_s"][0]


rows = []
for every in (1, 3, 12, 36):
    tried = [down_with(every, offset) for offset in sorted({round(every * part / 6) for part in range(6)} - {every})]
    rows.append((every * 5, len(tried), min(tried), max(tried), sum(each == 0 for each in tried)))
sampled = pl.DataFrame(rows, schema=["minutes", "tries", "least_s", "most_s", "unseen"], orient="row")
Table(
    sampled,
    {
        "minutes": ("a check every", lambda minutes: lasting(minutes * 60)),
        "least_s": ("down, with luck", lasting),
        "most_s": ("down, without", lasting),
        "unseen": ("no outage at all", str),
        "tries": ("of so many tries", str),
    },
)

# %% [markdown]
# The downtime depends on when the clock happened to start. Nothing in a number such as 99.9 % says how often somebody
# looked. So an outage should come with its **edges**: it began after the last good
# check and before the first bad one.

# %%
edges = outages.select("since", "until", "down_least_s", "down_s", "down_most_s").sort("down_s", descending=True)
edges.head(5)

# %% [markdown]
# ## No failure seen is not 100 %
#
# Take a site that has not failed. What do its checks prove? If its true uptime were 99.9 %, then one series of 3 000
# checks in twenty would still show nothing. To claim 99.9 % with 95 % confidence takes 3 838 checks without a failure,
# each further nine ten times as many.

# %%
claims = pl.DataFrame({"uptime": [0.99, 0.999, 0.9999, 0.99999]}).with_columns(
    checks=pl.col("uptime").map_elements(analysis.checks_for, return_dtype=pl.Int64)
)
a_day = history.ticks.height / days
claims.with_columns(days_of_ours=(pl.col("checks") / a_day).round(1))

# %% [markdown]
# ## Failures come in flocks
#
# The usual interval around a share treats each check as a coin toss. An outage is a hundred tosses that all fell the
# same way, for one reason. Draw whole days instead, again and again, and the interval becomes as wide as our knowledge.

# %%
daily = analysis.uptime(analysis.cut_by(spans, "1d"), by=["at"])
sure = analysis.interval(daily)
[counted] = nine.filter(pl.col("policy") == "grafana-reachability").to_dicts()
n, p, z = counted["checks"], counted["uptime"], 1.96
middle, half = (
    (p + z * z / (2 * n)) / (1 + z * z / n),
    z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n),
)
naive, honest = 2 * half, sure.high - sure.low
Markdown(f"""| | from | to | wide |
| --- | --- | --- | --- |
| {n:,} coin tosses (Wilson) | {percent(middle - half, 3)} | {percent(middle + half, 3)} | {naive * 100:.2f} points |
| {sure.days} days, drawn again | {percent(sure.low, 3)} | {percent(sure.high, 3)} | {honest * 100:.2f} points |

**{honest / naive:.0f} times as wide.** With one bad morning in {sure.days} days, nobody knows how many there are in a
year.""")

# %% [markdown]
# ## What nobody knew, counted as up
#
# On one night the region São Paulo was blind for hours. *Missing data is OK* is a setting that people choose to be left
# in peace. Here is that day, seen from there, under the three ways to take it.

# %%
by_day = up.uptime(by=("region", "at"), **over, sites=[site], every="1d").filter(pl.col("coverage").is_not_null())
whole = by_day.filter(pl.col("at").is_between(start + timedelta(days=1), end - timedelta(days=1)))
darkest = whole.sort("coverage").row(0, named=True)
region, day = darkest["region"], darkest["at"]
that_day = up.history([site], day, day + timedelta(days=1), [region])
ours = analysis.POLICIES["default"]
ways = {
    "left out (ours)": ours,
    "counted as up": replace(ours, unknown=1.0),
    "counted as down": replace(ours, unknown=0.0),
}
taken = pl.concat(
    [analysis.account(that_day, way, by=[]).with_columns(label=pl.lit(name)) for name, way in ways.items()]
)
taken = taken.with_columns(
    said=pl.Series([shown(taken["uptime"][0], taken["checks"][0]), *map(percent, taken["uptime"][1:])])
)
Table(taken, {"label": ("unknown is", str), "said": ("uptime", str), "coverage": ("known", percent)})

# %%
as_up, as_down = taken["uptime"][1], taken["uptime"][2]
Markdown(f"""From {region} on {day:%d %B}: **{percent(as_up, 2)}** or **{percent(as_down, 2)}**, of a day of which
{percent(darkest["coverage"])} is known. The first is a claim about hours in which nobody looked. The truth is between the
two, and only the coverage says how far they are apart.""")

# %% [markdown]
# ## The mean of percentiles
#
# Latency has a lie of its own. Each region has its 95th percentile; their mean is what most dashboards draw for "p95
# over all regions". The percentile of all checks is another number, and only merged histograms have it.

# %%
rollup = up.rollup("1h", ("site", "region"), **over, sites=[site]).collect()
of_regions = analysis.quantiles(rollup, [0.95], by=["region"])
merged = analysis.quantiles(rollup, [0.95])["p95_ms"][0]
exact = (
    up.ticks([site], **over)
    .filter(pl.col("final") & pl.col("trusted") & pl.col("state").is_in(["up", "degraded"]))
    .select(pl.col("latency_ms").quantile(0.95, "higher"))
    .collect()
    .item()
)
mean_of_regions, mean_of_hours = of_regions["p95_ms"].mean(), rollup["p95_ms"].mean()
p95 = pl.DataFrame(
    {
        "how": ["all checks, one by one", "merged histograms", "mean of the regions' p95", "mean of the hours' p95"],
        "p95_ms": [exact, merged, mean_of_regions, mean_of_hours],
    }
).with_columns(off=pl.col("p95_ms") / exact - 1)
Table(
    p95,
    {"how": ("p95 from", str), "p95_ms": ("ms", lambda ms: f"{ms:,.0f}"), "off": ("off by", lambda off: f"{off:+.1%}")},
)

# %% [markdown]
# ## What to conclude
#
# 1. Ask of every uptime: of what, seconds or checks? By whose vote? What of the time nobody knows? How often did they
#    look?
# 2. A number without its coverage and its bounds is an opinion.
# 3. Keep the ticks. Whoever has them can answer all of these questions later; whoever kept a percentage cannot answer
#    one.

# %% tags=["found"]
finding = {
    "policies": dict(nine.select("policy", "uptime").iter_rows()),
    "steps_below": below.filter(pl.col("kind") == "choice")["change"].sum(),
    "difference_below": below["uptime"][-1] - below["uptime"][0],
    "sampled": sampled.to_dicts(),
    "wider": honest / naive,
    "blind": (str(region), day),
    "as_up": as_up,
    "as_down": as_down,
    "known": darkest["coverage"],
    "merged_off": abs(merged / exact - 1),
    "regions_off": abs(mean_of_regions / exact - 1),
    "edges": edges.head(1).to_dicts(),
}
up.close()
finding
