"""Another monitor's SQLite file, opened for reading only, also while its owner writes to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.errors import InvalidInputError, Problem


@contextmanager
def opened(file: Path, kind: str) -> Iterator[sqlite3.Connection]:
    """The file, its rows by name. `kind` is what it should be, in words. Errors: InvalidInputError."""
    if not file.is_file():
        raise InvalidInputError([Problem("file", f"there is no file {file}")])
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection
    except sqlite3.DatabaseError as error:
        raise InvalidInputError([Problem("file", f"{file.name} is {kind} that SQLite can read: {error}")]) from None
