"""What tables of other monitors bring along: columns of ours by name that mean something else there, and no header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from pipeline.csv_sites import DELIMITERS, Header

_CODES = re.compile(r"\d{3}(?:\s*-\s*\d{3})?(?:[,;|\s]+\d{3}(?:\s*-\s*\d{3})?)*")
_URL = re.compile(r"https?://\S+", re.IGNORECASE)
_NAME = re.compile(r"[^\W\d_](?:[^/?#&=\n]*\s[^/?#&=\n]*|[^/?#&=\s]*)|[^/?#&=\n]*\s[^/?#&=\n]*")
# What other monitors call the kinds of theirs that ask for something else than a page, in small letters.
OTHERS = (
    "ping icmp port tcp udp dns heartbeat cron push ssl certificate domain whois smtp imap pop pop3 email mail ftp "
    "sftp ssh sip radius mqtt kafka rabbitmq grpc websocket docker snmp steam gamedig database mysql postgres "
    "postgresql mariadb mongodb redis sqlserver"
)
_OTHERS = set(OTHERS.split())
_BARE = {"port": "tcp", "tcp": "tcp", "ssl": "tls", "certificate": "tls"}  # what we check by a host and a port
_TYPES = {"type", "monitortype", "checktype", "kind"}
WORDLESS = "read as url,name; a first line such as url,name,interval can say more"


class Fitted(Struct, frozen=True):
    """A header with the columns that are taken after all; `types` is the place of the one that tells kinds apart."""

    header: Header
    notes: list[str]
    types: int | None = None


def fitted(text: str, header: Header) -> Fitted:
    """The header as the cells under it bear it out: `Status` may be what is expected, or how a site is just now."""
    rows = list(_cells(text, header.delimiter))[0 if header.bare else 1 :]
    fields, notes = list(header.fields), [WORDLESS] if header.bare else []
    for place, (name, field) in enumerate(zip(header.columns, header.fields, strict=True)):
        if field == "status" and _letters(name) == "status":
            cells = [row[place].strip() for row in rows if len(row) > place and row[place].strip()]
            if cells and not any(_CODES.fullmatch(cell) for cell in cells):
                fields[place] = None
                notes.append(f"{name} is not used: {cells[0][:20]!r} is how a site was, and no status to expect")
    kind = types_of(header)
    types = header.columns.index(kind) if kind else None
    return Fitted(replace(header, fields=fields), notes, types)


def types_of(header: Header) -> str | None:
    """The column that tells kinds of monitors apart."""
    return next((name for name in header.columns if _letters(name) in _TYPES), None)


def other_kind(cell: str) -> str | None:
    """Why a row of this kind is not taken; None where it is one of pages, or of no kind that is known here."""
    if (kind := _letters(cell)) not in _OTHERS:
        return None
    advice = f"write its URL as {_BARE[kind]}://host:port" if kind in _BARE else "only HTTP, TCP and TLS are checked"
    return f"this is a {cell[:20]} monitor: {advice}"


def headerless(text: str) -> Header | None:
    """A header for lines of a URL and a name, as people type them; None where they may as well be URLs alone."""
    for delimiter in DELIMITERS:
        rows = [[cell.strip() for cell in row] for row in _cells(text, delimiter) if any(map(str.strip, row))]
        named = all(len(row) == 2 and _URL.fullmatch(row[0]) and _NAME.fullmatch(row[1]) for row in rows)
        if rows and named and any(_is_said(row[1]) for row in rows):
            return Header(delimiter, ["url", "name"], ["url", "name"], bare=True)
    return None


def _is_said(name: str) -> bool:
    """Whether this is how a name is written, rather than the rest of an address."""
    return name[:1].isupper() or " " in name


def _cells(text: str, delimiter: str) -> Iterator[Sequence[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        yield from (row for row in reader if any(cell.strip() for cell in row))
    except csv.Error:  # told with its line where the rows are read
        return


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
