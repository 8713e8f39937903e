"""What a command line says of a request, as curl would: headers, body, who we are, a client certificate.

Whatever is on a command line is seen by everybody on the machine: `@FILE` reads a value from a file, `@-` from standard
input. A last line break is no part of it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer


def given(
    *,
    header: Sequence[str] | None,
    data: str | None,
    basic: str | None,
    bearer: str | None,
    cert: Path | None,
    insecure: bool,
) -> dict[str, Any]:
    """The fields of `SiteIn`; None where nothing was said."""
    if basic is not None and bearer is not None:
        raise typer.BadParameter("one sign-in is enough: --basic or --bearer", param_hint="--bearer")
    return {
        "headers": headers(header or []),
        "body": _read(data, "--data"),
        "auth": _basic(_read(basic, "--basic")) or _bearer(_read(bearer, "--bearer")),
        "client_certificate": None if cert is None else _read(f"@{cert}", "--cert"),
        "verify_tls": False if insecure else None,
    }


def headers(lines: Sequence[str]) -> dict[str, str]:
    """`Name: value` each; of a file, each of its lines."""
    found = {}
    for line in (each for given in lines for each in (_read(given, "--header") or "").splitlines() if each.strip()):
        name, colon, value = line.partition(":")
        if not colon:
            # It may be a value alone, which is nobody else's business.
            raise typer.BadParameter('one has no colon: write "Name: value"', param_hint="--header")
        found[name.strip()] = value.strip()
    return found


def _basic(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    username, colon, password = text.partition(":")
    if not colon:
        raise typer.BadParameter("there is no colon in it: write user:password", param_hint="--basic")
    return {"username": username, "password": password}


def _bearer(text: str | None) -> dict[str, str] | None:
    return None if text is None else {"token": text}


def _read(text: str | None, option: str) -> str | None:
    if text is None or not text.startswith("@"):
        return text
    try:
        found = sys.stdin.read() if text == "@-" else Path(text[1:]).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise typer.BadParameter(f"{text[1:]} is no text in UTF-8", param_hint=option) from None
    except OSError as error:
        raise typer.BadParameter(f"{text[1:]} cannot be read: {error.strerror}", param_hint=option) from None
    return found.removesuffix("\n")
