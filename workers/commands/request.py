"""What a command line says of a request, as curl would: headers, body, who we are, a client certificate.

Whatever is on a command line is seen by everybody on the machine: `@FILE` reads a value from a file, `@-` from standard
input. A last line break is no part of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from workers.commands.grouped import grouped

Named = dict[str, Any]  # what a command gets

KINDS = {
    "header": Annotated[list[str] | None, typer.Option(help='sent along, as "Name: value"; again for more')],
    "data": Annotated[str | None, typer.Option(help="body to send; @FILE reads a file, @- standard input")],
    "basic": Annotated[str | None, typer.Option(help="sign in, as user:password; @FILE reads it")],
    "bearer": Annotated[str | None, typer.Option(help="sign in with this token; @FILE reads it")],
    "cert": Annotated[str | None, typer.Option(metavar="FILE", help="client certificate with its key, a PEM file")],
    "insecure": Annotated[
        bool | None, typer.Option("--insecure/--verify-tls", help="take a certificate that does not hold")
    ],
    "redirects": Annotated[int | None, typer.Option(help="follow at most so many; 10 unless told, 0 for none")],
    "family": Annotated[str | None, typer.Option(help="any, ipv4 or ipv6; any unless told")],
}
# The fields of `SiteIn` -> their options.
OPTIONS = {
    "headers": "--header",
    "body": "--data",
    "auth": "--basic or --bearer",
    "auth.username": "--basic",
    "auth.password": "--basic",
    "auth.token": "--bearer",
    "client_certificate": "--cert",
    "verify_tls": "--insecure",
    "family": "--family",
    "max_redirects": "--redirects",
}


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options in place of its `sent`: that gets the fields of `SiteIn` that were named."""
    return grouped(command, "sent", KINDS, lambda said: given(**said))


def given(
    *,
    header: Sequence[str] | None,
    data: str | None,
    basic: str | None,
    bearer: str | None,
    cert: str | None,
    insecure: bool | None,
    redirects: int | None,
    family: str | None,
) -> Named:
    """The fields of `SiteIn` that were named. A `basic`, `bearer` or `cert` that is empty is none."""
    if basic is not None and bearer is not None:
        raise typer.BadParameter("one sign-in is enough: --basic or --bearer", param_hint="--bearer")
    fields = {
        "headers": None if header is None else headers(header),
        "body": _read(data, "--data"),
        "auth": _basic(_read(basic or None, "--basic")) or _bearer(_read(bearer or None, "--bearer")),
        "client_certificate": _read(f"@{cert}", "--cert") if cert else None,
        "verify_tls": None if insecure is None else not insecure,
        "family": family,
        "max_redirects": redirects,
    }
    emptied = {"auth": "" in (basic, bearer), "client_certificate": cert == ""}
    return {name: value for name, value in fields.items() if value is not None or emptied.get(name)}


def changed_headers(before: Mapping[str, str], named: Mapping[str, str]) -> dict[str, str]:
    """A site's headers after an edit: each that is named in place of its like, and none where its value is empty."""
    lowered = {name.lower() for name in named}
    stay = {name: value for name, value in before.items() if name.lower() not in lowered}
    return stay | {name: value for name, value in named.items() if value}


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
