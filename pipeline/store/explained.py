"""What Postgres throws, in words for the person in front of us. Pages, API and commands open the store inside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.errors import QueryCanceled, UndefinedColumn, UndefinedTable
from sqlalchemy.exc import DataError, InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from pipeline.errors import InvalidInputError, Problem, UnavailableError

AWAY = "Postgres does not answer. Is the workbench running? Start it with `betterstack up`."
SLOW = "Postgres took too long. Ask for less at once, or try again shortly."
OLD = "The tables are not of this version. `betterstack up` brings them up to date."


@contextmanager
def explained() -> Iterator[None]:
    """Errors: UnavailableError, InvalidInputError."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeoutError) as error:
        slow = isinstance(error, PoolTimeoutError) or isinstance(error.orig, QueryCanceled)
        raise UnavailableError(SLOW if slow else AWAY) from error
    except ProgrammingError as error:
        if isinstance(error.orig, UndefinedTable | UndefinedColumn):
            raise UnavailableError(OLD) from error
        raise
    except DataError as error:  # well-formed, and still no text or number for Postgres: a NUL in a name
        said = str(error.orig).splitlines()[0]
        raise InvalidInputError([Problem("input", f"Postgres cannot take this: {said}")]) from None
