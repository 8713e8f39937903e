"""What a latency is made of: waits by the kernel's clock, the loop's where that is missing, and their errors."""

from __future__ import annotations

import socket
import struct
import time
from types import SimpleNamespace
from typing import cast

import pytest

from pipeline.vocabulary import Clock, Outcome
from workers.probes import trace as traces
from workers.probes.connection import Connection, Stood
from workers.probes.kernel import (
    SO_TIMESTAMPNS,
    TCP_INFO_BYTES,
    Meter,
    arrival_ns,
    clocks_apart_ns,
    occupied_ns,
    round_trip_of,
)
from workers.probes.trace import Trace
from workers.reference import NEWEST, STALE_S, Residual, Residuals
from workers.stalls import NOTABLE_MS, Stalls

MS = 1_000_000


def info(*, retransmits: int = 0, round_trip_us: int = 0, total: int = 0) -> bytes:
    words = bytearray(TCP_INFO_BYTES)
    words[2] = retransmits
    struct.pack_into("I", words, 68, round_trip_us)
    struct.pack_into("I", words, 100, total)
    return bytes(words)


def connection(meter: Meter, opened: Stood, round_trip_s: float | None = 0.003) -> Connection:
    """What a trace asks of a connection."""
    return cast("Connection", SimpleNamespace(meter=meter, opened=opened, round_trip_s=lambda: round_trip_s))


