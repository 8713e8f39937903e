"""`betterstack env`: the settings in force, for a shell."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.settings import Settings, socket_folder
from workers.commands.up import LISTENING

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
    settings = settings.model_copy(update=listens(settings))
    for name, value in exported(settings).items():
        typer.echo(f"export {name}={shlex.quote(value)}")


def listens(settings: Settings) -> dict[str, Any]:
    """Host and port that an `up` on the data dir listens on; nothing where none runs."""
    if sys.platform == "win32" or not settings.embedded:
        return {}
    import fcntl

    try:
        with (settings.data_dir / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # an `up` holds it
        pass
    except OSError:
        return {}
    else:
        return {}
    try:
        found = json.loads((socket_folder(settings.data_dir) / LISTENING).read_bytes())
        return {"host": str(found["host"]), "port": int(found["port"])}
    except (OSError, ValueError, LookupError):  # it is only starting
        return {}


def exported(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, with the URLs in force and the data dir absolute."""
    in_force = settings.model_dump(exclude={"secret_key", "region_key", "alive_file"}) | {
        "data_dir": settings.data_dir.resolve(),
        "database_url": settings.database,
        "redis_url": settings.redis,
    }
    if settings.embedded and settings.private_targets is None:  # the URLs would tell the roles that others share them
        in_force["private_targets"] = "allow"
    if settings.lake_root is not None:  # nor would they know by themselves that it lies in the data dir
        in_force["lake"] = str(settings.lake_root)
    return {f"BETTERSTACK_{name.upper()}": str(value) for name, value in in_force.items() if value is not None}
