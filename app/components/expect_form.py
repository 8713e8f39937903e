"""The part of a site's form about the answer that is expected: texts and conditions a line each, and limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import streamlit as st

from app.components import fields
from pipeline.declared import ExpectIn
from pipeline.vocabulary import Site

QUOTED = 'In double quotes, as JSON writes it, where it begins or ends with a space or has a line break: "a\\nb".'
CONDITIONS = (
    "Conditions on a JSON body, one a line: a path, then ==, !=, <, <=, >, >=, contains, exists or absent. "
    'Such as `$.items length >= 3`, `$.tags contains "eu"`, `$.error absent`. Of several values that a path '
    "selects, all have to be so; with contains, any."
)
# Parts of `ExpectIn` that hold several -> label, placeholder and help.
LINES = {
    "body_contains": ("The body contains", "Welcome", f"Texts, one a line, all of them. {QUOTED}"),
    "body_absent": ("The body does not contain", "Fatal error", f"Texts, one a line, none of them. {QUOTED}"),
    "body_matches": (
        "The body matches",
        r"order \d+",
        f"Regular expressions of RE2, one a line, each found in the body. (?i) at the start ignores case. {QUOTED}",
    ),
    "json": (
        "JSON",
        '$.status == "ok"',
        CONDITIONS,
    ),
    "header": (
        "Headers of the answer",
        "content-type contains json",
        "Conditions on a header, one a line: `x-cache exists`, `server != nginx`.",
    ),
}
# … and those that hold one number. Their fields take text: one for numbers cannot be emptied again.
NUMBERS = {
    "max_latency_ms": ("Slow above, in milliseconds", "800", "A slower answer is degraded, not down."),
    "tls_days": ("Expiring, in days", "14", "It is degraded so many days before its certificate ends."),
    "min_bytes": ("Bytes of the body, at least", "1", "As it is sent."),
    "max_bytes": ("Bytes of the body, at most", "100000", "As it is sent. A longer one is read no further."),
}
FIELDS = tuple(f"expect_{part}" for part in ("final_url", *LINES, *NUMBERS))


def draw(form: str, given: dict[str, Any]) -> None:
    """The fields; `given` holds what they show at first."""
    for part, (label, placeholder, help_) in LINES.items():
        fields.area(form, f"expect_{part}", label, given, placeholder=placeholder, help_=help_, height=68)
    fields.text(
        form,
        "expect_final_url",
        "Redirects end at",
        given,
        placeholder="https://example.com/home",
        help_="Exactly there, or anywhere behind a final *. What follows a # never counts.",
    )
    columns = st.columns(2)
    for place, (part, (label, placeholder, help_)) in enumerate(NUMBERS.items()):
        with columns[place % 2]:
            fields.text(form, f"expect_{part}", label, given, placeholder=placeholder, help_=help_)


def values(site: Site | None) -> dict[str, Any]:
    """What the fields show at first."""
    expect = ExpectIn.model_validate(site.expect).model_dump() if site else {}
    lines = {f"expect_{part}": "\n".join(map(_written, expect.get(part, []))) for part in LINES}
    numbers = {f"expect_{part}": _number(expect[part]) if part in expect else "" for part in NUMBERS}
    return {**lines, **numbers, "expect_final_url": expect.get("final_url") or ""}


def read(typed: Mapping[str, Any]) -> dict[str, Any]:
    """What the fields hold, in the terms of `ExpectIn`; a part that expects nothing is left out."""
    lines = {part: _lines(part, typed[f"expect_{part}"] or "") for part in LINES}
    words = {part: (typed[f"expect_{part}"] or "").strip() for part in (*NUMBERS, "final_url")}
    parts = {**lines, **words}
    return {part: value for part, value in parts.items() if value not in (None, [], "")}


def _written(text: str) -> str:
    """A text on one line, so that `_read` makes the same of it."""
    bare = text == text.strip() and not set(text) & {"\n", "\r"} and not text.startswith('"')
    return text if bare else json.dumps(text, ensure_ascii=False)


def _lines(part: str, typed: str) -> list[str]:
    lines = [line.strip() for line in typed.replace("\r", "").split("\n") if line.strip()]
    return lines if part in ("json", "header") else [_read(line) for line in lines]


def _read(line: str) -> str:
    try:
        text = json.loads(line) if line.startswith('"') else line
    except ValueError:
        return line
    return text if isinstance(text, str) else line


def _number(value: float) -> str:
    """Without the `.0` of a whole one."""
    return str(int(value)) if value == int(value) else str(value)
