"""What an attempt is when its deadline passed: the phase that it was in says it."""

from __future__ import annotations

from pipeline.vocabulary import Outcome
from workers.probes.racing import told
from workers.probes.trace import ProbeError, Trace


def late(trace: Trace, timeout_s: float) -> tuple[Outcome, str]:
    """The outcome of an attempt that did not end in time, and a sentence."""
    within = f"within {timeout_s:g} s"
    if trace.to_proxy:
        return Outcome.PROBE_NETWORK, f"The proxy of this region did not accept a connection {within}"
    match trace.phase:
        case "dns":
            silent = next(iter(trace.failures), None)
            return (silent.outcome, silent.detail) if silent else (Outcome.DNS, f"The name was not resolved {within}")
        case None | "connect":
            return _unconnected(trace, within)
        case "tls":
            return Outcome.TIMEOUT, f"Connected, but no TLS handshake {within}"
        case "ttfb":
            return Outcome.TIMEOUT, f"Connected, but no answer {within}"
        case "transfer":
            part = (
                "the headers did not end" if trace.status is None else f"the body did not end after {trace.bytes} bytes"
            )
            return Outcome.TIMEOUT, f"The answer was not complete {within}: {part}"


def _unconnected(trace: Trace, within: str) -> tuple[Outcome, str]:
    silent = ProbeError(Outcome.CONNECT_TIMEOUT, f"No connection {within}")
    worst = told([*trace.failures, *[silent] * max(1, trace.tried - len(trace.failures))])
    return worst.outcome, worst.detail
