"""Uptime Kuma's `kuma.db`, 1.x and 2.x: monitors as sites, heartbeats as ticks, maintenance beats as windows.

Its heartbeats are attempts: those that are pending come before the one that decides, which is a slot with its
confirmations here. What a 2.x file keeps as sums only (`stat_hourly`, `stat_daily`) cannot become checks again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.errors import InvalidInputError, Problem
from pipeline.imports.failures import outcome_of, status_of
from pipeline.imports.foreign import CHECKS, Foreign, Note, Watched
from pipeline.imports.sqlite import opened
from pipeline.vocabulary import Outcome

SOURCE = "uptime-kuma"
DOWN, UP, PENDING, MAINTENANCE = range(4)
KIND = "no kuma.db"
AT_ONCE = 100_000  # heartbeats
KINDS = {"http": "", "keyword": "", "json-query": "", "port": "tcp"}
LONGEST_DETAIL = 500
_LEFT_OUT = {
    "proxy_id": "its proxy is not taken over: give the region one",
    "docker_host": "Docker is not asked here",
}


def read(file: Path) -> Foreign:
    """What the file holds. It is opened read-only, also while Kuma runs. Errors: InvalidInputError."""
    with opened(file, KIND) as connection:
        columns = _columns(connection, "monitor")
        if not columns or not _columns(connection, "heartbeat"):
            raise InvalidInputError([Problem("file", f"{file.name} is no kuma.db: it has no monitors and heartbeats")])
        monitors = [dict(row) for row in connection.execute("select * from monitor order by id")]
        tags = _tags(connection)
        sums = _columns(connection, "stat_daily")
        beats = {row[0]: row[1] for row in connection.execute("select monitor_id, count(*) from heartbeat group by 1")}
        windows = {monitor["id"]: _windows(connection, monitor) for monitor in monitors if monitor["id"] in beats}
    watched, notes = [], []
    for monitor in monitors:
        name = monitor["name"] or f"monitor {monitor['id']}"
        if why := _unfit(monitor):
            notes.append(Note(name, f"not taken: {why}"))
            continue
        fields, lost = _fields(monitor, tags.get(monitor["id"], []))
        notes += [Note(name, what) for what in lost]
        interval_s = fields["interval_s"]
        checks = partial(_checks, file, monitor["id"])
        watched.append(Watched(name, fields, interval_s, checks, windows.get(monitor["id"], [])))
    if sums:
        notes.append(Note("", "sums of days and hours (Kuma 2) are not taken: checks cannot be made of them"))
    return Foreign(SOURCE, watched, notes)


def _columns(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row["name"] for row in connection.execute(f"pragma table_info({table})")}


def _tags(connection: sqlite3.Connection) -> dict[int, list[str]]:
    if not _columns(connection, "monitor_tag"):
        return {}
    rows = connection.execute(
        "select mt.monitor_id, t.name, mt.value from monitor_tag mt join tag t on t.id = mt.tag_id"
    )
    found: dict[int, list[str]] = {}
    for monitor, name, value in rows:
        found.setdefault(monitor, []).append(f"{name} {value}".strip() if value else name)
    return found


def _unfit(monitor: Mapping[str, Any]) -> str | None:
    if monitor["type"] not in KINDS:
        return f"a {monitor['type']} monitor is none of HTTP or TCP"
    if monitor.get("upside_down"):
        return "it is upside down: its failures are meant to be good"
    return None


def _fields(monitor: Mapping[str, Any], tags: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The fields of `SiteIn`, and what of the monitor is not in them."""
    kind, lost = KINDS[monitor["type"]], [why for name, why in _LEFT_OUT.items() if monitor.get(name)]
    fields: dict[str, Any] = {
        "name": (monitor["name"] or "")[:200],
        "interval_s": max(1, min(int(monitor["interval"] or 60), 86_400)),
        "confirmations": min(int(monitor["maxretries"] or 0), 5),
        "spacing_s": float(min(monitor.get("retry_interval") or 5, 60)),
        "tags": tags,
        "paused": not monitor["active"],
    }
    if (monitor["maxretries"] or 0) > fields["confirmations"]:
        lost.append(f"{monitor['maxretries']} retries become {fields['confirmations']} confirmations, the most here")
    timeout_s = float(monitor.get("timeout") or 0) or fields["interval_s"] * 0.8
    fields["timeout_s"] = max(0.5, min(timeout_s, 60.0, fields["interval_s"]))
    if kind == "tcp":
        return fields | {"url": f"tcp://{monitor['hostname']}:{monitor['port']}"}, lost
    method = (monitor.get("method") or "GET").upper()
    fields |= {
        "url": monitor["url"],
        "method": method,
        "verify_tls": not monitor.get("ignore_tls"),
        "max_redirects": max(0, min(int(monitor.get("maxredirects") or 0), 20)),
        "headers": _headers(monitor.get("headers"), lost),
        "body": (monitor.get("body") or "") if method not in ("GET", "HEAD") else "",
        "expect": _expect(monitor, lost),
    }
    auth = monitor.get("auth_method") or ("basic" if monitor.get("basic_auth_user") else "")
    if auth == "basic":
        fields["auth"] = {"username": monitor["basic_auth_user"], "password": monitor.get("basic_auth_pass") or ""}
    elif auth:
        lost.append(f"signing in by {auth} is not taken over")
    return fields, lost


