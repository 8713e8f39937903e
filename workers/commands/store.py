"""What the commands that talk to Postgres share: a transaction on the store, plain tables, and errors for a person."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from pipeline.errors import InvalidInputError, UnavailableError, WorkbenchError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pipeline.ring import Ring

ACTOR = "cli"
BAD_INPUT = 2


@contextmanager
def store(options: Mapping[str, str] | None = None, *, read_only: bool = False) -> Iterator[Connection]:
    """One transaction on the database in force. What goes wrong is said in words (see `said`)."""
    with said(options), transaction(read_only=read_only) as connection:
        yield connection


@contextmanager
def transaction(*, read_only: bool = False) -> Iterator[Connection]:
    """The same for whoever says it in words of their own. Errors: WorkbenchError."""
    from sqlalchemy.pool import NullPool

    from pipeline.store.engine import engine
    from pipeline.store.explained import explained
    from workers.cli import read_settings

    database = engine(read_settings("cli").database, read_only=read_only, pool=NullPool, name="betterstack cli")
    with explained(), database.begin() as connection:
        yield connection


def ring() -> Ring:
    """The secret keys in force, for what an edit seals. Errors: WorkbenchError."""
    from pipeline.secret_key import ring_where_ours
    from workers.cli import read_settings

    return ring_where_ours(read_settings("cli"))


@contextmanager
def said(options: Mapping[str, str] | None = None) -> Iterator[None]:
    """Print what we raise on purpose, a line a problem, and end. `options` are the fields' names on a command line."""
    try:
        yield
    except InvalidInputError as error:
        for problem in error.problems:
            option = (options or {}).get(re.sub(r"\[\d+\]$", "", problem.field))
            problem.field = option or problem.field
            typer.echo(f"betterstack: {problem}", err=True)
        raise typer.Exit(BAD_INPUT) from None
    except WorkbenchError as error:
        typer.echo(f"betterstack: {error}{_looked_at(error)}", err=True)
        raise typer.Exit(BAD_INPUT) from None


def _looked_at(error: WorkbenchError) -> str:
    """Where an embedded server was looked for that does not answer: perhaps it runs, on another data dir."""
    if not isinstance(error, UnavailableError):
        return ""
    from workers.cli import read_settings

    settings = read_settings("cli")
    if not settings.embedded:
        return ""
    return f" Looked at: {settings.data_dir.resolve()}; --data-dir or BETTERSTACK_DATA_DIR names another one."


def echo_table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Columns side by side, whole at any width, so that grep and awk find what they look for."""
    cells = [[_cell(value) for value in row] for row in [headers, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    for row in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def echo_json(value: Any) -> None:
    """One JSON document; times are ISO 8601 in UTC."""
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _cell(value: Any) -> str:
    """A name may hold what a terminal would obey."""
    text = "-" if value is None or value == "" else str(value)
    return "".join(letter if letter.isprintable() else "�" for letter in text)
