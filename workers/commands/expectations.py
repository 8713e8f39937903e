"""What a command line expects of an answer, one option a part, repeated where a part holds several."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

Texts = list[str] | None  # '' alone for none
Status = Annotated[str | None, typer.Option(help="such as 200-299,401", show_default="200-399")]
Body = Annotated[Texts, typer.Option(help="text that the body holds; again for more")]
NoBody = Annotated[Texts, typer.Option(help="text that it does not hold; again for more")]
Match = Annotated[Texts, typer.Option(help="regular expression (RE2) found in the body; again for more")]
Json = Annotated[Texts, typer.Option(help="""such as '$.status == "ok"' or '$.items length >= 3'; again for more""")]
Header = Annotated[Texts, typer.Option(help="such as 'content-type contains json'; again for more")]
Url = Annotated[str | None, typer.Option(help="where redirects end; a final * stands for any rest")]
MinBytes = Annotated[int | None, typer.Option(help="of the body as it is sent; 0 for none")]
MaxBytes = Annotated[int | None, typer.Option(help="of the body as it is sent")]
Latency = Annotated[float | None, typer.Option(help="milliseconds above which it is slow; 0 for none")]
TlsDays = Annotated[int | None, typer.Option(help="days before its end at which a certificate is expiring; 0 for none")]

# The fields of `SiteIn` -> their options.
OPTIONS = {
    "expect.status": "--expect-status",
    "expect.body_contains": "--expect-body",
    "expect.body_absent": "--expect-no-body",
    "expect.body_matches": "--expect-match",
    "expect.json": "--expect-json",
    "expect.header": "--expect-header",
    "expect.final_url": "--expect-url",
    "expect.min_bytes": "--expect-min-bytes",
    "expect.max_bytes": "--expect-max-bytes",
    "expect.max_latency_ms": "--expect-latency",
    "expect.tls_days": "--expect-tls-days",
}


def given(
    *,
    status: str | None,
    body: Texts,
    no_body: Texts,
    match: Texts,
    json: Texts,
    header: Texts,
    url: str | None,
    min_bytes: int | None,
    max_bytes: int | None,
    latency: float | None,
    tls_days: int | None,
) -> dict[str, Any]:
    """The parts of `ExpectIn` that were named. An empty text, alone, takes away what was expected before."""
    named: Mapping[str, Any] = {
        "status": [entry.strip() for entry in status.split(",")] if status else None,
        "body_contains": body,
        "body_absent": no_body,
        "body_matches": match,
        "json": json,
        "header": header,
        "final_url": url,
        "min_bytes": min_bytes,
        "max_bytes": max_bytes,
        "max_latency_ms": latency,
        "tls_days": tls_days,
    }
    emptied = {"final_url": None, "min_bytes": None, "max_bytes": None, "max_latency_ms": None, "tls_days": None}
    return {part: _emptied(part, value, emptied) for part, value in named.items() if value is not None}


def _emptied(part: str, value: Any, emptied: Mapping[str, None]) -> Any:
    """Nothing less than a byte, a millisecond or a day is ever expected, so that 0 stands for no expectation."""
    if part in emptied and (value == "" or (value == 0 and part != "max_bytes")):
        return None
    return [] if value == [""] else value
