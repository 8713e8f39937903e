"""`betterstack restore`: a new data dir from a backup that was made before an upgrade."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def restore(
    dump: Annotated[Path, typer.Argument(help="a file of DATA_DIR/backups", exists=True, dir_okay=False)],
    data_dir: Annotated[Path, typer.Option(help="where to make the new one")],
) -> None:
    """Make a new data dir of a backup."""
    from pipeline.settings import Settings
    from pipeline.store.revisions import head
    from workers.commands.store import said
    from workers.commands.up import leave
    from workers.embedded import backup, running

    signal.signal(signal.SIGTERM, leave)
    settings = Settings(data_dir=data_dir, database_url=None, redis_url=None)
    with said(), running(data_dir):
        schema = backup.restore(dump, data_dir, settings.database)
    what_next = "" if schema == head() else f", which migrates it to {head()}; or start the version that wrote it"
    typer.echo(f"Restored tables of version {schema}. Start it with: betterstack up --data-dir {data_dir}{what_next}")
