"""What a command line expects of an answer, one option a part, repeated where a part holds several."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer

from workers.commands.grouped import grouped

Named = dict[str, Any]  # what a command gets
Text = str | None
Texts = list[str] | None  # '' alone for none
Whole = int | None
Number = float | None


class Part(NamedTuple):
    """A part of `ExpectIn` as an option: `--expect-` and its name."""

    option: str
    kind: Any
    help: str

    @property
    def parameter(self) -> str:
        return f"expect_{self.option.replace('-', '_')}"


PARTS = {
    "status": Part("status", Text, "such as 200-299,401; '' for the usual, 200-399"),
    "body_contains": Part("body", Texts, "text that the body holds; again for more"),
    "body_absent": Part("no-body", Texts, "text that it does not hold; again for more"),
    "body_matches": Part("match", Texts, "regular expression (RE2) found in the body; again for more"),
    "json": Part("json", Texts, """such as '$.status == "ok"' or '$.items length >= 3'; again for more"""),
    "header": Part("header", Texts, "such as 'content-type contains json'; again for more"),
    "final_url": Part("url", Text, "where redirects end; a final * stands for any rest"),
    "min_bytes": Part("min-bytes", Whole, "of the body as it is sent; 0 for none"),
    "max_bytes": Part("max-bytes", Whole, "of the body as it is sent"),
    "max_latency_ms": Part("latency", Number, "milliseconds above which it is slow; 0 for none"),
    "tls_days": Part("tls-days", Whole, "days before its end at which a certificate is expiring; 0 for none"),
}
# The fields of `SiteIn` -> their options.
OPTIONS = {f"expect.{name}": f"--expect-{part.option}" for name, part in PARTS.items()}


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options in place of its `expect`: that gets the parts of `ExpectIn` that were named."""
    kinds = {part.parameter: Annotated[part.kind, typer.Option(help=part.help)] for part in PARTS.values()}
    return grouped(command, "expect", kinds, _read)


def _read(given: dict[str, Any]) -> Named:
    values = {name: given[part.parameter] for name, part in PARTS.items()}
    return {name: _meant(name, value) for name, value in values.items() if value is not None}


def _meant(name: str, value: Any) -> Any:
    """An empty text, alone, takes away what was expected before.

    Nothing less than a byte, a millisecond or a day is ever expected, so that 0 does as well, but for `max_bytes`.
    """
    if name == "status":
        return [entry.strip() for entry in value.split(",")] if value else ["200-399"]
    if value == "" or (value == 0 and name != "max_bytes"):
        return None
    return [] if value == [""] else value
