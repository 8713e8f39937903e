"""The frames that analysis answers with, as `pipeline.frames` has those of data: type, unit and meaning."""

from __future__ import annotations

import polars as pl

from pipeline.frames import AT, COUNTED, REGION_KEY, SITE_ID, SITE_KEY, TIME, Column, Frame, ms

UPTIME: Frame = {
    "uptime": Column(pl.Float64(), "up / (up + down) of the known time, degraded as up; null where nothing is known."),
    "low": Column(pl.Float64(), "The uptime if all unknown time was down: up / expected."),
    "high": Column(pl.Float64(), "The uptime if all unknown time was up: (up + unknown) / expected."),
    "coverage": Column(pl.Float64(), "Known time / expected time."),
    "up_s": Column(pl.Float64(), "Time held up, degraded with it.", "s"),
    "down_s": Column(pl.Float64(), "Time held down.", "s"),
    "unknown_s": Column(pl.Float64(), "Expected time that nobody can speak for.", "s"),
    "checks": Column(pl.Int64(), "Slots that have a tick; null of a site's spans, which do not count them."),
    "at_least": Column(pl.Float64(), "Where no failure was seen: what so many checks show at 95 %; else null."),
    "down_least_s": Column(pl.Float64(), "Down from the first to the last slot that said so; null of rollups.", "s"),
    "down_most_s": Column(pl.Float64(), "Down from the last slot before to the first one after; null of rollups.", "s"),
}

# Of raw ticks, by hour or UTC day.
EXACT: Frame = {
    "at": AT,
    "site": SITE_KEY,
    "region": REGION_KEY,
    **{name: Column(pl.Int64(), COUNTED[name]) for name in ("checks", "up", "degraded", "down", "unknown")},
    "uptime": Column(pl.Float64(), "Of the checks that know something, the share that was up; by time: `uptime`."),
    "measured": Column(pl.Int64(), "Latencies that count: trusted, up or degraded."),
    **{f"p{percent}_ms": ms(f"{percent} % took at most this; one that was measured.") for percent in (50, 95, 99)},
}

# The same history as a policy accounts it. `low`, `high` and `coverage` are what is known, whatever it assumes.
ACCOUNT: Frame = {
    "policy": Column(pl.String(), "Name of the policy."),
    "version": Column(pl.Int16(), "Its version."),
    "uptime": Column(pl.Float64(), "The uptime as this policy has it; null where it has nothing to count."),
    "low": Column(pl.Float64(), "The same if all that is unknown was down."),
    "high": Column(pl.Float64(), "The same if all that is unknown was up."),
    "coverage": Column(pl.Float64(), "The known share of what it counts."),
    "down_s": Column(pl.Float64(), "1 - uptime, of `of_s`: its downtime as time, also where it counts checks.", "s"),
    "of_s": Column(pl.Float64(), "The time it speaks of: what it counts, or for checks the time called for.", "s"),
    "checks": Column(pl.Int64(), "Checks (or steps) that know something, behind it."),
    "at_least": Column(pl.Float64(), "Where it has no failure: what so many checks show at 95 %; else null."),
}

# From one policy's uptime to another's, choice by choice.
WATERFALL: Frame = {
    "kind": Column(pl.String(), "What the row is: `from` and `to` are the policies, `choice` what differs."),
    "step": Column(pl.String(), "The policy's name, or the choice that is changed here."),
    "choice": Column(pl.String(), "What it was before and what it is after; null of the policies."),
    "uptime": Column(pl.Float64(), "The uptime with this and all changes before it; null where nothing is counted."),
    "change": Column(pl.Float64(), "What this change made of the uptime; null of the policies."),
    "change_s": Column(pl.Float64(), "The same of the time called for; below 0 is more downtime.", "s"),
}

# Times in which a site was down, one row each.
OUTAGES: Frame = {
    "site": SITE_KEY,
    "site_id": SITE_ID,
    "since": Column(TIME, "When it went down, by the vote of its regions.", "UTC"),
    "until": Column(TIME, "When it was up again; null where nobody has said so.", "UTC"),
    "down_s": Column(pl.Float64(), "Time it was held down, to the end of the range where it is open.", "s"),
    "down_least_s": Column(pl.Float64(), "The same from the first to the last slot that said so.", "s"),
    "down_most_s": Column(pl.Float64(), "The same from the last slot before to the first one after.", "s"),
    "began": Column(pl.Boolean(), "It went down within the range; false where it was down when that began."),
    "open": Column(pl.Boolean(), "It was not over when the range ended."),
    "failed_at": Column(TIME, "When the first attempt had failed that led to it; null where no ticks tell.", "UTC"),
    "confirmed_at": Column(TIME, "When the attempt had failed that made the verdict; null likewise.", "UTC"),
    "detected_s": Column(pl.Float64(), "From the first failed attempt to the confirmed verdict.", "s"),
}

