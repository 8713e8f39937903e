"""Engines and migrations. Alembic is imported where it is used: every role opens an engine, few migrate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, Pool, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from pipeline.errors import UnavailableError
from pipeline.store.session import VANISHED, plain_dsn

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["engine", "head", "migrate", "migrated", "plain_dsn"]

MIGRATIONS = Path(__file__).with_name("migrations")
MIGRATION_LOCK = 0x62657474  # "bett": two starts at once migrate one after the other


def engine(dsn: str, *, read_only: bool = False, pool: type[Pool] = QueuePool, name: str = "betterstack") -> Engine:
    """An engine on psycopg 3, in UTC. `read_only` makes every transaction refuse to write."""
    url = make_url(dsn).set(drivername="postgresql+psycopg")
    options = "-c timezone=UTC" + (" -c default_transaction_read_only=on" if read_only else "")
    connect_args = {**VANISHED, "application_name": name, "options": options}
    if pool is NullPool:
        return create_engine(url, poolclass=NullPool, connect_args=connect_args)
    return create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=10, connect_args=connect_args)


def migrate(dsn: str) -> bool:
    """Bring the tables to this version. Returns whether anything changed. Errors: UnavailableError."""
    bare = engine(dsn, pool=NullPool)
    try:
        with bare.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            if migrated(connection):
                return False
            from alembic import command

            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except OperationalError as error:
        raise UnavailableError(f"Postgres cannot be reached: {error.orig}") from error
    return True


def head() -> str:
    """The newest migration that this code knows, by the names of its files."""
    return max(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def migrated(connection: Connection) -> bool:
    """Whether the tables are of this code's version."""
    return _version(connection) == head()


def _version(connection: Connection) -> str | None:
    if connection.execute(text("select to_regclass('alembic_version')")).scalar() is None:
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar()


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
