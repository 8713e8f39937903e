"""What an attempt becomes; nothing that we do wrong becomes a down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs

from pipeline.vocabulary import Check, Clock, Expect, Outcome, Phases, Probe, Snapshot, Spec, State
from workers.attempts import UNSEEN_MS, Doubt, confirmation_of, error_ms, is_late, tick_of

AT = datetime(2026, 1, 1, tzinfo=UTC)
CHECK = Check(1, 1, AT, 7, 30, Spec("https://example.org/", confirmations=1, spacing_s=5))
FAILED = Probe(Outcome.STATUS, Phases(connect_ms=1), 20.0, 503)


def test_a_failed_first_attempt_is_confirmed_and_a_failed_last_one_is_final() -> None:
    first = tick_of(CHECK, FAILED, started_at=AT, doubt=Doubt(0.5), prober="p")
    assert not first.final
    again = confirmation_of(CHECK, first, now=AT)
    assert again is not None
    assert (again.attempt, again.not_before, again.scheduled_at) == (1, AT + timedelta(seconds=5), AT)
    last = tick_of(again, FAILED, started_at=AT, doubt=Doubt(0.5), prober="p")
    assert last.final
    assert confirmation_of(again, last, now=AT) is None


def test_a_good_attempt_is_final() -> None:
    tick = tick_of(CHECK, Probe(Outcome.OK, latency_ms=20.0), started_at=AT, doubt=Doubt(0.5), prober="p")
    assert tick.final
    assert tick.trusted


def test_a_time_out_while_we_stood_still_is_ours() -> None:
    tick = tick_of(CHECK, Probe(Outcome.TIMEOUT, latency_ms=10_000.0), started_at=AT, doubt=Doubt(1_500), prober="p")
    assert (tick.outcome, tick.state, tick.final) == (Outcome.WORKER_OVERLOAD, State.UNKNOWN, True)


def test_a_server_that_hung_up_while_we_stood_still_had_waited_for_us() -> None:
    closed = Probe(Outcome.RESET, latency_ms=3_000.0)
    assert tick_of(CHECK, closed, started_at=AT, doubt=Doubt(1_500), prober="p").outcome is Outcome.WORKER_OVERLOAD
    assert tick_of(CHECK, closed, started_at=AT, doubt=Doubt(500), prober="p").outcome is Outcome.RESET


def test_a_site_is_slow_where_it_is_so_by_more_than_our_error() -> None:
    check = structs.replace(CHECK, spec=structs.replace(CHECK.spec, expect=Expect(max_latency_ms=200)))
    slow = Probe(Outcome.SLOW, latency_ms=230.0, detail="It took 230 ms", snapshot=Snapshot("answer"))
    tick = tick_of(check, slow, started_at=AT, doubt=Doubt(29), prober="p")
    assert (tick.outcome, tick.detail) == (Outcome.SLOW, "It took 230 ms")
    tick = tick_of(check, slow, started_at=AT, doubt=Doubt(31), prober="p")
    assert (tick.outcome, tick.detail, tick.snapshot, tick.trusted) == (Outcome.OK, None, None, False)


def test_a_latency_with_a_large_error_is_not_trusted() -> None:
    tick = tick_of(CHECK, Probe(Outcome.OK, latency_ms=20.0), started_at=AT, doubt=Doubt(80), prober="p")
    assert not tick.trusted
    assert tick.error_ms == 80


def test_by_the_kernel_the_error_is_what_the_probe_and_the_references_say_and_not_a_stall() -> None:
    probe = Probe(Outcome.OK, latency_ms=20.0, clock=Clock.KERNEL, error_ms=0.1)
    tick = tick_of(CHECK, probe, started_at=AT, doubt=Doubt(80, 80, 0.2, 90), prober="p")
    assert tick.error_ms == pytest.approx(0.3 + UNSEEN_MS)
    assert tick.trusted
    assert tick.clock is Clock.KERNEL


def test_what_was_read_off_the_loops_clock_beside_adds_its_own_doubt() -> None:
    probe = Probe(Outcome.OK, latency_ms=20.0, clock=Clock.KERNEL, error_ms=0.1, looped=(1.0, 1.1))
    assert error_ms(probe, Doubt(80, 3, 0.2, 90)) == pytest.approx(3.3 + UNSEEN_MS)


def test_by_the_loops_clock_the_error_is_the_worse_of_stall_and_reference() -> None:
    probe = Probe(Outcome.OK, latency_ms=20.0)
    assert error_ms(probe, Doubt(stall_ms=8, kernel_ms=0.2, loop_ms=5)) == 8
    assert error_ms(probe, Doubt(stall_ms=2, kernel_ms=0.2, loop_ms=5)) == 5


def test_without_a_reference_the_error_is_the_loops_stall() -> None:
    probe = Probe(Outcome.OK, latency_ms=20.0, clock=Clock.KERNEL, error_ms=0.1)
    assert error_ms(probe, Doubt(4, 1)) == pytest.approx(4.1)


def test_a_time_out_while_the_reference_was_late_too_is_ours() -> None:
    late = Doubt(0.5, kernel_ms=0.1, loop_ms=1_500)
    tick = tick_of(CHECK, Probe(Outcome.TIMEOUT, latency_ms=10_000.0), started_at=AT, doubt=late, prober="p")
    assert tick.outcome is Outcome.WORKER_OVERLOAD
    punctual = late._replace(loop_ms=200)
    tick = tick_of(CHECK, Probe(Outcome.TIMEOUT, latency_ms=10_000.0), started_at=AT, doubt=punctual, prober="p")
    assert tick.outcome is Outcome.TIMEOUT


def test_late_is_later_than_the_interval_and_five_seconds() -> None:
    assert not is_late(CHECK, AT + timedelta(seconds=30))
    assert is_late(CHECK, AT + timedelta(seconds=31))
    quick = structs.replace(CHECK, interval_s=1)
    assert not is_late(quick, AT + timedelta(seconds=5))
    assert is_late(quick, AT + timedelta(seconds=6))
    confirming = structs.replace(CHECK, attempt=1, not_before=AT + timedelta(seconds=20))
    assert not is_late(confirming, AT + timedelta(seconds=50))
