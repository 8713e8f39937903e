"""Sites from a CSV as people and other monitors write it: any delimiter, any order, and many names for a column."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from pipeline.errors import InvalidInputError, Problem

DELIMITERS = "\t;,|"
# What a column may be called, in small letters without anything between: `Check interval (s)` is `checkintervals`.
COLUMNS = {
    "url": "url urls uri address link href website site webpage page target endpoint monitorurl urlip host hostname "
    "domain domainname websiteurl siteurl homepage",
    "name": "name title friendlyname label monitorname displayname description monitor sitename",
    "key": "key slug sitekey shortname",
    "interval_s": "interval intervals intervalsec intervalseconds checkinterval checkintervals frequency period every "
    "checkfrequency checkevery monitorinterval",
    "interval_min": "intervalm intervalmin intervalmins intervalminutes checkintervalmin checkintervalminutes "
    "frequencyminutes resolution",
    "timeout_s": "timeout timeouts timeoutsec timeoutseconds",
    "tags": "tags tag labels group groups category categories folder team",
    "regions": "regions region locations location from",
    "method": "method httpmethod verb",
    "status": "status expect expectedstatus expectedstatuscode statuscode statuscodes acceptedstatuscodes",
    "body_contains": "bodycontains contains mustcontain expectedtext expectbody",
    "body_absent": "bodyabsent notcontains mustnotcontain",
    "body_matches": "bodymatches matches regex",
    "json": "json expectjson jsoncondition",
    "header": "header expectheader headercondition",
    "max_latency_ms": "maxlatency maxlatencyms slowabove slowabovems",
    "tls_days": "tlsdays certificatedays",
    "paused": "paused disabled",
    "enabled": "enabled active",
}
FIELD_OF = {name: field for field, names in COLUMNS.items() for name in names.split()}
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(
    r"^(\d+(?:\.\d+)?)\s*(?:(s)(?:ec(?:onds?|s)?)?|(m)(?:in(?:utes?|s)?)?|(h)(?:(?:ou)?rs?)?|(d)(?:ays?)?)?$"
)
YES, NO = {"yes", "y", "true", "1", "on", "x"}, {"no", "n", "false", "0", "off"}


class Row(Struct, frozen=True):
    """A line of the table in the terms of `SiteIn`, or why it cannot be read."""

    line: int
    fields: dict[str, Any]
    problems: list[Problem]
    cells: list[str] = []


class Header(Struct, frozen=True):
    """How a table begins: what is between its columns, what they are called, and which field each one fills.

    A `bare` one is not written: the first line is a row already.
    """

    delimiter: str
    columns: list[str]
    fields: list[str | None]
    bare: bool = False

    @property
    def unused(self) -> list[str]:
        return [column for column, field in zip(self.columns, self.fields, strict=True) if field is None and column]


def read_header(text: str) -> Header | None:
    """The header of a table, None for a text that is none. It may lack a column of URLs, which is told then."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    if "://" in first or not first.strip():
        return None
    headers = [_header(first, delimiter) for delimiter in DELIMITERS]
    best = max(headers, key=lambda header: (_known(header), len(header.columns)))
    if "url" in best.fields:
        return best if len(best.columns) > 1 or best.columns[0].lower() in ("url", "urls") else None
    looks = len(best.columns) > 1 and not any(re.search(r"\w\.\w|[/:]", column) for column in best.columns)
    return best if looks and (_known(best) or "://" in text) else None


def _header(line: str, delimiter: str) -> Header:
    try:
        columns = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:  # a line of a hundred thousand letters names no columns
        columns = [line.strip()]
    fields: list[str | None] = []
    for column in columns:
        field = FIELD_OF.get(re.sub(r"[^a-z]", "", column.lower()))
        fields.append(field if field not in fields else None)  # the first of two counts
    return Header(delimiter, columns, fields)


def _known(header: Header) -> int:
    return sum(field is not None for field in header.fields)


