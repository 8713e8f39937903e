"""`betterstack env`: the settings in force, for a shell."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from pipeline.settings import Settings

app = typer.Typer()


@app.command()
def env(
    data_dir: Annotated[Path | None, typer.Option(help="that of the running `up`", show_default=".betterstack")] = None,
) -> None:
    """Print the settings in force as `export` lines.

    After `eval "$(betterstack env)"` another process, psql or a notebook reaches the servers of a running `up`.
    Passwords are shown, since they are needed there.
    """
    from workers.cli import read_settings

    settings = read_settings()
    if data_dir is not None:
        settings = settings.model_copy(update={"data_dir": data_dir})
    for name, value in exported(settings).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def exported(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, with the URLs in force and the data dir absolute."""
    in_force = settings.model_dump() | {
        "data_dir": settings.data_dir.resolve(),
        "database_url": settings.database,
        "redis_url": settings.redis,
    }
    return {f"BETTERSTACK_{name.upper()}": str(value) for name, value in in_force.items() if value is not None}