def _headers(text: str | None, lost: list[str]) -> dict[str, str]:
    try:
        found = json.loads(text or "{}")
        return {str(name): str(value) for name, value in found.items()}
    except (ValueError, AttributeError):
        lost.append("its headers are no JSON object, and are left out")
        return {}


def _expect(monitor: Mapping[str, Any], lost: list[str]) -> dict[str, Any]:
    try:
        status = json.loads(monitor.get("accepted_statuscodes_json") or "[]") or ["200-299"]
    except ValueError:
        status = ["200-299"]
    expect: dict[str, Any] = {"status": [str(entry) for entry in status]}
    if monitor["type"] == "keyword" and monitor.get("keyword"):
        expect["body_absent" if monitor.get("invert_keyword") else "body_contains"] = [monitor["keyword"]]
    if monitor["type"] == "json-query":
        lost.append(
            f"its query ({monitor.get('json_path')}) is JSONata: write it anew under `json`, as $.path == value"
        )
    return expect


def _checks(file: Path, monitor: int) -> Iterator[pl.DataFrame]:
    """The monitor's heartbeats as frames of CHECKS. Slots are whole in a frame."""
    query = "select time, status, ping, msg from heartbeat where monitor_id = ? order by time, id"
    with opened(file, KIND) as connection:
        cursor = connection.execute(query, [monitor])
        waiting: list[tuple[datetime, str | None]] = []  # pending beats, whose slot is not decided
        while beats := cursor.fetchmany(AT_ONCE):
            rows: list[tuple[Any, ...]] = []
            for beat in beats:
                at = _time(beat["time"])
                if at is None or beat["status"] == MAINTENANCE:
                    waiting = []
                    continue
                if beat["status"] == PENDING:
                    waiting.append((at, beat["msg"]))
                    continue
                rows += _slot(waiting, at, beat)
                waiting = []
            frame = pl.DataFrame(rows, schema=CHECKS, orient="row")
            # Kuma may have beaten twice in a millisecond, or across a restart: a slot is told once.
            yield frame.unique(["scheduled_at", "attempt"], keep="last", maintain_order=True)


def _slot(waiting: list[tuple[datetime, str | None]], at: datetime, beat: sqlite3.Row) -> Iterator[tuple[Any, ...]]:
    """A decided slot: what was pending before it, and the beat that decided."""
    slot = waiting[0][0] if waiting else at
    for attempt, (_, message) in enumerate(waiting):
        yield slot, attempt, False, outcome_of(message).value, status_of(message), None, _text(message), None
    up = beat["status"] == UP
    outcome = Outcome.OK if up else outcome_of(beat["msg"])
    latency = float(beat["ping"]) if up and beat["ping"] is not None else None
    detail = None if up else _text(beat["msg"])
    yield slot, len(waiting), True, outcome.value, status_of(beat["msg"]), latency, detail, None


def _windows(connection: sqlite3.Connection, monitor: Mapping[str, Any]) -> list[tuple[datetime, datetime]]:
    """Runs of maintenance beats, each beat standing for an interval."""
    step = timedelta(seconds=max(1, int(monitor["interval"] or 60)))
    query = "select time from heartbeat where monitor_id = ? and status = ? order by time"
    windows: list[tuple[datetime, datetime]] = []
    for (text,) in connection.execute(query, [monitor["id"], MAINTENANCE]):
        at = _time(text)
        if at is None:
            continue
        if windows and at <= windows[-1][1] + step:
            windows[-1] = (windows[-1][0], max(at + step, windows[-1][1]))
        else:
            windows.append((at, at + step))
    return windows


def _time(text: str | int | None) -> datetime | None:
    """UTC, as Kuma writes it; a MariaDB dump may have none."""
    try:
        return datetime.fromisoformat(str(text).removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        return None


def _text(message: str | None) -> str | None:
    return (message or "").replace("\x00", "")[:LONGEST_DETAIL] or None
