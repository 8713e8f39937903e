"""What an attempt becomes: a tick, and perhaps a further check. Pure; the prober is the loop around it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec import structs

from pipeline.vocabulary import Check, Clock, Outcome, Probe, Source, State, Tick

# A check taken later than this after its time says nothing about the site at that time.
LEAST_GRACE = timedelta(seconds=5)
# Above this share of the time-out, our own lateness may be the whole failure.
OURS_SHARE = 0.1
# What a deadline of ours ends, and that of a server which waited for us.
WAITED = frozenset({Outcome.TIMEOUT, Outcome.CONNECT_TIMEOUT, Outcome.DNS, Outcome.RESET})
# A latency whose error is larger than both is not worth a place in a distribution.
TRUST_ERROR_MS, TRUST_SHARE = 25.0, 0.1
# What no stamp sees: the ways from the network card to the stamp, and from our send to the card. 0.02 to 0.06 ms on
# loopback, and a few references do not show the worst of it.
UNSEEN_MS = 0.1


class Doubt(NamedTuple):
    """How wrong our own times were during an attempt, in ms, as far as we know.

    `stall_ms` is the longest that our loop stood still, `looped_ms` the same over what alone was read off its clock
    (`Probe.looped`). The rest is what the references showed: how far the kernel's and the loop's clock were off, None
    where there were none.
    """

    stall_ms: float
    looped_ms: float = 0.0
    kernel_ms: float | None = None
    loop_ms: float | None = None

    @property
    def ours_ms(self) -> float:
        """What of an attempt's time may have been our own lateness."""
        return max(self.stall_ms, self.loop_ms or 0.0)


def error_ms(probe: Probe, doubt: Doubt) -> float:
    """How far the latency may be off: what the probe knows of it, and the doubt in the clock that it was read from."""
    if doubt.kernel_ms is None or probe.clock is Clock.LOOP:
        return probe.error_ms + doubt.ours_ms
    return probe.error_ms + UNSEEN_MS + doubt.kernel_ms + (doubt.looped_ms if probe.looped else 0.0)


def grace(check: Check) -> timedelta:
    return max(timedelta(seconds=check.interval_s), LEAST_GRACE)


def is_late(check: Check, now: datetime) -> bool:
    """Too late to probe: the answer would belong to another time."""
    return now - check.starts_at > grace(check)


def tick_of(check: Check, probe: Probe, *, started_at: datetime, doubt: Doubt, prober: str) -> Tick:
    """The tick of a probe, with its error. A time-out while we were late ourselves is ours, never the site's."""
    error = error_ms(probe, doubt)
    if probe.outcome in WAITED and doubt.ours_ms > OURS_SHARE * check.spec.timeout_s * 1000:
        detail = f"the prober itself was {doubt.ours_ms:.0f} ms late while it waited"
        probe = structs.replace(probe, outcome=Outcome.WORKER_OVERLOAD, detail=detail)
    elif probe.outcome is Outcome.SLOW and _perhaps_in_time(check, probe, error):
        probe = structs.replace(probe, outcome=Outcome.OK, detail=None, snapshot=None)
    return _tick(
        probe,
        check,
        started_at=started_at,
        error_ms=error,
        trusted=error <= max(TRUST_ERROR_MS, TRUST_SHARE * (probe.latency_ms or 0.0)),
        prober=prober,
    )


def _perhaps_in_time(check: Check, probe: Probe, error: float) -> bool:
    """Whether what a latency is above its limit may be our own error."""
    limit = check.spec.expect.max_latency_ms
    return limit is not None and probe.latency_ms is not None and probe.latency_ms - error <= limit


def unprobed(check: Check, outcome: Outcome, *, detail: str, prober: str, source: Source = Source.PROBER) -> Tick:
    """The tick of a check that nobody probed, with the reason."""
    return _tick(
        Probe(outcome, detail=detail),
        check,
        started_at=None,
        error_ms=None,
        trusted=False,
        prober=prober,
        source=source,
    )


def confirmation_of(check: Check, tick: Tick, *, now: datetime) -> Check | None:
    """The next attempt where this one failed and attempts remain."""
    if tick.final:
        return None
    spacing = timedelta(seconds=check.spec.spacing_s)
    return structs.replace(check, attempt=check.attempt + 1, not_before=now + spacing)


def _tick(
    probe: Probe,
    check: Check,
    *,
    started_at: datetime | None,
    error_ms: float | None,
    trusted: bool,
    prober: str,
    source: Source = Source.PROBER,
) -> Tick:
    tick = Tick(
        site_id=check.site_id,
        region_id=check.region_id,
        scheduled_at=check.scheduled_at,
        attempt=check.attempt,
        started_at=started_at,
        outcome=probe.outcome,
        final=True,
        interval_s=check.interval_s,
        revision=check.revision,
        prober=prober,
        phases=probe.phases,
        latency_ms=probe.latency_ms,
        error_ms=error_ms,
        status=probe.status,
        ip=probe.ip,
        bytes=probe.bytes,
        detail=probe.detail,
        clock=probe.clock,
        trusted=trusted,
        kind=check.kind,
        source=source,
        expires_at=probe.expires_at,
        snapshot=probe.snapshot,
    )
    confirmable = tick.state is State.DOWN and check.attempt < check.spec.confirmations
    return structs.replace(tick, final=not confirmable)
