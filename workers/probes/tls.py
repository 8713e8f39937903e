"""The TLS probe: a site is up where a handshake with it holds."""

from __future__ import annotations

from pipeline.vocabulary import Network, Outcome, Probe, Spec
from workers.probes.connection import Stream, TlsConnection
from workers.probes.network import DIALER, Dialer
from workers.probes.tcp import reach
from workers.probes.trace import ProbeError


async def probe(spec: Spec, network: Network, *, dialer: Dialer = DIALER) -> Probe:
    """Shake hands with a site once, within `spec.timeout_s`, and hang up.

    Whatever the other side can cause is an outcome. An exception is a fault of ours, and no statement about the site.
    """
    return await reach(spec, network, dialer, _finish)


async def _finish(stream: Stream) -> None:
    """Our last message is under way, or the server would count a handshake that broke off."""
    assert isinstance(stream, TlsConnection)
    try:
        await stream.finish()
    except OSError as error:
        raise ProbeError(Outcome.RESET, "The connection was reset at the end of the TLS handshake") from error
