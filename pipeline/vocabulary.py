"""The words of the house: frozen data, no I/O, no clock.

Everything that crosses a wire or a room is one of these. Times are timezone-aware UTC,
units end names. The structs encode as arrays, so a field is only ever appended, with a default:
an older reader skips what it does not know, a newer one fills in what is missing.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct, field, structs


class State(StrEnum):
    """What a site, or a site seen from one region, is."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"
    MAINTENANCE = "maintenance"
    PAUSED = "paused"


class Outcome(StrEnum):
    """The closed list of what a tick can say. Append only: the store keeps the position."""

    OK = "ok"
    SLOW = "slow"
    EXPIRING = "expiring"
    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"
    TIMEOUT = "timeout"
    RESET = "reset"
    PROTOCOL = "protocol"
    REDIRECT = "redirect"
    STATUS = "status"
    CONTENT = "content"
    TOO_LARGE = "too_large"
    MISSED = "missed"
    FAILED = "failed"
    LATE = "late"
    SCHEDULER_DOWN = "scheduler_down"
    WORKER_LOST = "worker_lost"
    WORKER_OVERLOAD = "worker_overload"
    PROBE_NETWORK = "probe_network"
    POISON = "poison"
    BLOCKED = "blocked"


def _state_of(outcome: Outcome) -> State:
    if outcome is Outcome.OK:
        return State.UP
    if outcome in (Outcome.SLOW, Outcome.EXPIRING):
        return State.DEGRADED
    # Declaration order carries the meaning: failures of the site end at `failed`, ours follow.
    order = list(Outcome)
    return State.DOWN if order.index(outcome) <= order.index(Outcome.FAILED) else State.UNKNOWN


STATE_OF: dict[Outcome, State] = {outcome: _state_of(outcome) for outcome in Outcome}
OUTCOME_CODES: dict[Outcome, int] = {outcome: code for code, outcome in enumerate(Outcome)}


class Kind(StrEnum):
    """Why a check was made. Only `scheduled` ones are part of uptime."""

    SCHEDULED = "scheduled"
    MANUAL = "manual"


class Clock(StrEnum):
    """What a latency was read from."""

    LOOP = "loop"
    KERNEL = "kernel"


class Source(StrEnum):
    """Who wrote a tick. A prober's tick replaces one of anybody else's."""

    PROBER = "prober"
    PUSHER = "pusher"
    RECONCILER = "reconciler"


class Expect(Struct, frozen=True, forbid_unknown_fields=True):
    """What a good answer looks like. `status` holds inclusive ranges."""

    status: tuple[tuple[int, int], ...] = ((200, 399),)

    def accepts_status(self, status: int) -> bool:
        return any(low <= status <= high for low, high in self.status)


class Network(Struct, frozen=True, array_like=True):
    """How a region reaches the world: its egress address, proxy and resolvers (`ip` or `ip:port`)."""

    source_address: str | None = None
    proxy: str | None = None
    resolvers: tuple[str, ...] = ()


class Spec(Struct, frozen=True, array_like=True):
    """Everything a probe needs to know about a site. The URL's scheme picks the probe."""

    url: str
    timeout_s: float = 10.0
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    expect: Expect = Expect()
    max_redirects: int = 10
    confirmations: int = 1
    spacing_s: float = 5.0


class Check(Struct, frozen=True, array_like=True):
    """A slot sent out: (site, region, scheduled_at) with its whole spec and the attempt it is.

    `sealed` is the generation of the region's key that the spec's header values are sealed with; 0: they are plain.
    """

    site_id: int
    region_id: int
    scheduled_at: datetime
    revision: int
    interval_s: int
    spec: Spec
    network: Network = Network()
    attempt: int = 0
    not_before: datetime | None = None
    epoch: int = 0
    kind: Kind = Kind.SCHEDULED
    sealed: int = 0

    @property
    def starts_at(self) -> datetime:
        """When to probe: the slot itself, or the agreed time of a confirmation."""
        return self.not_before or self.scheduled_at


