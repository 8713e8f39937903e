"""Plain psycopg sessions, for the roles that write: they carry no SQLAlchemy, half a second of start-up each."""

from __future__ import annotations

import re
from typing import Any

import psycopg

# A server that vanished without a word is noticed by the kernel within these seconds, not within two hours.
VANISHED: dict[str, Any] = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


def plain_dsn(dsn: str) -> str:
    """The DSN as libpq reads it: SQLAlchemy's may name a driver."""
    return re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", dsn)


def session(
    dsn: str, name: str, *, lock_timeout_ms: int, statement_timeout_ms: int = 0, **more: Any
) -> psycopg.Connection:
    """A connection in UTC and autocommit. Errors: psycopg.OperationalError."""
    options = f"-c timezone=UTC -c lock_timeout={lock_timeout_ms} -c statement_timeout={statement_timeout_ms}"
    arguments = {**VANISHED, "application_name": name, "options": options, **more}
    return psycopg.connect(plain_dsn(dsn), autocommit=True, **arguments)
