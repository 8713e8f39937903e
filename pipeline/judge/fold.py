"""A batch of ticks into what holds now: standings, verdicts and the transitions between them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from msgspec import Struct, field

from pipeline.judge.verdict import LATENESS_WINDOW, Standing, fold, verdict, vote
from pipeline.vocabulary import Kind, State, Tick, Transition

AHEAD = timedelta(minutes=1)  # no slot that was probed lies further ahead than this


class Watched(Struct):
    """A site as the judge sees it: the verdict in force, and each active region's standing and settling time."""

    state: State = State.UNKNOWN
    since: datetime | None = None
    regions: dict[int, Standing] = field(default_factory=dict)
    settle_s: dict[int, float] = field(default_factory=dict)


class Judged(Struct):
    """What a batch changed: (site, region) pairs, sites, and the transitions in the order of their times."""

    series: set[tuple[int, int]] = field(default_factory=set)
    sites: set[int] = field(default_factory=set)
    transitions: list[Transition] = field(default_factory=list)


def judge(watched: Mapping[int, Watched], ticks: Iterable[Tick], *, now: datetime) -> Judged:
    """Fold the ticks, in the order of their slots, into `watched` (changed in place).

    The verdict is taken at each tick's own time, so that a backlog worked off late tells the same story as one
    that came in time, and a replay tells it again. Ticks of series that are no longer active change nothing.
    """
    judged = Judged()
    for tick in sorted(ticks, key=lambda t: (t.scheduled_at, t.attempt)):
        site = watched.get(tick.site_id)
        standing = site.regions.get(tick.region_id) if site else None
        if site is None or standing is None:
            continue
        settle_s = site.settle_s[tick.region_id]
        if not _counts(tick, now, settle_s):
            continue
        if standing.slot_at is not None and standing.slot_at > now + AHEAD:
            standing = Standing()  # judged by a clock that was wrong; it must not silence the truth
        after = fold(standing, tick, settle_s=settle_s)
        if after is standing:
            continue
        site.regions[tick.region_id] = after
        judged.series.add((tick.site_id, tick.region_id))
        _decide(tick.site_id, site, tick.scheduled_at, judged)
    return judged


def silence(watched: Mapping[int, Watched], *, now: datetime) -> Judged:
    """Verdicts of sites that nobody reports on any more."""
    judged = Judged()
    for site_id, site in watched.items():
        _decide(site_id, site, now, judged)
    return judged


def _counts(tick: Tick, now: datetime, settle_s: float) -> bool:
    """Whether a tick may change what holds now: the slot's final word, scheduled, and in time for how it settles."""
    in_time = now - tick.scheduled_at <= LATENESS_WINDOW + timedelta(seconds=settle_s)
    return tick.final and tick.kind is Kind.SCHEDULED and in_time


def _decide(site_id: int, site: Watched, at: datetime, judged: Judged) -> None:
    votes = {region: vote(standing, at) for region, standing in site.regions.items()}
    state = verdict(votes)
    if state is not site.state or site.since is None:
        at = max(at, site.since or at)  # a region that settles later speaks of an earlier slot: history goes forward
        if state is not site.state:
            names = {str(region): str(seen) for region, seen in votes.items()}
            judged.transitions.append(Transition(site_id, at, site.state, state, names))
        site.state, site.since = state, at
        judged.sites.add(site_id)