RELIABILITY: Frame = {
    "outages": Column(pl.Int64(), "Outages, those that are open with them."),
    "open": Column(pl.Int64(), "Outages that are not over: not in the times to repair."),
    "mttd_s": Column(pl.Float64(), "Mean time to detect: confirmed - first failure.", "s"),
    "mttr_s": Column(pl.Float64(), "Mean time to repair: from down to up again.", "s"),
    "mttr_median_s": Column(pl.Float64(), "Half of them were repaired as fast.", "s"),
    "mttr_p90_s": Column(pl.Float64(), "90 % of them were repaired as fast.", "s"),
    "mtbf_s": Column(pl.Float64(), "Mean time between failures: time up / outages that began; null without any.", "s"),
    "up_s": Column(pl.Float64(), "Time up or degraded.", "s"),
}

APDEX: Frame = {
    "apdex": Column(pl.Float64(), "(satisfied + tolerating / 2) / checks; null without checks."),
    "low": Column(pl.Float64(), "The same if all of the buckets that T and 4T fall into were beyond them."),
    "high": Column(pl.Float64(), "The same if all of those buckets were within."),
    "checks": Column(pl.Int64(), "Checks behind it: answered and trusted, or failed."),
    "satisfied": Column(pl.Int64(), "Answered within T."),
    "tolerating": Column(pl.Int64(), "Answered within 4T."),
    "frustrated": Column(pl.Int64(), "Answered later, or failed."),
    "failed": Column(pl.Int64(), "Failed: part of the frustrated."),
}

# What the questions ask of and answer with: see `pipeline.analysis`.
PHASE = pl.Enum(["total", "dns", "connect", "tls", "ttfb", "transfer"])  # total: the whole attempt

_PHASE = Column(PHASE, "What of the latency: total, or one phase.")

_P_VALUE = Column(pl.Float64(), "How often chance alone would do as much; corrected for how often was looked.")

# `phase` may be left out: it is total then, so that frame ROLLUPS by hour, site and region is one of these.
MEDIANS: Frame = {
    "at": Column(TIME, "Start of the hour.", "UTC"),
    "site": SITE_KEY,
    "region": REGION_KEY,
    "phase": _PHASE,
    "p50_ms": ms("Median of the hour; null where nothing was measured."),
}

CHANGES: Frame = {
    "site": SITE_KEY,
    "region": REGION_KEY,
    "phase": _PHASE,
    "at": Column(TIME, "The first hour of the new level.", "UTC"),
    "before_ms": ms("Usual hourly median before it, back to the change before; the daily rhythm is taken out."),
    "after_ms": ms("The same after it, up to the next change."),
    "ratio": Column(pl.Float64(), "after / before: above 1 it became slower."),
    "p_value": _P_VALUE,
    "hours_before": Column(pl.Int32(), "Hours that before_ms rests on.", "h"),
    "hours_after": Column(pl.Int32(), "Hours that after_ms rests on.", "h"),
}

ANOMALIES: Frame = {
    "site": SITE_KEY,
    "region": REGION_KEY,
    "phase": _PHASE,
    "at": Column(TIME, "Start of the hour.", "UTC"),
    "p50_ms": ms("Median of the hour."),
    "expected_ms": ms("Median of the hours that it is held against."),
    "z": Column(pl.Float64(), "0.6745 (x - median) / MAD of log-latency: above 0 it was slower than usual."),
    "against": Column(
        pl.Enum(["hour of week", "hour of day", "all hours"]), "What it is held against: what there is enough of."
    ),
    "hours": Column(pl.Int32(), "How many such hours there are.", "h"),
}

EXPLAINED: Frame = {
    "attribute": Column(pl.String(), "What is compared: region, outcome, address, hour of day, phase, and so on."),
    "value": Column(pl.String(), "Which value of it."),
    "inside": Column(pl.Int64(), "Checks in the box that have it."),
    "outside": Column(pl.Int64(), "Checks outside that have it."),
    "share_inside": Column(pl.Float64(), "Of the checks in the box whose attribute is known, the share with it."),
    "share_outside": Column(pl.Float64(), "The same outside of the box."),
    "lift": Column(pl.Float64(), "share_inside / share_outside; null where nothing outside has it."),
    "inside_ms": ms("Of a phase: its median in the box."),
    "outside_ms": ms("Of a phase: its median outside."),
    "difference_ms": ms("Of a phase: inside_ms - outside_ms."),
    "p_value": _P_VALUE,
    "test": Column(pl.String(), "How p_value was found: G, Fisher where counts are small, rank sum for phases."),
    "score": Column(
        pl.Float64(),
        "How much it explains, cautiously: share_inside times log2 of the least lift; of a phase its share of the "
        "difference. 0 where chance would do.",
    ),
}

TOGETHER: Frame = {
    "group": Column(pl.Int32(), "Number of the group, the largest first."),
    "site": SITE_KEY,
    "down_s": Column(pl.Float64(), "How long it was down.", "s"),
    "shared_s": Column(pl.Float64(), "How much of that another of its group was down as well.", "s"),
    "overlap": Column(pl.Float64(), "The largest Jaccard index that it has with another of its group."),
}

