"""Gatus' SQLite file: endpoints and their results. It keeps no URLs, so its configuration may be given beside it.

A result is a check: Gatus confirms nothing. Of old it keeps sums by the hour, which cannot become checks again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.errors import InvalidInputError, Problem
from pipeline.imports.failures import outcome_of
from pipeline.imports.foreign import CHECKS, Foreign, Note, Watched
from pipeline.imports.sqlite import opened
from pipeline.vocabulary import Outcome

SOURCE = "gatus"
KIND = "no database of Gatus"
AT_ONCE = 100_000
SEPARATOR = "|~|"  # between the errors of a result
DEFAULT_INTERVAL_S = 60
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:\.(\d+))?")
_LENGTH = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_STATUS = re.compile(r"\[STATUS\] == (\d{3})\s*$")


def read(file: Path, config: Path | None = None) -> Foreign:
    """What the file holds; `config` is Gatus' YAML. Errors: InvalidInputError."""
    declared = _declared(config) if config else {}
    notes: list[Note] = []
    with opened(file, KIND) as connection:
        endpoints = connection.execute(
            "select endpoint_id, endpoint_key, endpoint_name, endpoint_group from endpoints order by endpoint_id"
        ).fetchall()
        hosts = dict(
            connection.execute(
                "select endpoint_id, max(hostname) from endpoint_results where hostname <> '' group by 1"
            )
        )
        hours = connection.execute("select count(*) from endpoint_uptimes").fetchone()[0]
    watched = []
    for number, key, name, group in endpoints:
        called = f"{group} {name}".strip()
        settings = declared.get((group or "", name))
        fields, lost = _fields(called, group, settings, hosts.get(number))
        if fields is None:
            notes.append(Note(called, f"not taken: {lost[0]}"))
            continue
        notes += [Note(called, what) for what in lost]
        watched.append(
            Watched(called, fields | {"key": _key(key)}, fields["interval_s"], partial(_checks, file, number))
        )
    if hours:
        notes.append(Note("", f"{hours} sums of hours are not taken: checks cannot be made of them"))
    return Foreign(SOURCE, watched, notes)


def _declared(config: Path) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The endpoints of the YAML by group and name."""
    import yaml

    try:
        found = yaml.safe_load(config.read_text(encoding="utf-8"))
        endpoints = found["endpoints"]
        return {(str(each.get("group", "")), str(each["name"])): each for each in endpoints}
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        problem = Problem("config", f"{config.name} is no configuration of Gatus with endpoints: {error}")
        raise InvalidInputError([problem]) from None


def _fields(
    name: str, group: str | None, settings: Mapping[str, Any] | None, host: str | None
) -> tuple[dict[str, Any] | None, list[str]]:
    lost: list[str] = []
    if settings is None:
        if not host:
            return None, ["its URL is in Gatus' configuration only: name that with --config"]
        lost.append(f"its URL is guessed, https://{host}, and it is paused: look at it, then resume it")
        settings = {"url": f"https://{host}"}
    url = str(settings.get("url", ""))
    scheme = url.partition("://")[0]
    if scheme not in ("http", "https", "tcp", "tls"):
        return None, [f"{scheme or 'no'}:// is not checked here"]
    status = [found[1] for each in settings.get("conditions", []) if (found := _STATUS.match(str(each)))]
    others = [str(each) for each in settings.get("conditions", []) if not _STATUS.match(str(each))]
    if others:
        lost.append(f"write these conditions anew: {', '.join(others)}")
    interval_s = _seconds(str(settings.get("interval", "60s")))
    fields: dict[str, Any] = {
        "name": name[:200],
        "url": url,
        "interval_s": interval_s,
        "timeout_s": float(min(10, interval_s)),
        "confirmations": 0,
        "tags": [group] if group else [],
        "paused": bool(lost and "guessed" in lost[0]) or settings.get("enabled") is False,
    }
    if scheme in ("http", "https"):
        fields["method"] = str(settings.get("method", "GET")).upper()
        fields["headers"] = {str(key): str(value) for key, value in (settings.get("headers") or {}).items()}
        if status:
            fields["expect"] = {"status": status}
    return fields, lost


def _key(key: str) -> str:
    """Theirs as one of ours."""
    return re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")[:60]


def _seconds(text: str) -> int:
    found = _LENGTH.fullmatch(text)
    if not found or not any(found.groups()):
        return DEFAULT_INTERVAL_S
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return min(max(1, hours * 3600 + minutes * 60 + seconds), 86_400)


def _checks(file: Path, endpoint: int) -> Iterator[pl.DataFrame]:
    query = """
        select timestamp, success, errors, status, dns_rcode, duration, ip from endpoint_results
        where endpoint_id = ? order by endpoint_result_id
    """
    with opened(file, KIND) as connection:
        cursor = connection.execute(query, [endpoint])
        while results := cursor.fetchmany(AT_ONCE):
            rows = [row for result in results if (row := _check(result))]
            frame = pl.DataFrame(rows, schema=CHECKS, orient="row")
            yield frame.unique(["scheduled_at", "attempt"], keep="last", maintain_order=True)


def _check(result: tuple[Any, ...]) -> tuple[Any, ...] | None:
    text, success, errors, status, rcode, duration, ip = result
    at = _time(str(text))
    if at is None:
        return None
    said = ", ".join(filter(None, str(errors or "").split(SEPARATOR))).replace("\x00", "")
    if success:
        outcome = Outcome.OK
    elif rcode and rcode != "NOERROR":
        outcome = Outcome.DNS
    elif said:
        outcome = outcome_of(said)
    else:  # it answered, and a condition did not hold
        outcome = Outcome.STATUS if status and not 200 <= status < 400 else Outcome.CONTENT
    latency = duration / 1e6 if success and duration is not None else None
    return at, 0, True, outcome.value, status or None, latency, said[:500] or None, ip or None


def _time(text: str) -> datetime | None:
    """As Go prints a time, always UTC there."""
    found = _TIME.match(text)
    if not found:
        return None
    micros = int((found[3] or "0")[:6].ljust(6, "0"))
    return datetime.fromisoformat(f"{found[1]}T{found[2]}").replace(tzinfo=UTC) + timedelta(microseconds=micros)
