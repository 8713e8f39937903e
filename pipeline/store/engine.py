"""Engines and migrations. Alembic is imported where it is used: every role opens an engine, few migrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Pool, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from pipeline.errors import UnavailableError

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).with_name("migrations")
MIGRATION_LOCK = 0x62657474  # "bett": two starts at once migrate one after the other

# A server that vanished without a word is noticed by the kernel within these seconds, not within two hours.
VANISHED: dict[str, Any] = {
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


def engine(dsn: str, *, read_only: bool = False, pool: type[Pool] = QueuePool, name: str = "betterstack") -> Engine:
    """An engine on psycopg 3, in UTC. `read_only` makes every transaction refuse to write."""
    url = make_url(dsn).set(drivername="postgresql+psycopg")
    options = "-c timezone=UTC" + (" -c default_transaction_read_only=on" if read_only else "")
    connect_args = {**VANISHED, "application_name": name, "options": options}
    if pool is NullPool:
        return create_engine(url, poolclass=NullPool, connect_args=connect_args)
    return create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=10, connect_args=connect_args)


def plain_dsn(dsn: str) -> str:
    """The DSN as libpq reads it, for psycopg and ADBC."""
    return make_url(dsn).set(drivername="postgresql").render_as_string(hide_password=False)


def migrate(dsn: str) -> bool:
    """Bring the tables to this version. Returns whether anything changed. Errors: UnavailableError."""
    from alembic import command

    config = _config()
    bare = engine(dsn, pool=NullPool)
    try:
        with bare.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            before = _revision(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except OperationalError as error:
        raise UnavailableError(f"Postgres cannot be reached: {error.orig}") from error
    return before != head()


def head() -> str | None:
    """The newest migration that this code knows."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config()).get_current_head()


def migrated(connection: Connection) -> bool:
    """Whether the tables are of this code's version."""
    return _revision(connection) == head()


def _revision(connection: Connection) -> str | None:
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
