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
# # A first look
#
# Uptime is a percentage with a story behind it: who looked, from where, how often, and what they did when they could
# not tell. This notebook walks from the list of sites to that percentage, on the data of the workbench that is
# running here. It only reads.
#
# `pipeline.connect()` finds the workbench that `make up` started. To look at another one, set
# `BETTERSTACK_DATABASE_URL` or write its address between the brackets.

# %%
from datetime import timedelta

import polars as pl

import pipeline
from pipeline import analysis, charts

up = pipeline.connect()

# %% [markdown]
# ## What is watched, and from where

# %%
sites = up.sites()
sites.select("site", "name", "url", "interval_s", "paused")

# %%
up.regions().select("region", "name")

# %% [markdown]
# ## What a check leaves behind
#
# Every attempt is a **tick**: when it was due, what it found, and where its time went. `ticks()` is lazy: nothing is
# read until `collect()`, and then only the columns and rows that the query uses. Here are the newest ones of all
# sites.

# %%
day = up.ticks(start="-24h")
newest = day.select("scheduled_at", "site", "region", "state", "outcome", "status", "latency_ms", "detail")
newest.sort("scheduled_at", descending=True).head(8).collect()

# %% [markdown]
# The rest of this page is about one site: the one with the most checks today.

# %%
by_site = day.group_by("site").agg(ticks=pl.len()).sort("ticks", "site", descending=[True, False]).collect()
site = by_site["site"][0] if by_site.height else sites["site"][0]
ticks = up.ticks([site], start="-24h").collect()
print(f"{site}: {ticks.height} ticks from {ticks['region'].n_unique()} regions")

# %% [markdown]
# ## How fast it is
#
# The line is the median of each quarter of an hour, the band reaches up to the 95th percentile, and a cross marks a
# quarter with a failed check. A gap in the line is a gap in what we know. A failed check has a duration, too, but no
# latency: it is counted beside the distribution, never in it.

# %%
charts.latency(charts.latency_by(ticks, every=timedelta(minutes=15)))

# %% [markdown]
# The same numbers over weeks come from hourly **rollups**, which hold each hour's distribution as a histogram with
# buckets 2.2 % wide. Histograms add up: the 95th percentile of a week is that of all its checks, to within 1.1 %. The
# mean of hourly percentiles is not: where we measured it, it was off by a quarter.

# %%
hours = up.rollup(every="1h", sites=[site], start="-7d").collect()
analysis.quantiles(hours, [0.5, 0.95, 0.99], by=["region"])

# %% [markdown]
# ## Where the time goes
#
# Name look-up, TCP, TLS, the wait for the first byte, the body. These are means, since only means add up to the
# whole. A slow look-up or a far-away handshake is for somebody else to mend than a slow first byte.

# %%
charts.phases(charts.phases_by(ticks, every=timedelta(minutes=15)))

# %% [markdown]
# ## How often it was up
#
# A state holds from one tick to the next, but for no more than two intervals. After that nobody knows, and *unknown* is
# neither up nor down: it lowers the **coverage**. So an uptime never comes alone. `low` is what it would be had all
# the unknown time been down, `high` had it been up, and the truth lies between. Over regions this is the mean by
# seconds.

# %%
uptime = up.uptime(by=("site", "region"), start="-24h", sites=[site])
uptime.with_columns((pl.col("uptime", "low", "high", "coverage") * 100).round(3))

# %%
charts.uptime(uptime)

# %% [markdown]
# And when it was what, region by region:

# %%
charts.strip(charts.states_of(ticks))

# %% [markdown]
# ## How much that proves
#
# Ten checks without a failure do not show 100 %. If the true uptime were 99.9 %, then 3 000 checks in a row would
# still all succeed one time in twenty: that is the rule of three, `3 / n`. The Wilson interval, which looks at both
# sides, asks for 3 838 checks before it lets you claim 99.9 % with 95 % confidence, and for ten times as many with
# every further nine. With one check a minute from two regions, that is a day and eight hours, then two weeks, then
# nineteen weeks.

# %%
claims = pl.DataFrame({"uptime": [0.99, 0.999, 0.9999, 0.99999]})
claims.with_columns(checks=pl.col("uptime").map_elements(analysis.checks_for, return_dtype=pl.Int64))

# %%
total = up.uptime(by=(), start="-7d", sites=[site]).row(0, named=True)
shown = analysis.at_least(total["checks"])
known = f"{analysis.percent(total['coverage'], 1)} of the time is known"
if total["uptime"] is None or shown is None:
    verdict = "Nothing is known yet."
elif total["down_s"] == 0:
    verdict = f"No failure in {total['checks']:,} checks: that shows {analysis.percent(shown, 3)} or more, and {known}."
else:
    verdict = f"{analysis.percent(total['uptime'], 3)} of the known time, and {known}."
print(verdict)

# %% [markdown]
# Failures come in clusters, so even this is kind to short ranges: an hour of downtime is one event, not sixty.
#
# ## Going on
#
# `up.ticks()`, `up.rollup()`, `up.spans()`, `up.uptime()` and `up.account()` give frames, `pipeline.analysis` asks them,
# `pipeline.charts` draws them, and `pipeline.frames` lists every column with its unit. What comes out are polars frames,
# so the rest is yours.
#
# The notebooks beside this one are articles on the demo's ninety days (`betterstack up --demo`): a report for a client
# (02), a post-mortem (03), a drift that nobody noticed (04), whose outage it was (05), and how uptime lies (06).

# %%
up.close()
