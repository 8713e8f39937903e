"""What has to be true of the database before a role may run."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.errors import UnavailableError
from pipeline.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine


def _silent(_line: str) -> None:
    pass


def prepare(settings: Settings, say: Callable[[str], None] = _silent) -> bool:
    """Bring the tables to this version and, in a new database, add the default regions. True where anything changed.

    Of embedded servers a backup is made before, which `say` is told of. Secrets that an older release kept plain are
    sealed. Errors: UnavailableError, WorkbenchError where the secret key is unfit.
    """
    from pipeline.store.engine import engine, migrate
    from pipeline.store.regions import seed_regions

    changed = _migrate_ours(settings, say) if settings.embedded else migrate(settings.database)
    store = engine(settings.database, name="bootstrap")
    try:
        with store.begin() as connection:
            seed_regions(connection, now=datetime.now(UTC))
        _seal(store, settings, say)
    finally:
        store.dispose()
    return changed


def _seal(store: Engine, settings: Settings, say: Callable[[str], None]) -> None:
    from pipeline.secret_key import ring_where_ours
    from pipeline.secrets import HOW
    from pipeline.store.sealing import keys_in_use, seal_plain

    ring = ring_where_ours(settings)
    if ring:
        if done := seal_plain(store.begin, ring):
            say(f"Secrets sealed in {done} rows that held them plain; backups made before still do")
        return
    with store.begin() as connection:
        plain = keys_in_use(connection)[""]
    if plain:
        say(f"Secrets are kept plain in {plain} rows, and their checks are not made: {HOW}, then run this again")


def _migrate_ours(settings: Settings, say: Callable[[str], None]) -> bool:
    """Migrate the data dir's database, after a backup where there is something to lose; and note that it is ours."""
    from pipeline.store.engine import MigrationError, head, migrate
    from workers.embedded import backup, version

    made: list[backup.Backup] = []

    def keep(found: str) -> None:
        began = time.monotonic()
        dump = backup.make(settings.data_dir, settings.database, found, into=head(), now=datetime.now(UTC))
        made.append(dump)
        say(f"Backup of version {found} {time.monotonic() - began:.1f} s: {dump.path} ({dump.size_mb:.1f} MB)")

    try:
        changed = migrate(settings.database, before=keep)
    except MigrationError as error:
        raise UnavailableError(" ".join([str(error), *(backup.advice(each.path) for each in made)])) from error
    version.note(settings.data_dir, head())
    return changed
