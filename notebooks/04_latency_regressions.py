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
# # Slower every day, and nobody noticed
#
# **The claim:** after a deploy, Checkout became a fifth slower at once and two per cent slower every further day. No
# threshold saw it, since no day was much worse than the one before. Change points did, within hours, from data that
# was there all along.
#
# This notebook looks for lasting shifts of latency in everything that is watched, then takes the largest apart.

# %% tags=["parameters"]
days = 45  # to look back

# %%
from datetime import timedelta

import polars as pl

import pipeline
from pipeline import analysis, charts
from pipeline.report.shown import Markdown

up = pipeline.connect()
hours = up.rollup("1h", start=f"-{days}d").collect()
print(f"{hours.height:,} hours of {hours['site'].n_unique()} sites, seen from {hours['region'].n_unique()} regions")

# %% [markdown]
# ## What shifted
#
# `changes` takes each series' hourly medians, takes the rhythm of day and week out of them, and splits them where the
# level before and the level after cannot be chance. Over so many places that were tried, at most one in a thousand of
# the shifts told is expected to be nothing.

# %%
found = analysis.changes(hours)
found.select("site", "region", "at", "before_ms", "after_ms", "ratio", "p_value").head(12)

# %% [markdown]
# A shift that one region sees is perhaps the way there. One that most regions see within half a day is the site. So
# they are counted together: a site, a time, and from how many regions.

# %%
slower = pl.col("ratio") > 1
apart = pl.col("at") - pl.col("at").shift() > timedelta(hours=12)
beside = found.with_columns(pl.col("site").cast(pl.String), slower=slower).sort("site", "slower", "at")
event = apart.fill_null(value=True).cum_sum().over("site", "slower")
events = (
    beside.with_columns(event=event)
    .group_by("site", "slower", "event")
    .agg(
        at=pl.col("at").min(),
        regions=pl.col("region").n_unique(),
        ratio=pl.col("ratio").mean(),
        added_ms=(pl.col("after_ms") - pl.col("before_ms")).mean(),
    )
    .drop("event")
)
seen_by_most = events.filter(pl.col("regions") > hours["region"].n_unique() / 2).sort("at")
seen_by_most

# %%
site = seen_by_most.group_by("site").agg(pl.col("added_ms").abs().sum()).sort("added_ms")["site"][-1]
mine, shifts = hours.filter(pl.col("site") == site), found.filter(pl.col("site") == site)
of_site = seen_by_most.filter(pl.col("site") == site)
began, ended = (of_site.filter(pl.col("slower") == which)["at"] for which in (True, False))
began, ended = began.min(), ended.max()
Markdown(f"""**{site}** shifted: it became slower around **{began:%d %B, %H:%M} UTC**, and fast again around
**{ended:%d %B, %H:%M}**. What lies between is a slope, which change points tell as a stair of
{shifts.filter(slower)["at"].n_unique()} steps.""")

# %% [markdown]
# ## What it looked like
#
# Thin lines are the hours, thick ones the levels, dashed rules the shifts with their factor. Cover everything but one
# week and look again: there is nothing to see. That is why nobody did.

# %%
charts.changes(mine, shifts)

# %% [markdown]
# ## How much, and how sure
#
# The last week before the fix against the last one before the deploy. The intervals come from drawing whole days, since
# latencies of one hour resemble each other and would pretend to be more evidence than they are.

# %%
week = timedelta(days=7)
before = mine.filter(pl.col("at").is_between(began - week, began, closed="left"))
after = mine.filter(pl.col("at").is_between(ended - week, ended, closed="left"))
compared = analysis.compare(before, after)
compared.select("quantile", "left_ms", "right_ms", "difference_ms", "low_ms", "high_ms", "ratio")

# %%
charts.compared(compared)

# %% [markdown]
# ## Where it is spent
#
# The medians of the phases, on a day before the deploy and on one before the fix. What grows is for somebody to mend,
# and the phase says for whom.

# %%
names = ["dns_ms", "connect_ms", "tls_ms", "ttfb_ms", "transfer_ms"]


def medians(start):
    """Medians of a day's phases over all regions."""
    ticks = up.ticks([site], start=start, end=start + timedelta(days=1)).filter(pl.col("state") == "up")
    return ticks.select(pl.col(names).median()).collect()


early, late = medians(began - timedelta(days=1)), medians(ended - timedelta(days=1))
phases = pl.DataFrame(
    {
        "phase": [name.removesuffix("_ms") for name in names],
        "before_ms": early.row(0),
        "after_ms": late.row(0),
    }
).with_columns(added_ms=pl.col("after_ms") - pl.col("before_ms"))
phases

# %%
grew = phases.sort("added_ms", descending=True)["phase"][0]
share = phases["added_ms"].max() / phases["added_ms"].sum()
Markdown(f"""**{grew}** takes {share:.0%} of what was added. Time to the first byte is the server's own time and one
round trip; the round trip, as `connect` shows, is what it was. No network and no CDN will mend this.""")

# %% [markdown]
# ## What an average of percentiles would have said
#
# The 95th percentile of these weeks is not the mean of the 95th percentiles of their hours and regions. Histograms
# merge; percentiles do not.

# %%
slow = mine.filter(pl.col("at").is_between(began, ended, closed="left"))
merged = analysis.quantiles(slow, [0.95])["p95_ms"][0]
averaged = slow["p95_ms"].mean()
print(f"p95 of all checks {merged:.0f} ms, mean of the hours' p95 {averaged:.0f} ms: {averaged / merged - 1:+.0%}")

# %% [markdown]
# ## What to conclude
#
# 1. Compare with the level before the deploy, not with yesterday: a slope hides from every comparison of neighbours.
# 2. All regions in the same hours means the site; the phase says which part of it.
# 3. Look at change points after each deploy: the page *Changes* lists them, the largest first.

# %% tags=["found"]
finding = {
    "site": site,
    "began": began,
    "ended": ended,
    "regions": of_site["regions"].to_list(),
    "ratio": compared.filter(pl.col("quantile") == 0.5)["ratio"][0],
    "low_ms": compared.filter(pl.col("quantile") == 0.5)["low_ms"][0],
    "phase": grew,
    "others": sorted(set(seen_by_most["site"]) - {site}),
}
up.close()
finding
