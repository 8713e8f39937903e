"""The roles as commands, for `--help` and for what was mistyped; `cli.main` runs a role without coming here."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer()
PANEL = "Roles, one process each (`up` runs them all)"


@app.command(rich_help_panel=PANEL)
def pusher() -> None:
    """Send out the checks that are due."""
    _run("pusher")


@app.command(rich_help_panel=PANEL)
def prober(region: Annotated[str, typer.Option(help="key of the region to serve")]) -> None:
    """Make the checks of one region."""
    _run("prober", region)


@app.command(rich_help_panel=PANEL)
def recorder() -> None:
    """Write down ticks, and judge them."""
    _run("recorder")


@app.command(rich_help_panel=PANEL)
def roller() -> None:
    """Roll ticks up into hours and days."""
    _run("roller")


@app.command(rich_help_panel=PANEL)
def supervisor() -> None:
    """Run the probers of managed regions, as many as their load needs."""
    _run("supervisor")


@app.command("app", rich_help_panel=PANEL)
def serve() -> None:
    """Serve pages and API."""
    _run("app")


def _run(role: str, region: str | None = None) -> None:
    from workers.cli import run_role

    run_role(role, region)
