"""Who wrote a data dir: its format, the major version of its Postgres, the version of its tables, the product.

The file `VERSION` says so in words, a line each, so that what is newer than this code can be refused before any
server starts. Without it (or with one of the release that noted no tables) the tables themselves are asked later.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from pipeline import product
from pipeline.errors import UnavailableError
from pipeline.store import revisions
from workers.embedded import postgres

FILE = "VERSION"
FORMAT = 1  # of the data dir: what is where
NO_TABLES = "none"
NOT_NOTED = "not noted"


class Version(NamedTuple):
    """`schema` names the newest migration of the tables, NO_TABLES or NOT_NOTED."""

    format: int
    postgres: int
    schema: str
    product: str


def check(data_dir: Path) -> None:
    """Refuse what this code cannot run on, and note who we are in a new data dir. Errors: UnavailableError."""
    found, cluster = read(data_dir), _cluster(data_dir)
    if found is None and cluster is None:
        note(data_dir, NO_TABLES)
        return
    found = found or Version(FORMAT, cluster or 0, NOT_NOTED, "")
    _refuse_other(data_dir, found)
    if cluster is not None:  # what the files themselves say
        _refuse_other(data_dir, found._replace(postgres=cluster))


def is_older(data_dir: Path) -> bool:
    """Whether tables of an older version may be there: then they are migrated before anybody else looks at them."""
    found = read(data_dir)
    return found is None or found.schema not in {NO_TABLES, revisions.head()}


def note(data_dir: Path, schema: str) -> None:
    """Write down that the data dir is ours, with tables of that version: all of it, or nothing."""
    ours = Version(FORMAT, postgres.major(), schema, product.version())
    new = data_dir / f"{FILE}.new"
    try:
        with new.open("w", encoding="utf-8") as file:
            file.write("".join(f"{name} {value}\n" for name, value in ours._asdict().items()))
            file.flush()
            os.fsync(file.fileno())
        new.replace(data_dir / FILE)
    except OSError as error:
        raise UnavailableError(f"{data_dir / FILE} cannot be written: {error.strerror}") from None


def read(data_dir: Path) -> Version | None:
    """What the file says; None where there is none."""
    try:
        lines = (data_dir / FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return None
    said = dict(line.split(maxsplit=1) for line in lines if len(line.split(maxsplit=1)) == 2)
    return Version(
        format=_number(said.get("format", "")),
        postgres=_number(said.get("postgres", "")),
        schema=said.get("schema", NOT_NOTED).strip(),
        product=said.get("product", "").strip(),
    )


def _cluster(data_dir: Path) -> int | None:
    """The major version of the Postgres whose files are there; None where there are none."""
    try:
        return _number((data_dir / "postgres" / "PG_VERSION").read_text(encoding="ascii"))
    except OSError:
        return None


def _number(text: str) -> int:
    return int(text) if text.strip().isdecimal() else 0


def _refuse_other(data_dir: Path, found: Version) -> None:
    who = f"Workbench {found.product}".strip()
    for name, theirs, ours in (("format", found.format, FORMAT), ("postgres", found.postgres, postgres.major())):
        if theirs > ours:
            raise UnavailableError(_newer(data_dir, who, f"{name} {theirs}", str(ours)))
        if theirs < ours:
            raise UnavailableError(
                f"{data_dir} was written by an older {who} ({name} {theirs}, this one needs {ours}) and cannot be used "
                "as it is. Nothing was touched. Start that version on it, dump its database with "
                "`pg_dump --format=custom`, and make a new data dir of that: `betterstack restore DUMP --data-dir NEW`."
            )
    if found.schema not in {NO_TABLES, NOT_NOTED} | revisions.known():
        raise UnavailableError(_newer(data_dir, who, f"schema {found.schema}", revisions.head()))


def _newer(data_dir: Path, who: str, what: str, known: str) -> str:
    return (
        f"{data_dir} was written by a newer {who} ({what}, this one knows {known}). "
        f"Nothing was touched. Upgrade this Workbench {product.version()}, or choose another --data-dir."
    )
