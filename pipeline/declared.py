"""What people declare: sites and regions, from a form, the API or a file, judged field by field.

One definition serves all three, and its JSON Schema is published (`betterstack apply --schema`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from pipeline.applicable import BARE, SCHEMES, MisplacedError, judge_bare, misplaced
from pipeline.calendar import zone
from pipeline.conditions import TOKEN, header_condition, json_condition
from pipeline.errors import InvalidInputError
from pipeline.misfits import MisfitError, problems_of
from pipeline.ring import is_shown
from pipeline.vocabulary import Expect

KEY_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}$"
LONGEST_URL = 2_000  # what every server and browser still accepts
LONGEST_LABEL = 63  # of a name in the DNS
MOST_BYTES = 64 * 1024 * 1024  # of a body that is counted: what a check a minute may cost is 3 GB an hour already
STATUS_RANGE = re.compile(r"^([1-5]\d\d)(?:-([1-5]\d\d))?$")


def judge_url(url: str) -> str:
    """The URL as given, when a probe can take it; ValueError with advice otherwise."""
    url = url.strip()
    if re.search(r"[\s\x00-\x1f]", url):
        raise ValueError("a URL has no spaces in it; write %20 for one")
    if "://" not in url:
        raise ValueError(f"the scheme is missing: write https://{url} or http://{url}")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"this is not a URL: {error}") from None
    if parts.scheme not in SCHEMES:
        raise ValueError(f"the scheme {parts.scheme!r} cannot be probed yet: use {_either(SCHEMES)}")
    if not host:
        raise ValueError("the host is missing: write it after the two slashes")
    if label := next((label for label in host.split(".") if _octets(label) > LONGEST_LABEL), None):
        raise ValueError(f"{label[:20]}… is too long: between two dots a host has up to {LONGEST_LABEL} characters")
    if port == 0:
        raise ValueError("port 0 cannot be connected to")
    if parts.username or parts.password:
        raise ValueError("leave user and password out of the URL: everybody who sees the site sees it")
    if parts.scheme in BARE:
        judge_bare(url.partition("://")[2][len(parts.netloc) :], parts.scheme, host, port)
    return url


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _octets(label: str) -> int:
    return len(label) if label.isascii() else len(b"xn--" + label.encode("punycode"))


def judge_text(text: str) -> str:
    if "\x00" in text:
        raise ValueError("there is a NUL character in it, which Postgres cannot keep: take it out")
    return text


def judge_zone(name: str) -> str:
    try:
        zone(name)
    except InvalidInputError:
        raise ValueError(f"there is no time zone {name!r}: write one such as Europe/Berlin") from None
    return name


def judge_status(entry: str) -> str:
    match = STATUS_RANGE.match(entry)
    if match is None or int(match[1]) > int(match[2] or match[1]):
        raise ValueError(f"{entry!r} is no status or range: write 200 or 200-299")
    return entry


def judge_token(token: str) -> str:
    if not re.fullmatch(r"[!-~]+", token):
        raise ValueError("a token is one word of ASCII letters, digits and signs")
    return token


def judge_certificate(pem: str) -> str:
    """A client certificate with its key; what stands for a stored one is judged where that is known."""
    if is_shown(pem.strip()):
        return pem.strip()
    from pipeline.client_certificates import judge_pem

    return judge_pem(pem)


def judge_pattern(pattern: str) -> str:
    from pipeline.patterns import compiled

    compiled(pattern)
    return pattern


def judge_json(condition: str) -> str:
    json_condition(condition)
    return condition.strip()


def judge_header(condition: str) -> str:
    header_condition(condition)
    return condition.strip()


def judge_final_url(url: str) -> str:
    """Where redirects end: a URL, or its beginning with a star."""
    url = url.strip()
    if not re.match(r"https?://[^/\s]", url, re.IGNORECASE):
        raise ValueError("write a whole URL, such as https://example.com/home, or its beginning with a final *")
    if "*" in url[:-1]:
        raise ValueError("one * may stand at the very end, for any rest; write %2A for a star in a path")
    if re.search(r"\s", url):
        raise ValueError("a URL has no spaces in it; write %20 for one")
    return url


Key = Annotated[str, Field(pattern=KEY_PATTERN, description="short name in URLs and exports: a-z, 0-9 and -")]
Status = Annotated[str, AfterValidator(judge_status)]
Text = Annotated[str, AfterValidator(judge_text)]
Expected = Annotated[str, Field(min_length=1, max_length=1_000), AfterValidator(judge_text)]


class ExpectIn(BaseModel):
    """What a good answer looks like."""

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)

    status: list[Status] = Field(["200-399"], min_length=1, description="statuses and ranges, after redirects")

    body_contains: list[Expected] = Field([], max_length=20, description="texts that the body holds, all of them")
    body_absent: list[Expected] = Field([], max_length=20, description="texts that the body does not hold")
    body_matches: list[Annotated[Expected, AfterValidator(judge_pattern)]] = Field(
        [], max_length=20, description="regular expressions (RE2) found in the body"
    )
    json_: list[Annotated[Expected, AfterValidator(judge_json)]] = Field(
        [],
        alias="json",
        max_length=20,
        description='conditions on a JSON body: $.status == "ok", $.items length >= 3, $.error absent',
    )
    header: list[Annotated[Expected, AfterValidator(judge_header)]] = Field(
        [], max_length=20, description="conditions on a header: content-type contains json, server != nginx"
    )
    final_url: Annotated[Expected, AfterValidator(judge_final_url)] | None = Field(
        None, description="where redirects end; a final * stands for any rest"
    )
    min_bytes: int | None = Field(None, ge=1, le=MOST_BYTES, description="of the body as it was sent")
    max_bytes: int | None = Field(None, ge=0, le=MOST_BYTES, description="of the body as it was sent")
    max_latency_ms: float | None = Field(None, gt=0, description="above it the site is slow: degraded, not down")
    tls_days: int | None = Field(None, ge=1, le=3_650, description="expiring: degraded this many days before it ends")

    @field_validator("max_bytes")
    @classmethod
    def _has_room(cls, value: int | None, info: ValidationInfo) -> int | None:
        least = info.data.get("min_bytes")
        if value is not None and least is not None and least > value:
            raise ValueError(f"max_bytes ({value}) is below min_bytes ({least}): raise the one or lower the other")
        return value

    @model_serializer(mode="wrap")
    def _says_what_it_expects(self, dumped: SerializerFunctionWrapHandler) -> dict[str, Any]:
        parts: dict[str, Any] = dumped(self)
        return {name: value for name, value in parts.items() if value not in (None, [])}

    @field_validator("status", mode="before")
    @classmethod
    def _numbers_are_statuses(cls, value: object) -> object:
        entries = value if isinstance(value, list) else [value]
        return [str(entry) if isinstance(entry, int) else entry for entry in entries]


def expect_of(declared: Mapping[str, Any]) -> Expect:
    """A declared expectation, as `ExpectIn` dumps it, as the probe reads it."""
    ranges = (STATUS_RANGE.match(entry) for entry in declared.get("status", ["200-399"]))
    status = [(int(m[1]), int(m[2] or m[1])) for m in ranges if m]
    return msgspec.convert({**declared, "status": status}, Expect)


class AuthIn(BaseModel):
    """Who we say we are: a user with a password (basic), or a token (bearer)."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    username: Text | None = Field(None, max_length=200)
    password: Text | None = Field(None, max_length=4_096, repr=False)
    token: Annotated[str, AfterValidator(judge_token)] | None = Field(None, max_length=16_384, repr=False)

    @model_serializer(mode="wrap")
    def _says_one_of_two(self, dumped: SerializerFunctionWrapHandler) -> dict[str, str]:
        return {name: value for name, value in dumped(self).items() if value is not None}

    @model_validator(mode="after")
    def _is_one_of_two(self) -> AuthIn:
        basic = self.username is not None and self.password is not None and self.token is None
        bearer = self.token is not None and self.username is None and self.password is None
        if not basic and not bearer:
            raise ValueError("give a username and a password, or a token")
        if basic and ":" in (self.username or ""):
            raise ValueError("a username has no colon in it: HTTP takes what follows it for the password")
        return self


