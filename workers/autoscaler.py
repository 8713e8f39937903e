"""How many probers a region needs: by how late checks start, how old the backlog is, and how much arrives. Pure.

By Little's law, checks that arrive at a rate and take so long each keep rate times duration probes in flight. That
says at once how many probers a load needs, so one decision suffices where adding one at a time would take minutes;
lateness is the judge of what the law does not see (a prober that is out of CPU).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from pipeline.store.beats import Decision

APART = timedelta(seconds=30)  # at most one decision a region in this time
# Checks are pushed once a second, so a shorter time tells no rate. A longer one lags behind a load that has just risen.
ARRIVAL_WINDOW = timedelta(seconds=2)
# Figures come once a second: three of them in a row ask for more probers before more come, since one decision has to do
# for half a minute.
SURE = timedelta(seconds=2.8)
AGREEING = 3
CALM = timedelta(seconds=60)  # fewer probers only after this long without needing more, …
SETTLED = timedelta(seconds=50)  # … and not on what was needed while the load fell: that is about to be forgotten
STALE = timedelta(seconds=10)  # older figures decide nothing
FILL = 0.8  # share of a prober's probes in flight that we plan with; the rest is for slow minutes
LATE_MS = 500.0  # p95 of how late checks start
HALF = 0.5  # with less than this share of the probes in flight, lateness may be one burst (a hundred new sites), …
LONG = timedelta(seconds=14)  # … until it has lasted for longer than its own window of ten seconds, …
MOSTLY = 0.8  # … in so many of the figures: one good second is no end of it
OVERDUE_S = 1.0  # how long a check may wait in the stream beyond its time


class Load(NamedTuple):
    """A region's figures at a time. `added` counts the checks ever sent to it, `overdue_s` is the backlog's age."""

    at: datetime
    added: int
    probe_s: float | None
    in_flight_limit: int
    lateness_p95_ms: float | None
    overdue_s: float


class Bounds(NamedTuple):
    """How many probers a region may have."""

    least: int
    most: int

    def clamp(self, count: int) -> int:
        return max(self.least, min(self.most, count))


class Need(NamedTuple):
    """How many probers a load asks for, and why in words."""

    at: datetime
    probers: int
    why: str
    figures: dict[str, float | None]


def need(loads: Sequence[Load], running: int) -> Need | None:
    """What the newest of the loads (in order of time) asks for; None where it tells too little."""
    newest = loads[-1]
    rate = arrivals_per_s(loads)
    figures = {
        "arrivals_per_s": rate and round(rate, 1),
        "probe_s": newest.probe_s,
        "lateness_p95_ms": newest.lateness_p95_ms,
        "overdue_s": round(newest.overdue_s, 1),
    }
    count, at_once, why = 1, 0.0, "little to do"
    if rate and newest.probe_s and newest.in_flight_limit:
        at_once = rate * newest.probe_s
        count = max(1, math.ceil(at_once / (newest.in_flight_limit * FILL)))
        why = (
            f"{rate:.0f} checks/s of {newest.probe_s * 1000:.0f} ms keep {at_once:.0f} probes in flight, "
            f"and a prober makes {newest.in_flight_limit} at most"
        )
    elif newest.in_flight_limit == 0:
        return None  # no prober has told us yet what it can
    crowded = at_once > HALF * running * newest.in_flight_limit
    lasting = _lasts(loads)
    if count <= running and is_late(newest) and (crowded or lasting):
        count = running + 1
        why = f"checks start {newest.lateness_p95_ms or 0:.0f} ms late (p95), the oldest waits {newest.overdue_s:.1f} s"
    return Need(newest.at, count, why, figures)


def _lasts(loads: Sequence[Load]) -> bool:
    """Whether checks have started late for most of the last seconds."""
    newest = loads[-1]
    lately = [load for load in loads if newest.at - load.at <= LONG + timedelta(seconds=1)]
    return newest.at - lately[0].at >= LONG and sum(map(is_late, lately)) >= MOSTLY * len(lately)


def is_late(load: Load) -> bool:
    return (load.lateness_p95_ms or 0.0) > LATE_MS or load.overdue_s > OVERDUE_S


def arrivals_per_s(loads: Sequence[Load]) -> float | None:
    """Checks a second over the last few seconds; None where there are not enough, or the stream began anew."""
    newest = loads[-1]
    before = [load for load in loads if newest.at - load.at >= ARRIVAL_WINDOW]
    if not before or newest.added < before[-1].added:
        return None
    return (newest.added - before[-1].added) / (newest.at - before[-1].at).total_seconds()


def decide(
    now: datetime,
    region_id: int,
    running: int,
    bounds: Bounds,
    needs: Sequence[Need],
    last_at: datetime | None,
) -> Decision | None:
    """The change to make now, None for none. `needs` are those of the last minute, in order of time."""
    within = bounds.clamp(running)
    if within != running:  # a person changed the bounds: that waits for nothing
        reason = f"the region may have {bounds.least} to {bounds.most} probers"
        return Decision(region_id, now, running, within, reason)
    if not needs or now - needs[-1].at > STALE or (last_at is not None and abs(now - last_at) < APART):
        return None
    newest = needs[-1]
    lately = [each for each in needs if newest.at - each.at <= SURE]
    most = max(lately, key=lambda each: each.probers)
    if len(lately) >= AGREEING and bounds.clamp(min(each.probers for each in lately)) > running:
        capped = f"; {bounds.most} is the most it may have" if most.probers > bounds.most else ""
        return Decision(region_id, now, running, bounds.clamp(most.probers), most.why + capped, most.figures)
    most = max(needs, key=lambda each: each.probers)
    calm_since = last_at if last_at and last_at > needs[0].at else needs[0].at
    wanted = bounds.clamp(most.probers)
    settled = bounds.clamp(max(each.probers for each in needs if newest.at - each.at <= SETTLED)) == wanted
    if wanted < running and settled and now - calm_since >= CALM - timedelta(seconds=2):
        reason = f"for {CALM.total_seconds():.0f} s no more than {wanted} needed: {newest.why}"
        return Decision(region_id, now, running, wanted, reason, newest.figures)
    return None
