"""`betterstack demo load|purge`: ninety days of an invented company, to look around in."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime

import typer

from workers.commands.store import said

app = typer.Typer()
demo = typer.Typer(no_args_is_help=True, help="Ninety days of an invented company's sites, to look around in.")
app.add_typer(demo, name="demo")


@demo.command()
def load() -> None:
    """Add sixty sites in four regions with ninety days behind them, to a workbench that watches nothing yet."""
    with said():
        load_demo(typer.echo)


@demo.command()
def purge() -> None:
    """Take the demo out again, with everything that belongs to it."""
    from sqlalchemy.pool import NullPool

    from pipeline.store.demo import purge as take_out
    from pipeline.store.engine import engine
    from pipeline.store.explained import explained
    from workers.cli import read_settings

    with said(), explained():
        store = engine(read_settings("cli").database, pool=NullPool, name="betterstack cli")
        sites = take_out(store, now=datetime.now(UTC))
    typer.echo(f"The demo is gone: {sites} sites." if sites else "There is no demo here.")


@demo.command(hidden=True)
def serve() -> None:
    """Be the demo's sites."""
    from workers.cli import run_role

    run_role("demo_target")


def load_demo(say: Callable[[str], None]) -> None:
    """Load the demo, or go on where somebody was interrupted. Errors: WorkbenchError."""
    from pipeline.store.demo import fill, find, install
    from pipeline.store.session import session
    from workers.cli import read_settings
    from workers.commands.store import transaction

    began = time.monotonic()
    with transaction() as connection:
        installed = find(connection) or install(connection, now=datetime.now(UTC), port=free_port())
    with session(read_settings("cli").database, "demo", lock_timeout_ms=60_000) as filling:
        ticks = fill(filling, installed, say)
    say(f"Demo: {ticks:,} ticks of {len(installed.series)} series are there, {time.monotonic() - began:.0f} s")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
