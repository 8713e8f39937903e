"""A copy of the database before its tables change, and a new data dir from such a copy.

`pg_dump` of the very Postgres that runs here, in its custom format; the name tells when and of which tables. A dump
has its name only when it is whole and readable, and beside it lies a line that says what it is.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple

import psycopg

from pipeline import product
from pipeline.errors import UnavailableError
from workers.embedded import postgres, version
from workers.embedded.daemon import environment
from workers.embedded.identity import SAME, launched

FOLDER = "backups"
KEPT = 5
KEPT_OF_A_VERSION = 3  # who tries a failing upgrade again and again must not lose the backups of earlier ones
SECRET_KEY = "secret.key"  # noqa: S105 (a file's name); what the keys of regions elsewhere are derived from
# gzip's fastest: a third of the time of its default, for a tenth more bytes.
DUMP = ["--format=custom", "--compress=gzip:1", "--no-password"]
RESTORE = ["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", "--no-password"]


class Backup(NamedTuple):
    path: Path
    size_mb: float


def make(data_dir: Path, dsn: str, schema: str, *, into: str, now: datetime) -> Backup:
    """Dump the database at `dsn`, whose tables are of version `schema` and shall be of version `into`.

    Errors: UnavailableError, and then nothing is left behind.
    """
    folder = data_dir.resolve() / FOLDER
    path = folder / f"{now:%Y%m%dT%H%M%SZ}-{schema}.dump"
    part = path.with_suffix(".part")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with _private(part) as file:
            _run("The backup", ["pg_dump", *DUMP, f"--dbname={dsn}"], folder, file)
            os.fsync(file.fileno())
        _run("The backup's check", ["pg_restore", "--list", str(part)], folder)
        size = part.stat().st_size
        about = _about(data_dir, now) | {"schema": schema, "before_schema": into, "bytes": size}
        with _private(path.with_suffix(".json")) as file:
            file.write(json.dumps(about).encode() + b"\n")
        part.replace(path)
    except OSError as error:
        raise UnavailableError(
            f"No backup could be written to {folder} ({error.strerror}), so nothing was changed. Make room for it, and "
            "start again."
        ) from None
    finally:
        with suppress(OSError):
            part.unlink()
    _forget_old(folder)
    return Backup(path, size / 1e6)


def advice(backup: Path) -> str:
    """What to do with a backup when the migration after it failed."""
    dump = shlex.quote(str(backup))
    return (
        f"The version that wrote the data still runs on it. A backup is in {dump}; "
        f"`betterstack restore {dump} --data-dir NEW` makes a new data dir of it."
    )


def restore(dump: Path, data_dir: Path, dsn: str) -> str:
    """Load a dump into the empty database at `dsn` of `data_dir`; returns the version of its tables.

    All of it or nothing. The secret key beside the backups comes along. Errors: UnavailableError.
    """
    with psycopg.connect(dsn) as connection:
        if _tables(connection):
            raise UnavailableError(
                f"{data_dir} holds data already, which would be lost. Name a new or an empty --data-dir."
            )
    _run("The restore", ["pg_restore", *RESTORE, f"--dbname={dsn}", str(dump.resolve())], data_dir.resolve())
    with psycopg.connect(dsn) as connection:
        if "alembic_version" not in _tables(connection):
            raise UnavailableError(f"{dump} holds no tables of a Workbench. Remove {data_dir}, and name another file.")
        [(schema,)] = connection.execute("select version_num from alembic_version").fetchall()
    version.note(data_dir, schema)
    key, ours = dump.resolve().parent.parent / SECRET_KEY, data_dir / SECRET_KEY
    if key.is_file() and not ours.exists():
        shutil.copy(key, ours)
    return str(schema)


def _tables(connection: psycopg.Connection) -> set[str]:
    return {row[0] for row in connection.execute("select tablename from pg_tables where schemaname = 'public'")}


def _about(data_dir: Path, now: datetime) -> dict[str, object]:
    found = version.read(data_dir)
    return {
        "at": now.isoformat(timespec="seconds"),
        "written_by": (found.product if found else "") or "a release that did not note it",
        "dumped_by": product.version(),
        "postgres": postgres.major(),
    }


def _private(path: Path) -> IO[bytes]:
    """A file that only we may read, emptied if it was there."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _run(what: str, command: Sequence[str], folder: Path, out: IO[bytes] | int = subprocess.DEVNULL) -> None:
    """Run one of Postgres's programs, which ends when we end. Errors: UnavailableError with its words."""
    name, *arguments = command
    done = subprocess.run(  # noqa: S603 (our own command line)
        launched([postgres.binary(name), *arguments], folder, signal.SIGTERM, SAME),
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE,
        env=environment(),
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"{name} ended with {done.returncode}"]
        why = next((line for line in said if "error:" in line), said[-1])
        raise UnavailableError(f"{what} failed, and nothing was changed: {why}")


def _forget_old(folder: Path) -> None:
    """Keep the newest ones, and of one version's tables no more than a few."""
    for torso in folder.glob("*.part"):  # of somebody who was killed
        torso.unlink(missing_ok=True)
    kept: list[str] = []
    for dump in sorted(folder.glob("*-*.dump"), reverse=True):
        schema = dump.stem.partition("-")[2]
        if len(kept) < KEPT and kept.count(schema) < KEPT_OF_A_VERSION:
            kept.append(schema)
            continue
        for path in (dump, dump.with_suffix(".json")):
            with suppress(OSError):
                path.unlink()