SHARED: Frame = {
    "group": Column(pl.Int32(), "Number of the group, as in the frame together."),
    "attribute": Column(pl.String(), "What they share: address, network, region, tag, domain, issuer."),
    "value": Column(pl.String(), "Which value of it."),
    "sites": Column(pl.Int32(), "Sites of the group that have it."),
    "of": Column(pl.Int32(), "Sites of the group."),
    "others": Column(pl.Int32(), "Sites outside of the group that have it as well."),
    "p_value": _P_VALUE,
}

COMPARED: Frame = {
    "quantile": Column(pl.Float64(), "Which quantile, 0.5 for the median."),
    "left_ms": ms("The quantile of the first, within 1.1 %."),
    "right_ms": ms("The quantile of the second."),
    "difference_ms": ms("right_ms - left_ms."),
    "low_ms": ms("The difference is at least this, in 95 of 100 such comparisons; null where blocks are too few."),
    "high_ms": ms("And at most this."),
    "ratio": Column(pl.Float64(), "right_ms / left_ms."),
    "ratio_low": Column(pl.Float64(), "The lower end of its 95 % interval."),
    "ratio_high": Column(pl.Float64(), "The upper end of it."),
    "left_checks": Column(pl.Int64(), "Latencies behind left_ms."),
    "right_checks": Column(pl.Int64(), "Latencies behind right_ms."),
    "blocks": Column(pl.Int32(), "Blocks of time that were drawn from, the fewer of both."),
}

# What was promised: see `pipeline.objectives`. Seconds are means over the sites that an objective is about.
_OBJECTIVE = Column(pl.String(), "Key of the objective.")

_MOMENT = Column(TIME, "The time that it is about.", "UTC")

_LEFT = "Share of the budget that is left; below zero where more was spent than there was"

SLO: Frame = {
    "objective": _OBJECTIVE,
    "target": Column(pl.Float64(), "The share of good time that was promised."),
    "since": Column(TIME, "Start of the window.", "UTC"),
    "until": Column(TIME, "End of the window, exclusive; of a calendar month perhaps to come.", "UTC"),
    "sites": Column(pl.Int64(), "Sites with a span in the window."),
    "good_s": Column(pl.Float64(), "Time held good.", "s"),
    "unknown_s": Column(pl.Float64(), "Time that nobody can speak for; it spends nothing.", "s"),
    "uptime": Column(pl.Float64(), "good / (good + spent); null where nothing is known."),
    "low": Column(pl.Float64(), "The uptime if all unknown time was bad."),
    "high": Column(pl.Float64(), "The uptime if all unknown time was good."),
    "coverage": Column(pl.Float64(), "Known time / known and unknown time."),
    "budget_s": Column(pl.Float64(), "(1 - target) x the whole window.", "s"),
    "spent_s": Column(pl.Float64(), "Time held bad, by the vote of the regions; null where nothing is known.", "s"),
    "spent_low_s": Column(pl.Float64(), "At least: each outage from its first failed slot to its last.", "s"),
    "spent_high_s": Column(pl.Float64(), "At most: each outage between the good slots around it.", "s"),
    "left_s": Column(pl.Float64(), "budget - spent.", "s"),
    "left": Column(pl.Float64(), f"{_LEFT}."),
}

BUDGET: Frame = {
    "at": _MOMENT,
    "spent_s": Column(pl.Float64(), "What the window had spent by then.", "s"),
    "left": Column(pl.Float64(), f"{_LEFT}, as of then."),
}

FORECAST: Frame = {
    "at": _MOMENT,
    "low": Column(pl.Float64(), f"{_LEFT}: 5 % of the futures have less."),
    "middle": Column(pl.Float64(), f"{_LEFT}: half of the futures have less."),
    "high": Column(pl.Float64(), f"{_LEFT}: 95 % of the futures have less."),
    "gone": Column(pl.Float64(), "Probability that the budget will have been gone by then."),
}

BURN: Frame = {
    "objective": _OBJECTIVE,
    "at": _MOMENT,
    "severity": Column(pl.Enum(["ticket", "page"]), "What the rule calls for."),
    "factor": Column(pl.Float64(), "It asks for somebody when the budget burns faster than this over both windows."),
    "long_s": Column(pl.Float64(), "The long window: it matters.", "s"),
    "short_s": Column(pl.Float64(), "The short window: it still goes on.", "s"),
    "long_rate": Column(pl.Float64(), "How fast the budget burnt over the long window; null where nothing is known."),
    "short_rate": Column(pl.Float64(), "The same over the short window."),
    "over": Column(pl.Boolean(), "Both rates are over the factor; null where unknown time hides it."),
    "firing": Column(pl.Boolean(), "So they are with outages alone that a quorum saw in two slots in a row."),
}
