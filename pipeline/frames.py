"""The frames people work with: every column's type, unit and meaning, once, as data.

The data dictionary in the docs is made from this, `check` holds frames to it where they cross from one room into
another, and a test holds what the store returns to it. A misspelt lazy column fails here, not at collect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import polars as pl
from msgspec import Struct
from polars._typing import PolarsDataType

from pipeline.errors import WorkbenchError
from pipeline.vocabulary import STATE_OF, Clock, Kind, Outcome, Source, State

AnyFrame = TypeVar("AnyFrame", pl.DataFrame, pl.LazyFrame)

TIME = pl.Datetime("us", "UTC")
KEY = pl.Categorical()  # keys of sites and regions: few values, many rows
STATE = pl.Enum([state.value for state in State])
OUTCOME = pl.Enum([outcome.value for outcome in Outcome])
KIND = pl.Enum([kind.value for kind in Kind])
CLOCK = pl.Enum([clock.value for clock in Clock])
SOURCE = pl.Enum([source.value for source in Source])
BUCKETS, COUNTS = pl.List(pl.Int16()), pl.List(pl.Int32())


class FrameError(WorkbenchError):
    """A frame is not what its name promises; the message names each column."""


class Column(Struct, frozen=True):
    """What a column holds: its type, one sentence, and the unit where it has one."""

    dtype: PolarsDataType
    about: str
    unit: str | None = None


Frame = Mapping[str, Column]


def _ms(about: str) -> Column:
    return Column(pl.Float32(), about, "ms")


_SITE = Column(KEY, "Key of the site.")
_REGION = Column(KEY, "Key of the region.")
_SITE_ID = Column(pl.Int32(), "Number of the site; stays when its key is given to another.")
_REGION_ID = Column(pl.Int32(), "Number of the region.")

TICKS: Frame = {
    "scheduled_at": Column(TIME, "When the check was due; with site and region it names the slot.", "UTC"),
    "started_at": Column(TIME, "When the attempt began; null where none was made.", "UTC"),
    "site": _SITE,
    "region": _REGION,
    "site_id": _SITE_ID,
    "region_id": _REGION_ID,
    "attempt": Column(pl.Int16(), "0 for the scheduled attempt, 1 and more for its confirmations."),
    "state": Column(STATE, "What the outcome makes the site, seen from this region."),
    "outcome": Column(OUTCOME, "What the attempt found, from the closed list."),
    "status": Column(pl.Int16(), "Status of the last HTTP response."),
    "dns_ms": _ms("Looking the name up, summed over redirects; null where it was not needed."),
    "connect_ms": _ms("Until the TCP connection stood."),
    "tls_ms": _ms("The TLS handshake."),
    "ttfb_ms": _ms("From the request's last byte to the response's first."),
    "transfer_ms": _ms("The response's body."),
    "latency_ms": _ms("The whole attempt."),
    "error_ms": _ms("How far latency_ms may be off, by the prober's own measurement of itself."),
    "clock": Column(CLOCK, "What the latency was read from."),
    "trusted": Column(pl.Boolean(), "False where the prober was too busy for its latencies to count."),
    "ip": Column(pl.String(), "The address that answered."),
    "bytes": Column(pl.Int32(), "Size of the body as it was transferred.", "byte"),
    "interval_s": Column(pl.Int32(), "The interval in force at the slot.", "s"),
    "final": Column(pl.Boolean(), "No further attempt of this slot follows: it did not fail, or was the last."),
    "kind": Column(KIND, "Why the check was made; only scheduled ones are part of uptime."),
    "source": Column(SOURCE, "Who wrote the tick; a prober's replaces anybody else's."),
    "prober": Column(pl.String(), "The process that made the attempt."),
    "revision": Column(pl.Int32(), "The revision of the site's settings that called for the slot."),
    "detail": Column(pl.String(), "One sentence for a person."),
}

_COUNTED = {
    "checks": "Slots that have a tick.",
    "up": "Slots that were up.",
    "degraded": "Slots that were degraded: up, and something to say.",
    "down": "Slots that were down.",
    "unknown": "Slots that nobody can speak for, with a tick that says why.",
    "attempts": "Scheduled attempts and their confirmations.",
    "first_failures": "Slots whose first attempt failed, whatever its confirmations said.",
    "untrusted": "Slots that were up or degraded with a latency that does not count.",
}
_HELD = {
    "up_us": "Time held up: from each tick to the next, at most two intervals.",
    "degraded_us": "Time held degraded.",
    "down_us": "Time held down.",
    "unknown_us": "Time held by explicit unknown ticks; gaps without ticks are not in it.",
}
_QUANTILES = {
    f"p{percent}_ms": _ms(f"{percent} % were faster; from the histogram beside it.") for percent in (50, 90, 95, 99)
}
_BUCKETS = Column(BUCKETS, "Latency histogram: bucket numbers in ascending order; see analysis.histograms.")
_AT = Column(TIME, "Start of the hour or the UTC day.", "UTC")

# As stored, one row a series and hour (or day).
HOURS: Frame = {
    "at": _AT,
    "site_id": _SITE_ID,
    "region_id": _REGION_ID,
    **{name: Column(pl.Int32(), about) for name, about in _COUNTED.items()},
    **{name: Column(pl.Int64(), about, "us") for name, about in _HELD.items()},
    **_QUANTILES,
    "buckets": _BUCKETS,
    "counts": Column(COUNTS, "Latency histogram: trusted ticks, up or degraded, by bucket."),
    "last_until": Column(TIME, "Until when, within the row, the last state is held; perhaps beyond now.", "UTC"),
    "last_state": Column(pl.Int16(), "That state: the position of its column among up_us to unknown_us."),
}

# What only the hours have: their runs of one state, of which days of spans are made.
PIECES = Column(
    pl.List(pl.Int64()),
    "Five numbers a run: its start, end and last slot (us since the hour began; a slot before it is negative), its "
    "state's position, its slots in the hour.",
)
HOUR_ROWS: Frame = {**HOURS, "pieces": PIECES}

# As read, merged over what was not asked for; `site` and `region` are there where `by` names them.
ROLLUPS: Frame = {
    "at": _AT,
    "site": _SITE,
    "region": _REGION,
    **{name: Column(pl.Int64(), about) for name, about in _COUNTED.items()},
    **{name: Column(pl.Int64(), about, "us") for name, about in _HELD.items()},
    "expected_s": Column(pl.Float64(), "Time for which checks were called for, by the revisions; to now at most.", "s"),
    **_QUANTILES,
    "buckets": _BUCKETS,
    "counts": Column(pl.List(pl.Int64()), "Latency histogram: trusted ticks, up or degraded, by bucket."),
}

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
    "at": _AT,
    "site": _SITE,
    "region": _REGION,
    **{name: Column(pl.Int64(), _COUNTED[name]) for name in ("checks", "up", "degraded", "down", "unknown")},
    "uptime": Column(pl.Float64(), "Of the checks that know something, the share that was up; by time: `uptime`."),
    "measured": Column(pl.Int64(), "Latencies that count: trusted, up or degraded."),
    **{f"p{percent}_ms": _ms(f"{percent} % took at most this; one that was measured.") for percent in (50, 95, 99)},
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
    "site": _SITE,
    "site_id": _SITE_ID,
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

_SPAN = {
    "state": Column(STATE, "What held: of a region its state, of a site the vote of its regions."),
    "since": Column(TIME, "When it began: the slot that first said so, or the end of what was held before.", "UTC"),
    "until": Column(TIME, "When it ended, exclusive.", "UTC"),
}
_EDGES = {
    "began_after": Column(TIME, "The last slot that said otherwise: it began in (began_after, since].", "UTC"),
    "ended_after": Column(TIME, "The last slot that said so: it ended in (ended_after, until].", "UTC"),
}

# One region's spans. No two of a series overlap, and neighbours differ; a gap that was called for is unknown.
SPANS: Frame = {
    "site": _SITE,
    "region": _REGION,
    "site_id": _SITE_ID,
    "region_id": _REGION_ID,
    **_SPAN,
    "checks": Column(pl.Int64(), "Slots with a tick in it; 0 for a gap."),
    **_EDGES,
}

# A site's spans, by the vote of its regions.
SITE_SPANS: Frame = {
    "site": _SITE,
    "site_id": _SITE_ID,
    **_SPAN,
    "down": Column(pl.Int16(), "Regions that held it down when the span began."),
    "known": Column(pl.Int16(), "Regions that knew its state when the span began."),
    "regions": Column(pl.Int16(), "Regions that were to check it then."),
    **_EDGES,
}

PERIOD = pl.Enum(["maintenance", "suspect"])

# What overrides the ticks.
PERIODS: Frame = {
    "id": Column(pl.Int64(), "Its number."),
    "kind": Column(PERIOD, "maintenance: what is found counts neither way; suspect: it is not believed, so unknown."),
    "site": Column(KEY, "Key of the site that it is about; null: all."),
    "region": Column(KEY, "Key of the region that is not believed; null: all."),
    "since": Column(TIME, "When it begins.", "UTC"),
    "until": Column(TIME, "When it ends, exclusive; null: it goes on.", "UTC"),
    "reason": Column(pl.String(), "Why, in somebody's words."),
    "actor": Column(pl.String(), "Who said so."),
}

SITES: Frame = {
    "site": _SITE,
    "site_id": _SITE_ID,
    "name": Column(pl.String(), "The site's name for people."),
    "url": Column(pl.String(), "What is checked; the scheme picks the probe."),
    "interval_s": Column(pl.Int32(), "Seconds between checks.", "s"),
    "timeout_s": Column(pl.Float64(), "Seconds that an attempt may take.", "s"),
    "confirmations": Column(pl.Int16(), "Further attempts before a failure is believed."),
    "method": Column(pl.String(), "HTTP method."),
    "tags": Column(pl.List(pl.String()), "Words to find it by."),
    "regions": Column(pl.List(pl.String()), "Keys of its regions; null where it follows all."),
    "paused": Column(pl.Boolean(), "Nothing is checked while it is."),
    "certificate_expires_at": Column(
        TIME, "When its certificate ends, the earliest that a region was shown last; null where none was.", "UTC"
    ),
    "created_at": Column(TIME, "When it was added.", "UTC"),
    "updated_at": Column(TIME, "When it was last changed.", "UTC"),
}

REGIONS: Frame = {
    "region": _REGION,
    "region_id": _REGION_ID,
    "name": Column(pl.String(), "The region's name for people."),
    "managed": Column(pl.Boolean(), "Our supervisor runs its prober."),
    "created_at": Column(TIME, "When it was added.", "UTC"),
}

TRANSITIONS: Frame = {
    "at": Column(TIME, "The time of the tick that changed the verdict.", "UTC"),
    "recorded_at": Column(TIME, "When the change was written.", "UTC"),
    "site": _SITE,
    "site_id": _SITE_ID,
    "from_state": Column(STATE, "The verdict before."),
    "to_state": Column(STATE, "The verdict after."),
    "votes": Column(pl.String(), "What each region said, as JSON: region key to state."),
}

SNAPSHOTS: Frame = {
    "scheduled_at": Column(TIME, "When the check was due, as in the ticks.", "UTC"),
    "site": _SITE,
    "region": _REGION,
    "site_id": _SITE_ID,
    "region_id": _REGION_ID,
    "attempt": Column(pl.Int16(), "0 for the scheduled attempt, 1 and more for its confirmations."),
    "outcome": Column(OUTCOME, "What the attempt found."),
    "phase": Column(pl.String(), "What it had reached: dns, connect, tls, ttfb, transfer, or answer."),
    "problems": Column(pl.List(pl.String()), "Every expectation that failed, in sentences."),
    "urls": Column(pl.List(pl.String()), "What was asked, redirects included; without user, password and query."),
    "ips": Column(pl.List(pl.String()), "The address that each of them was asked of; null where there was none."),
    "statuses": Column(pl.List(pl.Int16()), "The status that each of them got; null where there was none."),
    "tls": Column(pl.String(), "Version and cipher of the last connection."),
    "certificate_subject": Column(pl.String(), "Whose certificate the server showed, accepted or not."),
    "certificate_issuer": Column(pl.String(), "Who signed it."),
    "certificate_names": Column(pl.List(pl.String()), "The first few host names that it is for."),
    "certificate_starts_at": Column(TIME, "From when on it is valid.", "UTC"),
    "certificate_expires_at": Column(TIME, "Until when it is valid.", "UTC"),
    "certificate_sha256": Column(pl.String(), "Its fingerprint."),
    "status_line": Column(pl.String(), "The first line of the last answer."),
    "header_names": Column(pl.List(pl.String()), "Headers of the last answer, the first 50."),
    "header_values": Column(pl.List(pl.String()), "Their values in the same order; secrets are cut out."),
    "body": Column(pl.String(), "The first 2 KB of the last answer's body as text."),
}

FLEET_SAMPLES: Frame = {
    "at": Column(TIME, "When the sample was taken: each ten seconds.", "UTC"),
    "region": _REGION,
    "region_id": _REGION_ID,
    "probers": Column(pl.Int32(), "Probers that gave a sign of life."),
    "in_flight": Column(pl.Int32(), "Probes under way, of all probers."),
    "probed": Column(pl.Int64(), "Probes made since they started, of all probers."),
    "lateness_p50_ms": _ms("Half of the last checks began at most so long after their time; the worst prober's."),
    "lateness_p95_ms": _ms("95 % began at most so late; the worst prober's."),
    "lateness_p99_ms": _ms("99 % began at most so late; the worst prober's."),
    "stall_ms": _ms("The longest that a prober's loop stood still."),
    "checks_waiting": Column(pl.Int32(), "Checks that no prober had taken, those 2 s ahead of their time with them."),
    "checks_pending": Column(pl.Int32(), "Checks that a prober had taken and not handed over."),
    "oldest_waiting_s": Column(pl.Float32(), "Age of the oldest check that no prober had taken.", "s"),
    "ticks_waiting": Column(pl.Int32(), "Ticks that were not recorded."),
}

DECISIONS: Frame = {
    "at": Column(TIME, "When it was decided.", "UTC"),
    "region": _REGION,
    "region_id": _REGION_ID,
    "before": Column(pl.Int32(), "Probers that the region was to have before."),
    "after": Column(pl.Int32(), "Probers that it is to have since."),
    "reason": Column(pl.String(), "Why, in a sentence."),
}

# What the questions ask of and answer with: see `pipeline.analysis`.
PHASE = pl.Enum(["total", "dns", "connect", "tls", "ttfb", "transfer"])  # total: the whole attempt

_PHASE = Column(PHASE, "What of the latency: total, or one phase.")
_P_VALUE = Column(pl.Float64(), "How often chance alone would do as much; corrected for how often was looked.")

# `phase` may be left out: it is total then, so that frame ROLLUPS by hour, site and region is one of these.
MEDIANS: Frame = {
    "at": Column(TIME, "Start of the hour.", "UTC"),
    "site": _SITE,
    "region": _REGION,
    "phase": _PHASE,
    "p50_ms": _ms("Median of the hour; null where nothing was measured."),
}

CHANGES: Frame = {
    "site": _SITE,
    "region": _REGION,
    "phase": _PHASE,
    "at": Column(TIME, "The first hour of the new level.", "UTC"),
    "before_ms": _ms("Usual hourly median before it, back to the change before; the daily rhythm is taken out."),
    "after_ms": _ms("The same after it, up to the next change."),
    "ratio": Column(pl.Float64(), "after / before: above 1 it became slower."),
    "p_value": _P_VALUE,
    "hours_before": Column(pl.Int32(), "Hours that before_ms rests on.", "h"),
    "hours_after": Column(pl.Int32(), "Hours that after_ms rests on.", "h"),
}

ANOMALIES: Frame = {
    "site": _SITE,
    "region": _REGION,
    "phase": _PHASE,
    "at": Column(TIME, "Start of the hour.", "UTC"),
    "p50_ms": _ms("Median of the hour."),
    "expected_ms": _ms("Median of the hours that it is held against."),
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
    "inside_ms": _ms("Of a phase: its median in the box."),
    "outside_ms": _ms("Of a phase: its median outside."),
    "difference_ms": _ms("Of a phase: inside_ms - outside_ms."),
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
    "site": _SITE,
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
    "left_ms": _ms("The quantile of the first, within 1.1 %."),
    "right_ms": _ms("The quantile of the second."),
    "difference_ms": _ms("right_ms - left_ms."),
    "low_ms": _ms("The difference is at least this, in 95 of 100 such comparisons; null where blocks are too few."),
    "high_ms": _ms("And at most this."),
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

DICTIONARY: Mapping[str, Frame] = {
    "ticks": TICKS,
    "hours": HOURS,
    "rollups": ROLLUPS,
    "uptime": UPTIME,
    "exact": EXACT,
    "account": ACCOUNT,
    "waterfall": WATERFALL,
    "outages": OUTAGES,
    "reliability": RELIABILITY,
    "apdex": APDEX,
    "spans": SPANS,
    "site_spans": SITE_SPANS,
    "periods": PERIODS,
    "sites": SITES,
    "regions": REGIONS,
    "transitions": TRANSITIONS,
    "snapshots": SNAPSHOTS,
    "fleet_samples": FLEET_SAMPLES,
    "decisions": DECISIONS,
    "slo": SLO,
    "budget": BUDGET,
    "forecast": FORECAST,
    "burn": BURN,
    "medians": MEDIANS,
    "changes": CHANGES,
    "anomalies": ANOMALIES,
    "explained": EXPLAINED,
    "together": TOGETHER,
    "shared": SHARED,
    "compared": COMPARED,
}


def schema(frame: Frame, names: Iterable[str] | None = None) -> pl.Schema:
    """The frame's schema, or that of the named columns."""
    return pl.Schema({name: frame[name].dtype for name in (frame if names is None else names)})