# What the store's columns hold. A reader refuses more: a driver would cut it down to something that looks true.
Int2 = Annotated[int, Meta(ge=0, le=2**15 - 1)]
Int4 = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Milliseconds = Annotated[float, Meta(ge=0, le=1e9)]


class Phases(Struct, frozen=True, array_like=True):
    """Milliseconds by phase, summed over redirects; None where a phase was not reached or not needed."""

    dns_ms: Milliseconds | None = None
    connect_ms: Milliseconds | None = None
    tls_ms: Milliseconds | None = None
    ttfb_ms: Milliseconds | None = None
    transfer_ms: Milliseconds | None = None


class Tick(Struct, frozen=True, array_like=True):
    """What an attempt recorded. `latency_ms` is the whole attempt, `error_ms` how far it may be off.

    `final` says that no further attempt of this slot follows: it did not fail, or was the last.
    """

    site_id: Int4
    region_id: Int4
    scheduled_at: datetime
    attempt: Int2
    started_at: datetime | None
    outcome: Outcome
    final: bool
    interval_s: Int4
    revision: Int4
    prober: str
    phases: Phases = Phases()
    latency_ms: Milliseconds | None = None
    error_ms: Milliseconds | None = None
    status: Int2 | None = None
    ip: str | None = None
    bytes: Int4 | None = None
    detail: str | None = None
    clock: Clock = Clock.LOOP
    trusted: bool = True
    kind: Kind = Kind.SCHEDULED
    source: Source = Source.PROBER

    @property
    def state(self) -> State:
        return STATE_OF[self.outcome]

    @property
    def key(self) -> tuple[int, int, datetime, int]:
        return (self.site_id, self.region_id, self.scheduled_at, self.attempt)


def cleaned(tick: Tick) -> Tick:
    """The tick with text that every wire and store takes: no NUL, no lone surrogate. A hostile site may send either."""
    texts = {name: getattr(tick, name) for name in ("prober", "ip", "detail")}
    broken = {name: text for name, text in texts.items() if text is not None and _storable(text) != text}
    return structs.replace(tick, **{name: _storable(text) for name, text in broken.items()}) if broken else tick


def _storable(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class Probe(Struct, frozen=True):
    """What a probe saw, before the prober makes a tick of it. `detail` is one sentence for a person."""

    outcome: Outcome
    phases: Phases = Phases()
    latency_ms: float | None = None
    status: int | None = None
    ip: str | None = None
    bytes: int | None = None
    detail: str | None = None


class Revision(Struct, frozen=True):
    """One edit, as seen by one (site, region): from `effective_at` on, this is the schedule and the spec."""

    id: int
    site_id: int
    region_id: int
    effective_at: datetime
    active: bool
    interval_s: int
    spec: Spec | None = None
    network: Network = Network()


class Region(Struct, frozen=True):
    """A vantage point. `managed` ones get their probers from our supervisor, between `min_probers` and `max_probers`.

    `access` is the generation of the credentials that probers elsewhere use; a new one makes the old ones useless.
    """

    id: int
    key: str
    name: str
    managed: bool = True
    network: Network = Network()
    deleted_at: datetime | None = None
    created_at: datetime | None = None
    min_probers: int = 1
    max_probers: int = 4
    access: int = 1


class Site(Struct, frozen=True):
    """What someone wants to be up. `regions` is None where the site follows all regions."""

    id: int
    key: str
    name: str
    url: str
    interval_s: int
    timeout_s: float
    confirmations: int
    spacing_s: float
    method: str
    headers: dict[str, str]
    expect: dict[str, Any]
    max_redirects: int
    tags: list[str]
    regions: list[str] | None
    paused: bool
    created_at: datetime
    updated_at: datetime


class Transition(Struct, frozen=True):
    """A change of a site's verdict: the history row and the notification outbox in one."""

    site_id: int
    at: datetime
    from_state: State
    to_state: State
    votes: dict[str, str]
