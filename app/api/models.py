"""What the API answers. What it takes is defined in `pipeline.declared`, once for forms, files and programs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import BaseModel, Field

from pipeline.declared import KEY_PATTERN, AuthIn, ExpectIn, RegionIn, SiteIn
from pipeline.snapshots import as_plain
from pipeline.store.listing import Listed
from pipeline.store.regions import region_fields
from pipeline.store.sites import site_fields
from pipeline.store.snapshots import Sighting
from pipeline.vocabulary import Clock, Kind, Outcome, Region, Source, State

LARGEST_PAGE = 500
KeyInPath = Annotated[str, Path(pattern=KEY_PATTERN, description="its key")]
Limit = Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="entries a page")]


class Sites(BaseModel):
    """A page of sites."""

    items: list[SiteOut]
    total: int = Field(description="how many there are on all pages")
    next: int | None = Field(description="the page that follows; null on the last")


class SiteOut(BaseModel):
    """A site, and what its regions agree on."""

    key: str
    name: str
    url: str
    state: State
    since: datetime | None = Field(description="when that state began")
    certificate_expires_at: datetime | None = Field(
        description="when its certificate ends, the earliest that a region was shown last"
    )
    interval_s: int
    timeout_s: float
    confirmations: int
    spacing_s: float
    regions: list[str] | None = Field(description="null where it follows all regions")
    method: str
    headers: dict[str, str]
    expect: ExpectIn
    max_redirects: int
    body: str
    auth: AuthIn | None
    client_certificate: str | None
    verify_tls: bool
    family: Literal["any", "ipv4", "ipv6"]
    tags: list[str]
    paused: bool
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, listed: Listed) -> SiteOut:
        site = listed.site
        times = {"created_at": site.created_at, "updated_at": site.updated_at}
        ends = {"certificate_expires_at": listed.certificate_expires_at}
        return cls(**site_fields(site), state=listed.state, since=listed.since, **times | ends)


class SiteNew(SiteIn):
    """A site to add. Without a key, one is made from its URL."""

    key: str = Field("", pattern=rf"^$|{KEY_PATTERN}", description="a-z, 0-9 and -; made from the URL when left out")


class RegionOut(BaseModel):
    """A vantage point."""

    key: str
    name: str
    managed: bool
    source_address: str | None
    proxy: str | None
    resolvers: list[str]
    references: list[str]
    min_probers: int
    max_probers: int

    @classmethod
    def of(cls, region: Region) -> RegionOut:
        return cls(**region_fields(region))


class Regions(BaseModel):
    """All regions."""

    items: list[RegionOut]


class TickOut(BaseModel):
    """One attempt of one check, in the words of an export."""

    scheduled_at: datetime
    started_at: datetime | None
    region: str
    attempt: int = Field(description="0 for the scheduled one, 1 and more for its confirmations")
    state: State
    outcome: Outcome
    status: int | None
    dns_ms: float | None
    connect_ms: float | None
    tls_ms: float | None
    ttfb_ms: float | None
    transfer_ms: float | None
    latency_ms: float | None = Field(description="the whole attempt")
    error_ms: float | None = Field(description="how far the latency may be off")
    clock: Clock
    trusted: bool
    ip: str | None
    bytes: int | None
    interval_s: int
    final: bool = Field(description="no further attempt follows")
    kind: Kind
    source: Source
    prober: str
    revision: int
    detail: str | None


class Ticks(BaseModel):
    """A page of ticks."""

    items: list[TickOut]
    next: str | None = Field(description="pass it on as `cursor` for the page that follows; null on the last")


class HopOut(BaseModel):
    """One request of an attempt."""

    url: str = Field(description="without user, password and query")
    ip: str | None
    status: int | None


class CertificateOut(BaseModel):
    """The leaf that a server showed, accepted or not."""

    subject: str
    issuer: str
    names: list[str] = Field(description="the first few that it is for")
    not_before: datetime
    not_after: datetime
    sha256: str


class SnapshotOut(BaseModel):
    """What an attempt saw that did not come out `ok`. The site's secrets are cut out of it."""

    scheduled_at: datetime = Field(description="with region and attempt it names the tick")
    region: str
    attempt: int
    state: State
    outcome: Outcome
    phase: Literal["dns", "connect", "tls", "ttfb", "transfer", "answer"] = Field(description="what it had reached")
    problems: list[str] = Field(description="every expectation that failed")
    hops: list[HopOut] = Field(description="its requests: redirects make several")
    tls: str | None = Field(description="version and cipher")
    certificate: CertificateOut | None
    status_line: str | None
    headers: list[tuple[str, str]] = Field(description="the first 50")
    body: str | None = Field(description="the first 2 KB as text; as its sender wrote it, so never render it as HTML")

    @classmethod
    def of(cls, seen: Sighting) -> SnapshotOut:
        names = ("scheduled_at", "region", "attempt", "state", "outcome")
        return cls(**{name: getattr(seen, name) for name in names}, **as_plain(seen.snapshot))


class Snapshots(BaseModel):
    """A page of snapshots."""

    items: list[SnapshotOut]
    next: str | None = Field(description="pass it on as `cursor` for the page that follows; null on the last")


class RollupOut(BaseModel):
    """An hour or a UTC day. Nothing known is null, not zero."""

    at: datetime = Field(description="its beginning")
    site: str | None = Field(None, description="null where sites are merged")
    region: str | None = Field(None, description="null where regions are merged")
    checks: int
    up: int
    degraded: int
    down: int
    unknown: int
    attempts: int
    first_failures: int
    untrusted: int
    up_us: int = Field(description="microseconds held in this state, as the following")
    degraded_us: int
    down_us: int
    unknown_us: int
    expected_s: float = Field(description="for how long checks were called for")
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Rollups(BaseModel):
    """Rollups by time, then by site and region."""

    items: list[RollupOut]


class SpanOut(BaseModel):
    """A run of one state: up, degraded, down, unknown, maintenance or paused."""

    site: str
    region: str | None = Field(None, description="null where it is the vote of the site's regions")
    state: str
    since: datetime
    until: datetime = Field(description="exclusive")
    checks: int | None = Field(None, description="slots with a tick in it, of a region's")
    down: int | None = Field(None, description="of a vote: regions that held it down when it began")
    known: int | None = Field(None, description="of a vote: regions that knew")
    regions: int | None = Field(None, description="of a vote: regions that were to check it")
    began_after: datetime | None = Field(description="it began after this slot, which said otherwise; null: unknown")
    ended_after: datetime | None = Field(description="it ended after this slot, which still said so")


class Spans(BaseModel):
    """Spans by site, region and time."""

    items: list[SpanOut]


class ChecksOut(BaseModel):
    """Checks that will go out within seconds; their ticks have the kind `manual`."""

    regions: int = Field(description="how many regions were asked")


class AppliedOut(BaseModel):
    """Keys by what happened to them."""

    created: list[str]
    changed: list[str]
    unchanged: list[str]


def changes_of(model: type[BaseModel]) -> dict[str, Any]:
    """For OpenAPI: a body that names the fields to change, any of the model's. Null is judged like every value."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    fields = {
        name: {part: value for part, value in field.items() if part != "default"}
        for name, field in schema["properties"].items()
        if name != "key"
    }
    body = {"type": "object", "title": f"Changes of {model.__name__}", "properties": fields}
    content = {"application/json": {"schema": body | {"additionalProperties": False, "minProperties": 1}}}
    return {"requestBody": {"required": True, "content": content}}


SITE_CHANGES = changes_of(SiteIn)
REGION_CHANGES = changes_of(RegionIn)
