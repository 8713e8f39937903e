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

# %% tags=["parameters"]
site = ""  # a site's key
tag = ""  # or a tag; with neither, all sites
month = ""  # 2026-10, or days with both ends: 2026-10-05/2026-10-18; nothing is the month of today
tz = "UTC"  # in which days begin
policy = "default"  # whose way of counting: default, kuma, gatus, statuspage, …

# %% tags=["notebook-only"]
from datetime import UTC, datetime

import pipeline
from pipeline import analysis, charts
from pipeline.analysis.claims import NOTHING, percent, shown
from pipeline.calendar import zone
from pipeline.charts.states import lasting
from pipeline.report.figures import figures, keys_of
from pipeline.report.periods import period_of
from pipeline.report.shown import Markdown, Table, plain

now = datetime.now(UTC)
period = period_of(month, tz, now)
up = pipeline.connect()
keys = keys_of(up, site, tag)
found = figures(up, keys, period, policy)
total = found.total


def local(at):
    """A time as the report's readers have it."""
    return f"{at.astimezone(zone(tz)):%d %b %H:%M:%S}" if at else NOTHING


# %%
names = dict(up.sites().select("site", "name").iter_rows())
title = (
    names[keys[0]]
    if site
    else f"{len(keys)} site{'' if len(keys) == 1 else 's'}" + (f" with the tag {tag}" if tag else "")
)
so_far = " so far" if period.so_far(now) else ""
Markdown(f"""# {plain(title)}, {period.label}{so_far}

Uptime report, days in {plain(tz)}, counted by the policy **{plain(found.policy.name)}** (version
{found.policy.version}): {plain(found.policy.about)} Made on {now:%d %B %Y at %H:%M} UTC.""")

# %%
claim = shown(total["uptime"], total["checks"] or None)
least, most = found.outages["down_least_s"].sum(), found.outages["down_most_s"].sum()
count = found.outages.height
outages = f"{count} outage{'' if count == 1 else 's'}"
sure = found.interval
if sure.low is None:
    resampled = "There are too few days with an answer to say how far another such period could differ."
else:
    most_likely = f"between {percent(sure.low, 3)} and {percent(sure.high, 3)}"
    if sure.high >= 1:
        most_likely = f"at {percent(sure.low, 3)} or above"
    resampled = (
        f"With days like these {sure.days}, drawn again and again, 95 of 100 such periods lie {most_likely}: so far could "
        "another one differ."
    )
bounds = "No time is unknown."
if total["low"] != total["high"]:
    bounds = f"If all unknown time was down, it was {percent(total['low'], 3)}; if all of it was up, {percent(total['high'], 3)}."
edges = (
    f"{outages} by the vote of the regions, together between {lasting(least)} and {lasting(most)} down: checks see the edges "
    "of an outage only as finely as their interval, and what is shorter than that can be missed."
    if count
    else "No outage was seen. What is shorter than the interval of the checks can be missed."
)
figure = f"""**{claim}** of the time that is known, and **{percent(total["coverage"])}** of the time is known.

- {bounds}
- {edges}
- {resampled}"""
Markdown("## The figure\n\n" + ("Nothing is known of this time." if total["uptime"] is None else figure))

# %%
if found.promised.height:
    promise = Table(
        found.promised,
        {
            "name": ("promise", str),
            "target": ("target", lambda share: percent(share, 3)),
            "budget_s": ("may be down", lasting),
            "spent_s": ("was down", lasting),
            "verdict": ("verdict", str),
        },
    )
else:
    promise = Markdown("Nothing was promised of exactly these sites: see the page *SLO*.")
promise

# %% [markdown]
# ## Day by day
#
# Each bar is a local day. Red is time in which a majority of the regions saw it fail, pale is time that nobody can
# speak for. A failure is drawn as tall as it takes to be seen.

# %%
worst = found.sites.sort("uptime", nulls_last=True).head(12)["site"].cast(str).to_list()
drawn = found.held.filter(found.held["region"].is_in(worst))
charts.shares(drawn, gutter=150).properties(description=f"Time by state and day, {period.label}.")

# %% [markdown]
# ## Site by site

# %%
Table(
    found.sites.sort("uptime", "site", nulls_last=True),
    {
        "site": ("site", lambda key: names.get(key, key)),
        "uptime": ("uptime", lambda share: shown(share, None)),
        "low": ("at worst", lambda share: percent(share, 3)),
        "high": ("at best", lambda share: percent(share, 3)),
        "coverage": ("known", percent),
        "down_s": ("down", lasting),
        "checks": ("checks", lambda checks: f"{checks:,}".replace(",", " ")),
    },
)

# %% [markdown]
# ## When it was down
#
# From the first check that failed, confirmed and by the vote of the regions, to the first that answered again.

# %%
if found.outages.height:
    when = Table(
        found.outages.sort("since"),
        {
            "site": ("site", lambda key: names.get(key, key)),
            "since": ("from", local),
            "until": ("to", local),
            "down_s": ("down", lasting),
            "down_least_s": ("at least", lasting),
            "down_most_s": ("at most", lasting),
        },
    )
else:
    when = Markdown("No outage was seen.")
when

# %%
repair = found.reliability
mean = (
    ""
    if repair["mttr_s"] is None
    else f"Time to repair: {lasting(repair['mttr_s'])} on average, {lasting(repair['mttr_median_s'])} in the middle. "
)
between = "" if repair["mtbf_s"] is None else f"Time up between two outages: {lasting(repair['mtbf_s'])} on average."
Markdown(mean + between)

# %% [markdown]
# ## How fast it was
#
# Percentiles of all answered checks of the period, from merged histograms: within 1.1 % of exact. Failed checks are
# not in them; they are above.

# %%
rollup = up.rollup("1d", ("site", "region"), period.since, period.until, keys).collect()
fast = analysis.quantiles(rollup, [0.5, 0.95, 0.99], by=["region"])
Table(
    fast,
    {"region": ("seen from", str)}
    | {
        name: (f"{name[1:-3]} % within", lambda ms: f"{ms:,.0f} ms".replace(",", " "))
        for name in ("p50_ms", "p95_ms", "p99_ms")
    },
)

# %%
Markdown(f"""## How this was counted

- Policy **{plain(found.policy.name)}**, version {found.policy.version}. {plain(found.policy.about)} Source:
  {plain(found.policy.source)}
- Sites: {", ".join(plain(key) for key in keys[:40])}{" and more" if len(keys) > 40 else ""}. From {local(period.since)} to {local(min(period.until, now))}
  ({plain(tz)}).
- Unknown time is neither up nor down. Maintenance that was announced and pauses are outside of the account. Percentages
  are cut and not rounded, so that 100 % means all.
- Who wants to check it: the notebook of this report holds every step, `betterstack report sla --format ipynb`.""")

# %% tags=["notebook-only"]
up.close()