def check(frame: AnyFrame, promised: Frame, *, needs: Iterable[str] | None = None) -> AnyFrame:
    """The frame itself, if it holds what was promised. Errors: FrameError naming every difference.

    Without `needs` the columns must be exactly those promised; with it those named must be there, others may.
    """
    wanted, found = schema(promised, needs), frame.collect_schema()
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [
        f"{name} is {found[name]}, not {dtype}"
        for name, dtype in wanted.items()
        if name in found and found[name] != dtype
    ]
    if needs is None:
        problems += [f"{name} is not part of it" for name in found if name not in wanted]
    if problems:
        raise FrameError("the frame is not as published: " + "; ".join(problems))
    return frame


_STORED = {
    "outcome": pl.Series([outcome.value for outcome in Outcome], dtype=OUTCOME),
    "kind": pl.Series([kind.value for kind in Kind], dtype=KIND),
    "clock": pl.Series([clock.value for clock in Clock], dtype=CLOCK),
    "source": pl.Series([source.value for source in Source], dtype=SOURCE),
}
_STATES = pl.Series([STATE_OF[outcome].value for outcome in Outcome], dtype=STATE)


def decoded(name: str) -> pl.Expr:
    """A column of codes (outcome, kind, clock, source), as the store keeps them, in words."""
    words = _STORED[name]
    return pl.col(name).replace_strict(list(range(len(words))), words, return_dtype=words.dtype)


def state_of(outcome: str = "outcome") -> pl.Expr:
    """The state that a stored outcome code stands for."""
    return pl.col(outcome).replace_strict(list(range(len(_STATES))), _STATES, return_dtype=STATE).alias("state")
