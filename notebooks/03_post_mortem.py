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
# # A post-mortem from what the checks saw
#
# **The claim:** the Payments API did not fail at 10:04. It had been failing, slowly, for half an hour, and every region
# could see it. What began as three regions' outage was everybody's, and that one morning cost several times the budget
# of the whole month.
#
# An incident report that is written from memory tells what people did. This one tells what happened, from the ticks
# alone. It is about the demo's worst outage of the last days; name a site of yours and read your own.

# %% tags=["parameters"]
site = "demo-payments"

# %%
from datetime import timedelta

import polars as pl

import pipeline
from pipeline import analysis, charts
from pipeline.analysis.claims import percent
from pipeline.charts.states import lasting
from pipeline.report.shown import Markdown

up = pipeline.connect()
ticks = up.ticks([site], start="-7d").collect()
spans = up.spans([site], start="-7d", level="global").collect()
outages = analysis.outages(spans, ticks)
outages.select("since", "until", "down_s", "down_least_s", "down_most_s", "failed_at", "confirmed_at")

# %%
[outage] = outages.sort("down_s").tail(1).to_dicts()
end = outage["until"] or ticks["scheduled_at"].max()
since, until = outage["since"] - timedelta(hours=2), end + timedelta(hours=1)
seen = ticks.filter(pl.col("scheduled_at").is_between(since, until))
Markdown(f"""The longest one: from **{outage["since"]:%d %B, %H:%M:%S} UTC** to **{end:%H:%M:%S}**, that is
{lasting(outage["down_s"])}. The checks leave its edges open by an interval each, so it was at least
{lasting(outage["down_least_s"])} and at most {lasting(outage["down_most_s"])}.""")

# %% [markdown]
# ## Who saw it, and when
#
# One row a region. The regions do not look at the same moment, and they did not see the same thing: one of them was
# answered long after the others were not. A single prober there would have dated the outage wrongly, and one prober
# elsewhere could not have told an outage of the site from one of the way to it.

# %%
charts.strip(charts.states_of(seen, since, until))

# %%
failing = seen.filter((pl.col("state") == "down") & pl.col("final"))
first_seen = failing.group_by("region").agg(
    first=pl.col("scheduled_at").min(), last=pl.col("scheduled_at").max(), checks=pl.len()
)
first_seen.sort("first")

# %% [markdown]
# ## What failed
#
# Two different failures follow each other: first no answer within the deadline, then an answer that says *bad gateway*.
# That is the picture of a server that is overrun, and then taken away by whatever stands in front of it.

# %%
what = failing.group_by("outcome", "status", "detail").agg(
    first=pl.col("scheduled_at").min(),
    last=pl.col("scheduled_at").max(),
    regions=pl.col("region").n_unique(),
    checks=pl.len(),
)
what.sort("first")

# %% [markdown]
# ## What came before
#
# Here is the same time as latency. The line rises long before the first cross.

# %%
charts.latency(charts.latency_by(seen, every=timedelta(minutes=5)))

# %% [markdown]
# How long before? Take each region's own median of the day before, and look for the last answer that was as quick as
# usual. All that came between it and the first failure was a warning.

# %%
answered = pl.col("state").is_in(["up", "degraded"]) & pl.col("trusted")
usual = ticks.filter(answered, pl.col("scheduled_at").is_between(since - timedelta(days=1), since))
usual = usual.group_by("region").agg(usual_ms=pl.col("latency_ms").median())
failed_first = failing["scheduled_at"].min()
before = seen.filter(answered, pl.col("scheduled_at") < failed_first).join(usual, on="region")
# From the last quick answer on, nobody got another one.
last_quick = before.filter(pl.col("latency_ms") < 1.25 * pl.col("usual_ms"))["scheduled_at"].max()
warning = before.filter(pl.col("scheduled_at") > last_quick)
warned_at = warning["scheduled_at"].min()
ahead = failed_first - warned_at
times = (warning["latency_ms"] / warning["usual_ms"]).median()
Markdown(f"""The last answer at its usual speed came at {last_quick:%H:%M:%S}. From **{warned_at:%H:%M:%S}** on, all
{warning.height} checks from {warning["region"].n_unique()} regions were slow, {times:.1f} times as long as usual in the
middle: **{lasting(ahead.total_seconds())} of warning**, and nothing was listening. A rule on latency (`max_latency_ms`)
would have made the site *degraded* then.""")

# %% [markdown]
# And where was that time spent? `explain` holds the checks of a box against all others: by region, by address, by
# phase.

# %%
box = analysis.Box(warned_at, failed_first)
explained = analysis.explain(seen, box)
phases = explained.filter(pl.col("attribute") == "phase").sort("score", descending=True)
phases.select("value", "inside_ms", "outside_ms", "difference_ms", "score")

# %%
charts.slower(explained)

# %% [markdown]
# Not in the look-up, not in the network, not in TLS: in the wait for the first byte. It was the server.

# %% [markdown]
# ## How soon it was known
#
# The first failed attempt is no outage yet: the site asks for a confirmation, and the verdict for a majority of
# regions.

# %%
Markdown(f"""First failed attempt at {outage["failed_at"]:%H:%M:%S}, verdict at {outage["confirmed_at"]:%H:%M:%S}:
**{lasting(outage["detected_s"])}** from the one to the other. Checks every five minutes from four regions make that
possible; with one region and no quorum it would be faster, and wrong whenever that region has an outage of its own.""")

# %% [markdown]
# ## What it cost

# %%
promised = [each for each in up.objectives() if each.site == site]
budgets = up.slo([each.key for each in promised])
budgets.select("objective", "target", "budget_s", "spent_s", "spent_low_s", "spent_high_s", "left")

# %%
if promised:
    [spent] = budgets.head(1).to_dicts()
    said = f"""Promised were {percent(spent["target"])} over {promised[0].window_days} days, which is
{lasting(spent["budget_s"])} of downtime. Spent are {lasting(spent["spent_s"])}: **{spent["spent_s"] / spent["budget_s"]:.1f}
budgets** in one morning."""
else:
    said = "Nothing is promised of this site: the page *SLO* would tell what such a morning costs."
Markdown(said)

# %% [markdown]
# ## What to conclude
#
# 1. Alert on latency, not only on failure: the warning was there, in all regions, for as long as it takes to react.
# 2. Look at the server: the phase that grew was the wait for the first byte, and no network shows like that.
# 3. One region that still answers proves little: it was the slowest to fail, and it failed.

# %% tags=["found"]
finding = {
    "since": outage["since"],
    "until": outage["until"],
    "warned_at": warned_at,
    "slowest_phase": phases["value"][0],
    "regions_first": sorted(
        first_seen.filter(pl.col("first") < pl.col("first").max() - timedelta(minutes=8))["region"]
    ),
    "outcomes": what.sort("first")["outcome"].unique(maintain_order=True).to_list(),
    "left": budgets["left"].to_list(),
    "detected_s": outage["detected_s"],
}
up.close()
finding
