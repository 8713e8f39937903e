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
# # Whose outage was it?
#
# **The claim:** of what looks like an outage, a part is the way there, a part is ourselves, and a part is somebody else
# whom several sites rent from. All three can be told apart from outside, if one looks from several places and keeps
# what one did not know apart from what was down.
#
# Three stories, found and not told: a region in which everything failed at once; a prober that was blind; and three
# sites that share more than a design.

# %% tags=["parameters"]
days = 23  # to look back

# %%
from datetime import timedelta

import polars as pl

import pipeline
from pipeline import analysis, charts
from pipeline.analysis.claims import percent, shown
from pipeline.charts.states import lasting
from pipeline.report.shown import Markdown

up = pipeline.connect()
start, end = up.window(f"-{days}d")
regional = up.spans(start=start, end=end).collect()
verdicts = up.spans(start=start, end=end, level="global").collect()
sites = regional["site"].n_unique()
print(f"{regional.height:,} spans of {sites} sites, seen from {regional['region'].n_unique()} regions")

# %% [markdown]
# ## When everything fails at once, from one place
#
# Cut time into quarters of an hour. For each region, how many sites did it hold down, and how many did it know nothing
# of? A site that fails is one in a row. When nearly all fail together, and no other region sees it, the site that failed
# is ours.

# %%
quarter = timedelta(minutes=15)


def together(state):
    """[region, at, sites]: how many sites a region held in that state, by quarter of an hour."""
    held = regional.filter(pl.col("state") == state).with_columns(
        at=pl.datetime_ranges(pl.col("since").dt.truncate("15m"), "until", "15m", closed="left")
    )
    counted = held.explode("at").group_by("region", "at").agg(sites=pl.col("site").n_unique())
    return counted.with_columns(pl.col("region").cast(pl.String)).sort("region", "at")


def most(counted):
    """The region, and the longest run of quarters of an hour in which it held more than four fifths of the sites so."""
    nearly = counted.filter(pl.col("sites") > 0.8 * sites)
    goes_on = (pl.col("at") - pl.col("at").shift() == quarter) & (pl.col("region") == pl.col("region").shift())
    runs = nearly.group_by("region", (~goes_on.fill_null(value=False)).cum_sum().alias("run"))
    return (
        runs.agg(first=pl.col("at").min(), last=pl.col("at").max(), length=pl.len()).sort("length").row(-1, named=True)
    )


worst = most(together("down"))
far, first, last = worst["region"], worst["first"], worst["last"]
window = {"start": first - timedelta(hours=1), "end": last + timedelta(hours=1)}
Markdown(f"""From **{far}**, more than four fifths of {sites} sites were down on {first:%d %B} between {first:%H:%M} and
{last + quarter:%H:%M} UTC. Here is what each region saw of all of them.""")

# %%
ticks = up.ticks(**window).collect()
charts.fleet(charts.fleet_by(ticks, every=timedelta(minutes=5)))

# %% [markdown]
# No site was down. A verdict takes a majority of the regions that know, so the sites became *degraded*, which says what
# is true: somebody cannot reach them. A monitor that counts any region's failure would have sent one alert for each
# site, and taken the time off all of their uptimes.

# %%
inside = pl.col("since").is_between(first, last + quarter)
degraded = verdicts.filter(inside & (pl.col("state") == "degraded"))["site"].n_unique()
down = verdicts.filter(inside & (pl.col("state") == "down"))["site"].n_unique()
by_any = up.account(start=window["start"], end=window["end"], policy="datadog", by=[]).row(0, named=True)
by_vote = up.account(start=window["start"], end=window["end"], by=[]).row(0, named=True)
Markdown(f"""{degraded} sites became degraded in that time, {down} down. Of these hours our account says
**{shown(by_vote["uptime"], by_vote["checks"])}** up, and one where any region's failure counts (`datadog`) says
**{percent(by_any["uptime"])}**.""")

# %% [markdown]
# ## When we were blind
#
# The same count, of what nobody knows. A region whose own reference targets fail has no right to say that a site is
# down, so it says *unknown*, and that lowers its coverage and nothing else.

# %%
darkest = most(together("unknown"))
blind, dark, lit = darkest["region"], darkest["first"], darkest["last"]
lost = regional.filter((pl.col("region") == blind) & (pl.col("state") == "unknown"))
hidden = lost.filter(pl.col("since").is_between(dark - timedelta(hours=1), lit + timedelta(hours=1)))
Markdown(f"""**{blind}** knew next to nothing from {dark:%d %B, %H:%M} to {lit + quarter:%H:%M} UTC.""")

# %%
regions = up.uptime(by=("region",), start=start, end=end)
regions.select("region", "uptime", "low", "high", "coverage", "unknown_s")

# %%
charts.uptime(regions)

# %%
unknown = dict(regions.select(pl.col("region").cast(str), pl.col("unknown_s") / sites).iter_rows())
usual = sorted(unknown.values())[len(unknown) // 2 - 1]
missing = timedelta(seconds=unknown[blind] - usual)
Markdown(f"""Its coverage is lower than the others' by {lasting(missing.total_seconds())} a site: the time that it was
blind. Its uptime is not. Had the failures of its own network been counted as the sites', the worst region would have
been ours.""")

# %% [markdown]
# ## Who fails with whom
#
# Now the outages that are real. For each two sites: of the time in which either was down, how much were both? Where that
# is at least half they are tied together, and what is tied makes a group.

# %%
groups = analysis.together(verdicts)
groups

# %%
charts.together(verdicts, groups)

# %% [markdown]
# What do they have in common that others have not? Tags, domains, addresses, networks: each shared fact with how often
# chance alone would share it.

# %%
addresses = up.ticks(start="-2d").select("site", "ip").collect()
shared = analysis.shared(groups, analysis.facts_of(up.sites(), addresses))
shared.filter(pl.col("group") == 1)

# %%
largest = groups.filter(pl.col("group") == 1)
members = sorted(largest["site"].cast(str))
common = shared.filter((pl.col("group") == 1) & (pl.col("sites") == len(members))).sort("p_value", "others")
outages = analysis.outages(verdicts.filter(pl.col("site").cast(pl.String).is_in(members)))
times = outages.group_by("site").len()["len"].min()
Markdown(f"""{", ".join(members)} fail together, {times} times in these weeks, and share the
**{common["attribute"][0]} {common["value"][0]}**, which {common["others"][0]} other sites have. That is one incident and
one phone call, not {len(members)}.""")

# %% [markdown]
# ## What to conclude
#
# 1. A failure that one region alone sees is degraded service, not an outage. Count votes.
# 2. What we could not see is unknown, and is told beside the uptime, never inside of it.
# 3. Ask who failed together before you ask why each of them did.

# %% tags=["found"]
finding = {
    "far": far,
    "far_since": first,
    "far_until": last + quarter,
    "far_degraded": degraded,
    "far_down": down,
    "blind": blind,
    "blind_since": hidden["since"].min(),
    "blind_until": hidden["until"].max(),
    "missing_s": missing.total_seconds(),
    "group": members,
    "shares": (common["attribute"][0], common["value"][0]),
    "others": common["others"][0],
    "sites": sites,
}
up.close()
finding
