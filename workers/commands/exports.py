"""`betterstack exports`: files that are made again after every day, week or month."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from workers.commands.export import Format, What
from workers.commands.store import ACTOR, echo_json, echo_table, store

app = typer.Typer()
exports = typer.Typer(no_args_is_help=True, help="Files that are made after every day, week or month.")
app.add_typer(exports, name="exports")

OPTIONS = {"key": "KEY", "folder": "--to", "tz": "--tz", "sites": "--site", "regions": "--region"}


class Every(StrEnum):
    """How often."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@exports.command("list")
def list_(json: Annotated[bool, typer.Option("--json", help="print JSON instead")] = False) -> None:
    """List them, with how far each is and what went wrong."""
    from pipeline.store.scheduled_exports import list_exports

    with store(read_only=True) as connection:
        found = list_exports(connection)
    if json:
        echo_json(found)
        return
    echo_table(
        ("KEY", "WHAT", "FORMAT", "EVERY", "ZONE", "TO", "WRITTEN UNTIL", "PROBLEM"),
        [
            (e.key, e.what, e.format, e.every, e.tz, e.target, e.last_until and f"{e.last_until:%F %R}", e.last_error)
            for e in found
        ],
    )


@exports.command()
def add(
    key: Annotated[str, typer.Argument(help="its short name; files are named by it", show_default=False)],
    to: Annotated[Path, typer.Option(help="folder for the files, on the roller's machine", show_default=False)],
    what: What = What.VERDICTS,
    format_: Annotated[Format, typer.Option("--format")] = Format.CSV,
    every: Every = Every.DAY,
    tz: Annotated[str, typer.Option(help="time zone whose days are meant")] = "UTC",
    site: Annotated[list[str] | None, typer.Option(help="key of a site; again for more", show_default="all")] = None,
    region: Annotated[
        list[str] | None, typer.Option(help="key of a region; again for more", show_default="all")
    ] = None,
) -> None:
    """Write a file after every period, from the one on that goes on now."""
    from pipeline.declared import parse
    from pipeline.declared_exports import ScheduledExportIn
    from pipeline.store.scheduled_exports import add_export

    fields = {
        "key": key,
        "what": what.value,
        "format": format_.value,
        "every": every.value,
        "tz": tz,
        "folder": str(to.absolute()),
        "sites": site or None,
        "regions": region or None,
    }
    with store(OPTIONS) as connection:
        wanted = parse(ScheduledExportIn, fields)
        added = add_export(connection, wanted, now=datetime.now(UTC), actor=ACTOR)
    typer.echo(
        f"{added.key}: {added.what} as {added.format}, after every {added.every} of {added.tz}, in {added.target}"
    )


@exports.command()
def remove(key: Annotated[str, typer.Argument(help="key of a scheduled export", show_default=False)]) -> None:
    """Make no further files; those that there are stay."""
    from pipeline.store.scheduled_exports import remove_export

    with store(OPTIONS) as connection:
        remove_export(connection, key, now=datetime.now(UTC), actor=ACTOR)
    typer.echo(f"{key} is removed.")
