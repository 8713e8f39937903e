"""The tables as SQLAlchemy sees them. The migrations make them; a test holds the two together."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Identity,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

metadata = MetaData()


def _identity() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _when(name: str, *, optional: bool = False, primary_key: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=optional, primary_key=primary_key)


def _int(name: str, *, primary_key: bool = False, optional: bool = False) -> Column[int]:
    return Column(name, Integer, primary_key=primary_key, nullable=optional, autoincrement=False)


def _is(name: str, type_: type[TypeEngine[Any]] | TypeEngine[Any]) -> Column[Any]:
    return Column(name, type_, nullable=False)


def _maybe(name: str, type_: type[TypeEngine[Any]] | TypeEngine[Any]) -> Column[Any]:
    return Column(name, type_, nullable=True)


def _table(name: str, *columns: Column[Any]) -> Table:
    workspace: Column[int] = Column("workspace_id", Integer, nullable=False, server_default="1")
    return Table(name, metadata, *columns, workspace)


workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Integer, Identity(), primary_key=True),
    _is("key", Text),
    _is("name", Text),
    _when("created_at"),
)

regions = _table(
    "regions",
    Column("id", Integer, Identity(), primary_key=True),
    _is("key", Text),
    _is("name", Text),
    _is("managed", Boolean),
    _maybe("source_address", Text),
    _maybe("proxy", Text),
    _is("resolvers", ARRAY(Text)),
    _when("created_at"),
    _when("updated_at"),
    _when("deleted_at", optional=True),
    _int("min_probers"),
    _int("max_probers"),
    Column("access", Integer, nullable=False, server_default="1"),
    _is("reference_targets", ARRAY(Text)),
)

sites = _table(
    "sites",
    Column("id", Integer, Identity(), primary_key=True),
    _is("key", Text),
    _is("name", Text),
    _is("url", Text),
    _int("interval_s"),
    _is("timeout_s", Double),
    _is("confirmations", SmallInteger),
    _is("spacing_s", Double),
    _is("method", Text),
    _is("headers", JSONB),
    _is("expect", JSONB),
    _is("max_redirects", SmallInteger),
    _is("tags", ARRAY(Text)),
    _is("all_regions", Boolean),
    _is("paused", Boolean),
    _when("created_at"),
    _when("updated_at"),
    _when("deleted_at", optional=True),
    _is("body", Text),
    _maybe("auth", JSONB(none_as_null=True)),
    _maybe("client_certificate", Text),
    _is("verify_tls", Boolean),
    _is("family", Text),
)

links = _table("links", _int("site_id", primary_key=True), _int("region_id", primary_key=True))

revisions = _table(
    "revisions",
    _identity(),
    _int("site_id"),
    _int("region_id"),
    _when("effective_at"),
    _is("active", Boolean),
    _int("interval_s"),
    _is("spec", JSONB),
    _is("network", JSONB),
    _is("actor", Text),
    _when("created_at"),
)

audit = _table(
    "audit",
    _identity(),
    _when("at"),
    _is("actor", Text),
    _is("action", Text),
    _is("subject", Text),
    _is("detail", JSONB),
)


def _ticks(name: str) -> Table:
    return _table(
        name,
        _when("scheduled_at", primary_key=True),
        _when("started_at", optional=True),
        _int("site_id", primary_key=True),
        _int("region_id", primary_key=True),
        _int("interval_s"),
        _int("revision"),
        _int("bytes", optional=True),
        *(_maybe(f"{phase}_ms", REAL) for phase in ("dns", "connect", "tls", "ttfb", "transfer", "latency", "error")),
        Column("attempt", SmallInteger, primary_key=True, autoincrement=False),
        _is("outcome", SmallInteger),
        _maybe("status", SmallInteger),
        *(_is(code, SmallInteger) for code in ("kind", "clock", "source")),
        _is("final", Boolean),
        _is("trusted", Boolean),
        _is("prober", Text),
        _maybe("ip", Text),
        _maybe("detail", Text),
    )


ticks = _ticks("ticks")
late_ticks = _ticks("late_ticks")

series = _table(
    "series",
    _int("site_id", primary_key=True),
    _int("region_id", primary_key=True),
    _int("interval_s"),
    _is("settle_s", Double),
    _is("state", Text),
    _maybe("outcome", Text),
    _maybe("detail", Text),
    _when("since", optional=True),
    _when("slot_at", optional=True),
    _when("fresh_until", optional=True),
    _maybe("latency_ms", REAL),
    _maybe("status", SmallInteger),
    _when("expires_at", optional=True),
)

snapshots = _table(
    "snapshots",
    _when("scheduled_at", primary_key=True),
    _int("site_id", primary_key=True),
    _int("region_id", primary_key=True),
    Column("attempt", SmallInteger, primary_key=True, autoincrement=False),
    _is("outcome", SmallInteger),
    _is("seen", JSONB),
)

verdicts = _table(
    "verdicts",
    _int("site_id", primary_key=True),
    _is("state", Text),
    _when("since", optional=True),
)

transitions = _table(
    "transitions",
    _identity(),
    _int("site_id", optional=True),
    _when("at"),
    _when("recorded_at"),
    _is("from_state", Text),
    _is("to_state", Text),
    _is("votes", JSONB),
    _when("claimed_at", optional=True),
    _when("delivered_at", optional=True),
    _is("kind", Text),
    _int("objective_id", optional=True),
    _is("detail", JSONB),
)

dirty_hours = _table("dirty_hours", _when("at"), _int("site_id"), _int("region_id"))


def _rollups(name: str) -> Table:
    counts = ("checks", "up", "degraded", "down", "unknown", "attempts", "first_failures", "untrusted")
    pieces = [_is("pieces", ARRAY(BigInteger))] if name == "rollups_hour" else []
    return _table(
        name,
        _when("at", primary_key=True),
        _int("site_id", primary_key=True),
        _int("region_id", primary_key=True),
        *(_int(count) for count in counts),
        *(_is(f"{state}_us", BigInteger) for state in ("up", "degraded", "down", "unknown")),
        *(_maybe(f"p{percent}_ms", REAL) for percent in (50, 90, 95, 99)),
        _is("buckets", ARRAY(SmallInteger)),
        _is("counts", ARRAY(Integer)),
        _when("last_until", optional=True),
        _maybe("last_state", SmallInteger),
        *pieces,
    )


rollups_hour = _rollups("rollups_hour")
rollups_day = _rollups("rollups_day")

spans_region = _table(
    "spans_region",
    _when("since", primary_key=True),
    _when("until"),
    _when("at"),
    _when("last_at"),
    _int("site_id", primary_key=True),
    _int("region_id", primary_key=True),
    _int("checks"),
    _is("state", SmallInteger),
)

spans_site = _table(
    "spans_site",
    _when("since", primary_key=True),
    _when("until"),
    _when("at"),
    _when("began_after", optional=True),
    _when("ended_after", optional=True),
    _int("site_id", primary_key=True),
    *(_is(name, SmallInteger) for name in ("state", "down", "known", "regions")),
)

dirty_days = _table("dirty_days", _when("at"), _int("site_id"))

_PHASES = ("dns", "connect", "tls", "ttfb", "transfer")
phases_hour = _table(
    "phases_hour",
    _when("at", primary_key=True),
    _int("site_id", primary_key=True),
    _int("region_id", primary_key=True),
    *(_maybe(f"{phase}_p{percent}_ms", REAL) for phase in _PHASES for percent in (50, 95)),
)
phases_day = _table(
    "phases_day",
    _when("at", primary_key=True),
    _int("site_id", primary_key=True),
    _int("region_id", primary_key=True),
    Column("phase", Text, primary_key=True),
    _is("buckets", ARRAY(SmallInteger)),
    _is("counts", ARRAY(Integer)),
)

periods = _table(
    "periods",
    _identity(),
    _is("kind", Text),
    _int("site_id", optional=True),
    _int("region_id", optional=True),
    _when("since"),
    _when("until", optional=True),
    _is("reason", Text),
    _is("actor", Text),
    _when("created_at"),
    _when("deleted_at", optional=True),
)

objectives = _table(
    "objectives",
    Column("id", Integer, Identity(), primary_key=True),
    _is("key", Text),
    _is("name", Text),
    _int("site_id", optional=True),
    _maybe("tag", Text),
    _is("target", Double),
    _int("window_days", optional=True),
    _is("policy", Text),
    _is("tz", Text),
    _when("created_at"),
    _when("updated_at"),
    _when("deleted_at", optional=True),
)

lake_days = _table(
    "lake_days",
    _when("at", primary_key=True),
    _is("rows", BigInteger),
    _is("checksum", Text),
    _is("bytes", BigInteger),
    _is("path", Text),
    _when("written_at"),
    _when("dropped_at", optional=True),
)

scheduled_exports = _table(
    "scheduled_exports",
    Column("id", Integer, Identity(), primary_key=True),
    *(_is(name, Text) for name in ("key", "what", "format")),
    _maybe("sites", ARRAY(Text)),
    _maybe("regions", ARRAY(Text)),
    *(_is(name, Text) for name in ("every", "tz", "target")),
    _when("created_at"),
    _when("deleted_at", optional=True),
    _when("last_until", optional=True),
    _when("last_at", optional=True),
    _maybe("last_error", Text),
)

pusher = _table(
    "pusher",
    _int("id", primary_key=True),
    _is("epoch", BigInteger),
    _maybe("leader", Text),
    _when("pushed_until", optional=True),
    _when("beat_at", optional=True),
)

workers = _table(
    "workers",
    Column("name", Text, primary_key=True),
    _is("role", Text),
    _int("region_id", optional=True),
    _is("host", Text),
    _int("pid"),
    _when("started_at"),
    _when("seen_at"),
    _is("detail", JSONB),
)

backlogs = _table(
    "backlogs",
    _int("region_id", primary_key=True),
    _when("seen_at"),
    _int("checks_waiting"),
    _int("checks_pending"),
    _is("oldest_waiting_s", Double),
    _is("oldest_pending_s", Double),
    _int("ticks_waiting"),
    _is("checks_added", BigInteger),
    _is("oldest_tick_s", Double),
    _int("dead_letters"),
)

decisions = _table(
    "decisions",
    _identity(),
    _int("region_id"),
    _when("at"),
    _int("before"),
    _int("after"),
    _is("reason", Text),
    _is("figures", JSONB),
)

region_samples = _table(
    "region_samples",
    _int("region_id", primary_key=True),
    _when("at", primary_key=True),
    _int("probers"),
    _int("in_flight"),
    _is("probed", BigInteger),
    _maybe("lateness_p50_ms", REAL),
    _maybe("lateness_p95_ms", REAL),
    _maybe("lateness_p99_ms", REAL),
    _maybe("stall_ms", REAL),
    _int("checks_waiting"),
    _int("checks_pending"),
    _is("oldest_waiting_s", REAL),
    _int("ticks_waiting"),
)

arrears = _table(
    "arrears",
    _int("region_id", primary_key=True),
    _when("since"),
    _when("until"),
)

manual_checks = _table(
    "manual_checks",
    _identity(),
    _int("site_id"),
    _int("region_id"),
    _when("requested_at"),
    _is("actor", Text),
    _when("taken_at", optional=True),
)
