"""`betterstack migrate`: the tables of this version, in a Postgres of your own. `up` does it by itself."""

from __future__ import annotations

import time

import typer

from workers.commands.store import said

app = typer.Typer()


@app.command()
def migrate() -> None:
    """Bring the tables to this version, then end. Where each role is a process of its own, run it before them.

    Safe to repeat, and to run twice at once: the second one waits for the first. A new database gets its regions.
    """
    from workers.bootstrap import prepare
    from workers.cli import read_settings

    began = time.monotonic()
    with said():
        changed = prepare(read_settings("migrate"), typer.echo)
    typer.echo(f"Tables {'migrated' if changed else 'up to date'} {time.monotonic() - began:.1f} s")
