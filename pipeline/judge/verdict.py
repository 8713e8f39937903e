"""From a region's tick to the site's verdict: pure, at event time, the same online and in a replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from msgspec import Struct

from pipeline.vocabulary import Outcome, State, Tick

INTERVALS_HELD = 2  # k: without a newer tick a state is believed for this many intervals
# Ticks that come later than this after their slot change rollups, but nobody is alarmed about the past.
LATENESS_WINDOW = timedelta(minutes=10)


class Standing(Struct, frozen=True):
    """What one region says of a site since its newest judged slot."""

    state: State = State.UNKNOWN
    outcome: Outcome | None = None
    since: datetime | None = None
    slot_at: datetime | None = None
    fresh_until: datetime | None = None
    detail: str | None = None
    latency_ms: float | None = None
    status: int | None = None
    expires_at: datetime | None = None


def fold(standing: Standing, tick: Tick, *, settle_s: float) -> Standing:
    """The standing after `tick`. A slot not newer than the judged one changes nothing, so redelivery is harmless.

    `settle_s` is how long after its slot a check's last attempt may come in: a region that is still
    confirming a failure is not silent.
    """
    if standing.slot_at is not None and tick.scheduled_at <= standing.slot_at:
        return standing
    held = timedelta(seconds=INTERVALS_HELD * tick.interval_s + settle_s)
    return Standing(
        state=tick.state,
        outcome=tick.outcome,
        since=standing.since if standing.state is tick.state and standing.since else tick.scheduled_at,
        slot_at=tick.scheduled_at,
        fresh_until=tick.scheduled_at + held,
        detail=tick.detail,
        latency_ms=tick.latency_ms,
        status=tick.status,
        # A failure may end before there is a certificate; an answer without one says that there is none.
        expires_at=tick.expires_at or (None if tick.state in (State.UP, State.DEGRADED) else standing.expires_at),
    )


def vote(standing: Standing, at: datetime) -> State:
    """What the region says at a time: its state while that is fresh, unknown after."""
    fresh = standing.fresh_until is not None and at < standing.fresh_until
    return standing.state if fresh else State.UNKNOWN


def verdict(votes: Mapping[int, State], quorum: int | None = None) -> State:
    """The vote of a site's regions, keyed by region. See `decided`."""
    counts = Counter(votes.values())
    known = len(votes) - counts[State.UNKNOWN]
    return decided(known, counts[State.DOWN], counts[State.DEGRADED], len(votes), quorum)


def decided(known: int, down: int, degraded: int, regions: int, quorum: int | None = None) -> State:
    """The verdict, of how many regions are to check a site, know its state, hold it down, hold it degraded.

    Down needs the quorum: a majority of the regions that know if none is named, and at least two of them where the
    site has two. Where fewer than that know anything, nobody knows. A minority that sees it down makes it degraded.
    """
    least = min(quorum or 2, regions)
    if not known or known < least:
        return State.UNKNOWN
    if down >= (least if quorum else max(least, known // 2 + 1)):
        return State.DOWN
    return State.DEGRADED if down or degraded else State.UP
