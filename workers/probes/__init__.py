"""What can be checked, by URL scheme."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from pipeline.vocabulary import Network, Probe, Spec
from workers.probes import http, tcp, tls

# One attempt at a site. An exception is a fault of ours; whatever the site does is in the `Probe`.
ProbeFunction = Callable[[Spec, Network], Awaitable[Probe]]

PROBES: dict[str, ProbeFunction] = {
    "http": http.probe,
    "https": http.probe,
    "tcp": tcp.probe,
    "tls": tls.probe,
}