MOST_PROBERS = 32  # processes on the supervisor's machine; more belong on another


class RegionIn(BaseModel):
    """A vantage point."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)

    key: Key
    name: Text = Field("", max_length=100, description="what people read; the key when empty")
    managed: bool = Field(True, description="probed by our own supervisor; false where probers run elsewhere")
    source_address: Text | None = Field(None, description="local address that probes leave from")
    proxy: Text | None = Field(
        None, repr=False, description="http://host:port that probes go through; user:password@ before it is a secret"
    )
    resolvers: list[Text] = Field([], description="DNS servers as ip or ip:port; the system's when empty")
    references: list[Text] = Field(
        [], max_length=10, description="host:port that answer whenever this region's own network is well"
    )
    min_probers: int = Field(1, ge=1, le=MOST_PROBERS, description="prober processes it has at least, when managed")
    max_probers: int = Field(4, ge=1, le=MOST_PROBERS, description="and at most, under load")

    @field_validator("source_address")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        return value and _address(value)

    @field_validator("resolvers")
    @classmethod
    def _are_addresses(cls, value: list[str]) -> list[str]:
        for entry in value:
            host, _, port = entry.rpartition(":") if entry.count(":") == 1 else (entry, "", "53")
            _address(host)
            if not port.isdecimal() or not 0 < int(port) <= 65_535:
                raise ValueError(f"{entry!r}: the port is a number up to 65535")
        return value

    @field_validator("references")
    @classmethod
    def _are_places(cls, value: list[str]) -> list[str]:
        for entry in value:
            try:
                host, port = urlsplit(f"//{entry}").hostname, urlsplit(f"//{entry}").port
            except ValueError:
                host, port = None, None
            if not host or not port or set(entry) & set("/@ "):
                raise ValueError(f"{entry!r}: write host:port, such as 9.9.9.9:443")
        return value

    @field_validator("proxy")
    @classmethod
    def _is_a_proxy(cls, value: str | None) -> str | None:
        if value:
            try:
                parts = urlsplit(value)
                fits = parts.scheme == "http" and parts.hostname and parts.port
                fits = fits and len(value) <= LONGEST_URL and value.isprintable()
            except ValueError:  # a port that is none, which may be a piece of the password
                fits = False
            if not fits:
                raise ValueError("write the proxy as http://host:port")
        return value or None

    @model_validator(mode="after")
    def _has_a_name(self) -> RegionIn:
        self.name = self.name or self.key
        return self

    @model_validator(mode="after")
    def _has_room(self) -> RegionIn:
        if self.max_probers < self.min_probers:
            raise ValueError(
                f"max_probers ({self.max_probers}) is below min_probers ({self.min_probers}): raise the one or lower "
                "the other"
            )
        return self


class SiteIn(BaseModel):
    """What someone wants to be up."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)

    key: Key
    name: Text = Field("", max_length=200, description="what people read; the key when empty")
    url: Annotated[str, Field(max_length=LONGEST_URL), AfterValidator(judge_url)]
    interval_s: int = Field(180, ge=1, le=86_400, description="seconds between checks")
    timeout_s: float = Field(
        10.0, gt=0, le=120, description="seconds an attempt may take; min(10, interval_s) by default"
    )
    confirmations: int = Field(1, ge=0, le=5, description="further attempts before a failure counts")
    spacing_s: float = Field(5.0, ge=0, le=300, description="seconds between attempts")
    regions: list[Text] | None = Field(None, description="keys of the regions to check from; all when left out")
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "GET"
    headers: dict[str, str] = Field(
        {}, repr=False, description="sent with every check; values are secrets, but for such as Accept or User-Agent"
    )
    expect: ExpectIn = ExpectIn()
    max_redirects: int = Field(10, ge=0, le=20, description="followed before the answer is judged")
    body: Annotated[str, StringConstraints(strip_whitespace=False), AfterValidator(judge_text)] = Field(
        "", max_length=65_536, repr=False, description="sent with the request; a secret, which is not shown again"
    )
    auth: AuthIn | None = Field(None, description="basic or bearer; the secret is not shown again")
    client_certificate: Annotated[Text, AfterValidator(judge_certificate)] | None = Field(
        None, max_length=65_536, repr=False, description="PEM: certificate, chain and key; not shown again"
    )
    verify_tls: bool = Field(True, description="whether a certificate that does not hold is a failure")
    family: Literal["any", "ipv4", "ipv6"] = Field("any", description="which addresses of the name are tried")
    tags: list[Text] = Field([], max_length=50)
    paused: bool = False

    @field_validator("regions")
    @classmethod
    def _names_one_region(cls, value: list[str] | None) -> list[str] | None:
        if value is not None and not value:
            raise ValueError("name at least one region, or leave it out for all")
        return value and sorted(set(value))

    @field_validator("headers")
    @classmethod
    def _can_be_sent(cls, value: dict[str, str]) -> dict[str, str]:
        for name, content in value.items():
            if not TOKEN.match(name):
                raise ValueError(f"{name!r} is no name of a header")
            if re.search(r"[\r\n]", content):
                raise ValueError(f"the value of {name!r} has a line break in it")
            if "\x00" in content:
                raise ValueError(f"the value of {name!r} has a NUL character in it: take it out")
            if odd := re.search(r"[^\x00-\xff]", content):
                raise ValueError(f"the value of {name!r} has {odd[0]!r} in it, which HTTP cannot send: use Latin-1")
        return value

    @field_validator("tags")
    @classmethod
    def _are_words(cls, value: list[str]) -> list[str]:
        tags = sorted({tag.strip() for tag in value} - {""})
        if any(len(tag) > 50 or "," in tag for tag in tags):
            raise ValueError("a tag has up to 50 characters and no comma")
        return tags

    @model_validator(mode="before")
    @classmethod
    def _timeout_follows_the_interval(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("timeout_s") is None and isinstance(data.get("interval_s"), int):
            return {**data, "timeout_s": float(min(10, max(1, data["interval_s"])))}
        return data

    @model_validator(mode="after")
    def _is_consistent(self) -> SiteIn:
        self.name = self.name or self.key
        if self.timeout_s > self.interval_s:
            raise ValueError(f"timeout_s ({self.timeout_s:g}) is longer than interval_s ({self.interval_s})")
        if odd := list(misplaced(self)):
            raise MisplacedError(odd)
        return self


class Declared(BaseModel):
    """A whole file: what is named is created or changed, what is not named is left alone."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    regions: list[RegionIn] = []
    sites: list[SiteIn] = []


def _address(value: str) -> str:
    try:
        return str(ip_address(value))
    except ValueError:
        raise ValueError(f"{value!r} is not an IP address") from None


M = TypeVar("M", bound=BaseModel)


def parse(model: type[M], data: object) -> M:
    """`data` as a `model`, or InvalidInputError with one problem a field."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise MisfitError(problems_of(error), data) from None
