"""Engines and migrations. Alembic is imported where it is used: every role opens an engine, few migrate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy import Connection, Engine, Pool, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from pipeline.errors import UnavailableError
from pipeline.store.revisions import MIGRATIONS, head, known
from pipeline.store.session import VANISHED, plain_dsn

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["MigrationError", "engine", "head", "migrate", "migrated", "plain_dsn", "version"]

MIGRATION_LOCK = 0x62657474  # "bett": two starts at once migrate one after the other


class MigrationError(UnavailableError):
    """A migration failed. It is one transaction, so the data is as it was before."""


def engine(dsn: str, *, read_only: bool = False, pool: type[Pool] = QueuePool, name: str = "betterstack") -> Engine:
    """An engine on psycopg 3, in UTC. `read_only` makes every transaction refuse to write."""
    url = make_url(dsn).set(drivername="postgresql+psycopg")
    options = "-c timezone=UTC" + (" -c default_transaction_read_only=on" if read_only else "")
    connect_args = {**VANISHED, "application_name": name, "options": options}
    if pool is NullPool:
        return create_engine(url, poolclass=NullPool, connect_args=connect_args)
    return create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=10, connect_args=connect_args)


def driver(connection: Connection) -> psycopg.Connection:
    """The psycopg connection under SQLAlchemy's, in the same transaction: COPY is not in SQLAlchemy."""
    under = connection.connection.driver_connection
    assert isinstance(under, psycopg.Connection)
    return under


def migrate(dsn: str, *, before: Callable[[str], object] | None = None) -> bool:
    """Bring the tables to this version, in one transaction. Returns whether anything changed.

    `before` is called with the version found where there is something to migrate, and may still prevent it.
    Errors: MigrationError, UnavailableError; tables of a version that this code does not know are left alone.
    """
    bare = engine(dsn, pool=NullPool)
    try:
        with bare.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            found = version(connection)
            if found == head():
                return False
            if found is not None:
                _refuse_unknown(found)
                # `before` may take its time, and a server may end whoever idles in a transaction.
                connection.execute(text("set local idle_in_transaction_session_timeout = 0"))
                if before is not None:
                    before(found)
            _upgrade(connection, found)
    except OperationalError as error:
        raise UnavailableError(f"Postgres cannot be reached: {error.orig}") from error
    return True


def _refuse_unknown(found: str) -> None:
    if found not in known():
        raise UnavailableError(
            f"The tables are of version {found}, and this Workbench knows them up to {head()}: a newer one made them. "
            "Nothing was changed. Upgrade this Workbench, or name another database."
        )


def _upgrade(connection: Connection, found: str | None) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        said = str(error.orig).strip().partition("\n")[0]
        raise MigrationError(
            f"The tables could not be brought from {found or 'nothing'} to {head()}: {said}. Nothing was changed."
        ) from error


def migrated(connection: Connection) -> bool:
    """Whether the tables are of this code's version."""
    return version(connection) == head()


def version(connection: Connection) -> str | None:
    """The version of the tables there, None where there are none."""
    if connection.execute(text("select to_regclass('alembic_version')")).scalar() is None:
        return None
    return connection.execute(text("select version_num from alembic_version")).scalar()


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config
