"""What of a declaration has a meaning for its URL's scheme: a connection has no method and no status."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pipeline.declared import SiteIn

BARE = ("tcp", "tls")  # a host and a port; what answers there is asked nothing
SCHEMES = ("http", "https", *BARE)

ASKING = ("method", "headers", "body", "auth")  # of HTTP requests
# Of their answers, as fields of the model.
ANSWERED = (
    "status",
    "body_contains",
    "body_absent",
    "body_matches",
    "json_",
    "header",
    "final_url",
    "min_bytes",
    "max_bytes",
)
OF_BODIES = ("body_contains", "body_absent", "body_matches", "json_", "min_bytes", "max_bytes")


class MisplacedError(ValueError):
    """Fields that have no meaning here, each with what to say of it."""

    def __init__(self, misplaced: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(message for _, message in misplaced))
        self.misplaced = misplaced


def is_bare(url: str) -> bool:
    """Whether a site is a host and a port alone."""
    return url.partition(":")[0].lower() in BARE


def judge_bare(parts_path: str, scheme: str, host: str, port: int | None) -> None:
    """What follows the host of a URL that is a host and a port. Errors: ValueError with advice."""
    shown = f"[{host}]" if ":" in host else host
    if port is None:
        raise ValueError(f"the port is missing: write {scheme}://{shown}:443, or whichever it is")
    if parts_path:
        raise ValueError(f"a {scheme} site is a host and a port: write {scheme}://{shown}:{port}")


def misplaced(site: SiteIn) -> Iterator[tuple[str, str]]:
    """Each field that says something which its URL's scheme cannot have, with a sentence."""
    parts = urlsplit(site.url)
    version = {"ipv4": 4, "ipv6": 6}.get(site.family)
    if version and _version(parts.hostname or "") not in (None, version):
        yield "family", f"the URL's address is none of IPv{version}"
    if site.expect.max_latency_ms is not None and site.expect.max_latency_ms >= site.timeout_s * 1000:
        least = f"{site.timeout_s * 1000:g} ms"
        yield "expect.max_latency_ms", f"a check is given up after {least} already: expect less, or raise timeout_s"
    if parts.scheme not in BARE:
        yield from _unanswered(site, parts.scheme)
        return
    plain = type(site)
    for name in ASKING:
        if getattr(site, name) != plain.model_fields[name].get_default(call_default_factory=True):
            yield name, f"{parts.scheme}:// sends no request, so it has no {name}: leave it out"
    if site.max_redirects not in (0, plain.model_fields["max_redirects"].default):
        yield "max_redirects", f"nothing redirects on {parts.scheme}://: leave it out"
    expect, fields = site.expect, type(site.expect).model_fields
    for name in ANSWERED:
        if getattr(expect, name) != fields[name].get_default(call_default_factory=True):
            yield f"expect.{name.rstrip('_')}", f"{parts.scheme}:// reads no answer: expect max_latency_ms or tls_days"
    if parts.scheme == "tcp":
        yield from _unsecured(site)


def _unanswered(site: SiteIn, scheme: str) -> Iterator[tuple[str, str]]:
    """What is expected of an answer that cannot have it."""
    if scheme == "http" and site.expect.tls_days is not None:
        yield "expect.tls_days", "there is no TLS on http://: write https://, or leave it out"
    if site.method == "HEAD":
        for name in OF_BODIES:
            if getattr(site.expect, name) not in (None, []):
                yield f"expect.{name.rstrip('_')}", "the answer to HEAD has no body: use GET, or leave this out"


def _unsecured(site: SiteIn) -> Iterator[tuple[str, str]]:
    message = "there is no TLS on tcp://: write tls://, or leave it out"
    if site.expect.tls_days is not None:
        yield "expect.tls_days", message
    if site.client_certificate:
        yield "client_certificate", message
    if not site.verify_tls:
        yield "verify_tls", message


def _version(host: str) -> int | None:
    try:
        return ip_address(host).version
    except ValueError:
        return None