def answered(meter: Meter, trace: Trace, *, round_trip_s: float | None = 0.003) -> Trace:
    """An attempt that the loop saw as 10 ms of connect, 50 of waiting and 5 of reading; the kernel says 30 and 2."""
    trace.enter("connect", 100.0)
    trace.connected(connection(meter, Stood(100.0, 100.01), round_trip_s))
    trace.enter("ttfb", 100.01)
    meter.sent(0, MS // 2)
    meter.received(30 * MS)
    trace.enter("transfer", 100.06)
    meter.received(32 * MS)
    trace.leave(100.065)
    return trace


# The meter


def test_a_wait_is_from_a_send_to_the_last_byte_that_answers_it() -> None:
    meter = Meter()
    meter.sent(10 * MS, 10 * MS)
    meter.received(14 * MS)
    meter.received(15 * MS)
    assert meter.take() == (5 * MS, 0)


def test_what_we_do_between_a_receipt_and_the_next_send_is_no_wait() -> None:
    meter = Meter()
    meter.sent(0, 0)
    meter.received(4 * MS)
    meter.sent(100 * MS, 100 * MS)
    meter.received(101 * MS)
    assert meter.take() == (5 * MS, 0)


def test_of_several_sends_in_a_row_the_first_starts_the_wait() -> None:
    meter = Meter()
    meter.sent(0, 1 * MS)
    meter.sent(5 * MS, 9 * MS)
    meter.received(20 * MS)
    assert meter.take() == (20 * MS, 1 * MS)


def test_a_wait_is_never_negative_and_whoever_speaks_first_answers_nothing() -> None:
    meter = Meter()
    meter.received(3 * MS)
    meter.sent(10 * MS, 11 * MS)
    meter.received(9 * MS)
    assert meter.take() == (0, 0)


def test_a_send_may_have_left_late_but_not_after_its_answer_came() -> None:
    meter = Meter()
    meter.sent(0, 7 * MS)
    meter.received(4 * MS)
    assert meter.take() == (4 * MS, 4 * MS)


def test_a_receipt_without_a_stamp_makes_it_blind() -> None:
    meter = Meter()
    meter.sent(0, 0)
    meter.received(None)
    assert meter.blind


# What the kernel says


def test_the_stamp_is_found_among_the_ancillary_data() -> None:
    stamp = struct.pack("@ll", 12, 345)
    assert arrival_ns([(socket.SOL_SOCKET, SO_TIMESTAMPNS, stamp)]) == 12_000_000_345
    assert arrival_ns([(socket.SOL_SOCKET, SO_TIMESTAMPNS, b"")]) is None
    assert arrival_ns([]) is None


def test_a_round_trip_counts_where_no_syn_was_lost() -> None:
    assert round_trip_of(info(round_trip_us=1500)) == pytest.approx(0.0015)
    assert round_trip_of(info(round_trip_us=1500, total=1)) is None
    assert round_trip_of(info(round_trip_us=1500, retransmits=1)) is None
    assert round_trip_of(info()) is None
    assert round_trip_of(b"") is None


def test_the_clocks_stay_apart_by_the_same() -> None:
    assert abs(clocks_apart_ns() - (time.time_ns() - time.monotonic_ns())) < 5_000 * MS


# The trace


def test_a_whole_answer_is_timed_by_the_kernel_and_its_phases_add_up() -> None:
    trace = answered(Meter(), Trace())
    trace.settle()
    found = trace.probe(Outcome.OK)
    assert found.clock is Clock.KERNEL
    assert found.latency_ms == pytest.approx(3 + 32)
    assert found.phases.connect_ms == pytest.approx(3)
    assert found.phases.ttfb_ms == pytest.approx(30)
    assert found.phases.transfer_ms == pytest.approx(2)
    assert found.error_ms == pytest.approx(0.5, abs=0.1)
    assert found.looped is None


def test_what_broke_off_is_timed_by_the_loop() -> None:
    found = answered(Meter(), Trace()).probe(Outcome.PROTOCOL)
    assert found.clock is Clock.LOOP
    assert found.latency_ms == pytest.approx(65)
    assert found.phases.ttfb_ms == pytest.approx(50)


@pytest.mark.parametrize("step_ns", [-3_600_000 * MS, 2 * MS])
def test_a_step_of_the_wall_clock_leaves_the_loops(monkeypatch: pytest.MonkeyPatch, step_ns: int) -> None:
    trace = answered(Meter(), Trace())
    real = clocks_apart_ns()
    monkeypatch.setattr(traces, "clocks_apart_ns", lambda: real + step_ns)
    trace.settle()
    assert trace.clock is Clock.LOOP
    assert trace.latency_ms() == pytest.approx(65)


def test_a_receipt_that_nobody_stamped_leaves_the_loops_clock() -> None:
    meter = Meter()
    trace = answered(meter, Trace())
    trace.enter("transfer", 100.065)
    meter.received(None)
    trace.leave(100.07)
    trace.settle()
    assert trace.clock is Clock.LOOP


def test_a_handshake_whose_syn_was_lost_is_read_off_the_loops_clock() -> None:
    trace = answered(Meter(), Trace(), round_trip_s=None)
    trace.settle()
    found = trace.probe(Outcome.OK)
    assert found.clock is Clock.KERNEL
    assert found.phases.connect_ms == pytest.approx(10)
    assert found.looped == (100.0, 100.01)


def test_a_look_up_is_read_off_the_loops_clock() -> None:
    trace = Trace()
    trace.enter("dns", 99.0)
    trace.leave(99.25)
    answered(Meter(), trace)
    trace.settle()
    found = trace.probe(Outcome.OK)
    assert found.phases.dns_ms == pytest.approx(250)
    assert found.latency_ms == pytest.approx(250 + 35)
    assert found.looped == (99.0, 99.25)


@pytest.mark.parametrize(("occupied_ms", "unsure_ms"), [(40, 40), (400, 250)])
def test_a_look_up_may_have_ended_while_we_were_busy_but_took_no_less_than_nothing(
    monkeypatch: pytest.MonkeyPatch, occupied_ms: int, unsure_ms: int
) -> None:
    readings = iter([0, occupied_ms * MS, 0])
    monkeypatch.setattr(traces, "occupied_ns", lambda: next(readings))
    trace = Trace()
    trace.enter("dns", 99.0)
    trace.leave(99.25)
    answered(Meter(), trace)
    trace.settle()
    assert trace.probe(Outcome.OK).error_ms == pytest.approx(unsure_ms + 0.5, abs=0.1)


def test_work_and_waiting_for_a_processor_occupy_us_and_sleep_does_not() -> None:
    before = occupied_ns()
    time.sleep(0.05)
    slept_ns = occupied_ns() - before
    until = time.thread_time_ns() + 50 * MS
    while time.thread_time_ns() < until:
        pass
    assert occupied_ns() - before - slept_ns >= 50 * MS


def test_the_winner_of_a_race_had_to_wait_for_its_start() -> None:
    trace = Trace()
    trace.tried = 2
    trace.enter("connect", 100.0)
    trace.connected(connection(Meter(), Stood(100.25, 100.27)))
    trace.settle()
    found = trace.probe(Outcome.OK)
    assert found.phases.connect_ms == pytest.approx(250 + 3)
    assert found.looped == (100.0, 100.25)


def test_redirects_add_up() -> None:
    trace = answered(Meter(), Trace())
    trace.dialing()
    answered(Meter(), trace)
    trace.settle()
    assert trace.latency_ms() == pytest.approx(2 * 35)


def test_the_end_of_a_stream_that_ends_the_answer_is_waited_for_too() -> None:
    trace = answered(Meter(), Trace())
    trace.lingered(100.065, 100.165)
    trace.settle()
    found = trace.probe(Outcome.OK)
    assert found.phases.transfer_ms == pytest.approx(2 + 100)
    assert found.looped == (100.065, 100.165)


# What speaks against it


def test_the_references_that_overlapped_an_attempt_count_the_worst_of_each_clock() -> None:
    kept = Residuals()
    kept.add(Residual(1.0, 1.05, 9.0, 9.0))
    for at in range(NEWEST):
        kept.add(Residual(2.0 + at / 10, 2.05 + at / 10, 0.1, 5.0 + at))
    kept.add(Residual(7.0, 7.05, 0.7, 0.7))
    worst = kept.worst(2.02, 2.5)
    assert worst is not None
    assert (worst.kernel_ms, worst.loop_ms) == (0.1, 7.0)


def test_an_attempt_between_two_references_is_judged_by_the_newest() -> None:
    kept = Residuals()
    assert kept.worst(0.0, 1.0) is None
    kept.add(Residual(1.0, 1.05, 0.2, 0.3))
    assert kept.worst(1.1, 1.2) == Residual(1.0, 1.05, 0.2, 0.3)
    assert kept.worst(1.06 + STALE_S, 1.07 + STALE_S) is None


def test_stalls_count_where_they_reach_into_a_time() -> None:
    stalls = Stalls()
    now = time.monotonic()
    stalls._notes.append((now - 10, 300.0))
    assert stalls.longest_ms(now - 10.1, now - 10.05) == pytest.approx(300)
    assert stalls.longest_ms(now - 11, now - 10.5) == NOTABLE_MS
    assert stalls.longest_ms(now - 9, now - 8) == NOTABLE_MS
