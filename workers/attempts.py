"""What an attempt becomes: a tick, and perhaps a further check. Pure; the prober is the loop around it."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import structs

from pipeline.vocabulary import Check, Outcome, Probe, Source, State, Tick

# A check taken later than this after its time says nothing about the site at that time.
LEAST_GRACE = timedelta(seconds=5)
# Above this share of the time-out, a stall of our own loop may be the whole failure.
STALL_SHARE = 0.1
# A latency whose error is larger than both is not worth a place in a distribution.
TRUST_ERROR_MS, TRUST_SHARE = 25.0, 0.1


def grace(check: Check) -> timedelta:
    return max(timedelta(seconds=check.interval_s), LEAST_GRACE)


def is_late(check: Check, now: datetime) -> bool:
    """Too late to probe: the answer would belong to another time."""
    return now - check.starts_at > grace(check)


def tick_of(check: Check, probe: Probe, *, started_at: datetime, stall_ms: float, prober: str) -> Tick:
    """The tick of a probe. `stall_ms` is the longest that our own loop stood still meanwhile.

    A time-out while we stood still is ours, never the site's.
    """
    outcome, detail = probe.outcome, probe.detail
    timed_out = outcome in (Outcome.TIMEOUT, Outcome.CONNECT_TIMEOUT, Outcome.DNS)
    if timed_out and stall_ms > STALL_SHARE * check.spec.timeout_s * 1000:
        outcome, detail = Outcome.WORKER_OVERLOAD, f"the prober stood still for {stall_ms:.0f} ms while it waited"
    latency_ms = probe.latency_ms
    trusted = stall_ms <= max(TRUST_ERROR_MS, TRUST_SHARE * (latency_ms or 0.0))
    return _tick(
        structs.replace(probe, outcome=outcome, detail=detail),
        check,
        started_at=started_at,
        error_ms=stall_ms,
        trusted=trusted,
        prober=prober,
    )


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
        trusted=trusted,
        kind=check.kind,
        source=source,
    )
    confirmable = tick.state is State.DOWN and check.attempt < check.spec.confirmations
    return structs.replace(tick, final=not confirmable)
