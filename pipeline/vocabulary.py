"""The words of the house: frozen data, no I/O, no clock.

Everything that crosses a wire or a room is one of these. Times are timezone-aware UTC,
units end names. The structs encode as arrays, so a field is only ever appended, with a default:
an older reader skips what it does not know, a newer one fills in what is missing.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from msgspec import Meta, Struct, field


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
    """Who wrote a tick. A prober's tick replaces one of anybody else's. `import`: another monitor did. Append only."""

    PROBER = "prober"
    PUSHER = "pusher"
    RECONCILER = "reconciler"
    IMPORT = "import"


class Family(StrEnum):
    """Which addresses of a name are tried: all, as Happy Eyeballs does it (RFC 8305), or those of one family."""

    ANY = "any"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Expect(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a good answer looks like; an empty part expects nothing.

    `status` holds inclusive ranges. `json` and `header` hold conditions in the words of `pipeline.conditions`. A prober
    that does not know a part refuses the check (`poison`, which is unknown) rather than call good what it did not see.
    """

    status: tuple[tuple[int, int], ...] = ((200, 399),)
    body_contains: tuple[str, ...] = ()
    body_absent: tuple[str, ...] = ()
    body_matches: tuple[str, ...] = ()
    json: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    final_url: str | None = None
    min_bytes: int | None = None
    max_bytes: int | None = None
    max_latency_ms: float | None = None
    tls_days: int | None = None

    def accepts_status(self, status: int) -> bool:
        return any(low <= status <= high for low, high in self.status)


class Auth(Struct, frozen=True, array_like=True):
    """Who we say we are: basic with a `username`, else bearer. `secret` is the password or the token."""

    secret: str
    username: str | None = None

    def __repr__(self) -> str:
        return f"Auth(secret=…, username={self.username!r})"


class Network(Struct, frozen=True, array_like=True):
    """How a region reaches the world: its egress address, proxy and resolvers (`ip` or `ip:port`).

    `references` are `host:port` that answer whenever the region's own network is well.
    """

    source_address: str | None = None
    proxy: str | None = None
    resolvers: tuple[str, ...] = ()
    references: tuple[str, ...] = ()

    def __repr__(self) -> str:
        proxy = self.proxy and f"{self.proxy.partition('://')[0]}://…@{self.proxy.rpartition('@')[2]}"
        return f"Network({self.source_address!r}, {proxy if '@' in (self.proxy or '') else self.proxy!r})"


class Spec(Struct, frozen=True, array_like=True):
    """Everything a probe needs to know about a site. The URL's scheme picks the probe.

    Secrets are the values of headers that are not in `pipeline.secrets.PUBLIC_HEADERS`, `body`, the `secret` of `auth`
    and `client_certificate` (PEM: the certificate, its chain and its key).
    """

    url: str
    timeout_s: float = 10.0
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    expect: Expect = Expect()
    max_redirects: int = 10
    confirmations: int = 1
    spacing_s: float = 5.0
    body: str = ""
    auth: Auth | None = None
    client_certificate: str | None = None
    verify_tls: bool = True
    family: Family = Family.ANY

    def __repr__(self) -> str:
        """For tracebacks and logs, which are no place for what is secret in it."""
        return f"Spec({self.method} {self.url!r}, headers={list(self.headers)}, body=…{len(self.body)}, {self.auth!r})"


class Check(Struct, frozen=True, array_like=True):
    """A slot sent out: (site, region, scheduled_at) with its whole spec and the attempt it is.

    `sealed` is the generation of the region's key that the spec's secrets are sealed with; 0: it has none.
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
# What a site may be told: `pipeline.declared` has the same bounds. A tick from elsewhere may claim anything.
Interval = Annotated[int, Meta(ge=1, le=86_400)]
Attempt = Annotated[int, Meta(ge=0, le=5)]


class Phases(Struct, frozen=True, array_like=True):
    """Milliseconds by phase, summed over redirects; None where a phase was not reached or not needed."""

    dns_ms: Milliseconds | None = None
    connect_ms: Milliseconds | None = None
    tls_ms: Milliseconds | None = None
    ttfb_ms: Milliseconds | None = None
    transfer_ms: Milliseconds | None = None


class Certificate(Struct, frozen=True, array_like=True):
    """The leaf that a server showed, accepted or not. `names` are the first few it is for, `sha256` its fingerprint."""

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    sha256: str


class Hop(Struct, frozen=True, array_like=True):
    """One request of an attempt: redirects make several. URLs are without user, password and query."""

    url: str
    ip: str | None = None
    status: int | None = None


class Snapshot(Struct, frozen=True, array_like=True):
    """What there was to see when an attempt did not come out `ok`: bounded, and with the site's secrets cut out of it.

    `phase` is what it had reached: `dns connect tls ttfb transfer`, or `answer` where that was whole. `problems` are
    all expectations that failed. `tls` names version and cipher. `body` is the first 2 KB as text.
    """

    phase: str
    problems: tuple[str, ...] = ()
    hops: tuple[Hop, ...] = ()
    tls: str | None = None
    certificate: Certificate | None = None
    status_line: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None


class Tick(Struct, frozen=True, array_like=True):
    """What an attempt recorded. `latency_ms` is the whole attempt, `error_ms` how far it may be off.

    `final` says that no further attempt of this slot follows: it did not fail, or was the last. `expires_at` is when
    the certificate does. `expires_at` and `snapshot` are kept beside the ticks, not in them.
    """

    site_id: Int4
    region_id: Int4
    scheduled_at: datetime
    attempt: Attempt
    started_at: datetime | None
    outcome: Outcome
    final: bool
    interval_s: Interval
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
    expires_at: datetime | None = None
    snapshot: Snapshot | None = None

    @property
    def state(self) -> State:
        return STATE_OF[self.outcome]

    @property
    def key(self) -> tuple[int, int, datetime, int]:
        return (self.site_id, self.region_id, self.scheduled_at, self.attempt)


class Probe(Struct, frozen=True):
    """What a probe saw, before the prober makes a tick of it. `detail` is one sentence for a person.

    `error_ms` is how far the latency may be off by what the probe itself knows; what its loop's stalls add is the
    prober's to say, for those seconds that were read off the loop's clock: `looped`, from and until in monotonic
    seconds. `clock` is what the rest was read from. `port` is where redirects led to; None where there were none.
    """

    outcome: Outcome
    phases: Phases = Phases()
    latency_ms: float | None = None
    status: int | None = None
    ip: str | None = None
    bytes: int | None = None
    detail: str | None = None
    clock: Clock = Clock.LOOP
    error_ms: float = 0.0
    looped: tuple[float, float] | None = None
    expires_at: datetime | None = None
    snapshot: Snapshot | None = None
    port: int | None = None


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
    """What someone wants to be up. `regions` is None where the site follows all regions.

    Secrets are in it as they are stored, sealed (`pipeline.secrets`); nobody shows them so.
    """

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
    body: str = ""
    auth: dict[str, Any] | None = None
    client_certificate: str | None = None
    verify_tls: bool = True
    family: str = "any"

    def __repr__(self) -> str:
        return f"Site({self.id}, {self.key!r}, {self.url!r})"


class Transition(Struct, frozen=True):
    """A change of a site's verdict: the history row and the notification outbox in one."""

    site_id: int
    at: datetime
    from_state: State
    to_state: State
    votes: dict[str, str]