def read_rows(text: str, header: Header) -> Iterator[Row]:
    """The rows under the header, each with its first line's number. Errors: InvalidInputError for no column of URLs."""
    if "url" not in header.fields:
        named = ", ".join(column or "(no name)" for column in header.columns)
        message = f"no column holds the URLs: the columns are {named}. Call one of them url"
        raise InvalidInputError([Problem("", message, _lines_before(text) + 1)])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=header.delimiter)
    line, is_header = 0, not header.bare
    while True:
        begins = line + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield Row(begins, {}, [Problem("", f"this row cannot be read ({error})", begins)])
            return
        line = reader.line_num
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if not is_header:
            yield _row(begins, cells, header)
        is_header = False


def _lines_before(text: str) -> int:
    return next((number for number, line in enumerate(text.splitlines()) if line.strip()), 0)


def _row(line: int, cells: list[str], header: Header) -> Row:
    fields: dict[str, Any] = {}
    problems: list[Problem] = []
    if any(cell.strip() for cell in cells[len(header.columns) :]):
        advice = f"put quotes around a value with {_shown(header.delimiter)} in it"
        message = f"{len(cells)} values for {len(header.columns)} columns: {advice}"
        return Row(line, {}, [Problem("", message, line)])
    for field, column, cell in zip(header.fields, header.columns, cells, strict=False):
        value = cell.strip()
        if field is None or not value:
            continue
        try:
            name, read = FIELDS[field]
            found = read(value)
            fields[name] = {**fields.get(name, {}), **found} if name == "expect" else found
        except ValueError as error:
            problems.append(Problem(column, str(error), line))
    if "url" not in fields:
        problems.append(Problem("url", "there is no URL in this row", line))
    return Row(line, fields, problems, cells)


def _shown(delimiter: str) -> str:
    return {"\t": "a tab", ",": "a comma", ";": "a semicolon"}.get(delimiter, delimiter)


def seconds(text: str, unit_s: int = 1) -> float:
    """A duration such as `90`, `90s`, `5 min`, `1h`; a bare number is in `unit_s`. Errors: ValueError with advice."""
    match = _DURATION.match(text.lower())
    if match is None:
        raise ValueError(f"{text!r} is no time: write 90, 90s or 5m")
    unit = next((unit for unit in match.groups()[1:] if unit), "")
    return float(match[1]) * (SECONDS[unit] if unit else unit_s)


def _interval(unit_s: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        found = seconds(text, unit_s)
        if not found.is_integer():
            raise ValueError(f"{text!r} is no interval: write whole seconds")
        return int(found)

    return read


def _words(text: str) -> list[str]:
    return [word.strip() for word in re.split(r"[,;|]", text) if word.strip()]


def _status(text: str) -> dict[str, list[str]]:
    return {"status": re.split(r"[,;|\s]+", text)}


def _expecting(part: str, *, one: bool = False) -> Callable[[str], dict[str, Any]]:
    """A cell is one of the texts or conditions that a part may hold several of, or the only one."""
    return lambda text: {part: text if one else [text]}


def _yes(text: str) -> bool:
    if text.lower() not in YES | NO:
        raise ValueError(f"{text!r} is neither yes nor no")
    return text.lower() in YES


# A column's meaning -> the field of SiteIn, and what reads a cell for it.
FIELDS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "url": ("url", str),
    "name": ("name", str),
    "key": ("key", str),
    "interval_s": ("interval_s", _interval(1)),
    "interval_min": ("interval_s", _interval(60)),
    "timeout_s": ("timeout_s", seconds),
    "tags": ("tags", _words),
    "regions": ("regions", _words),
    "method": ("method", str.upper),
    "status": ("expect", _status),
    **{
        part: ("expect", _expecting(part))
        for part in ("body_contains", "body_absent", "body_matches", "json", "header")
    },
    **{part: ("expect", _expecting(part, one=True)) for part in ("max_latency_ms", "tls_days")},
    "paused": ("paused", _yes),
    "enabled": ("paused", lambda text: not _yes(text)),
}
