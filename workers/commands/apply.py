"""`betterstack apply FILE`: bring sites and regions to what a file declares."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from workers.commands.store import ACTOR, BAD_INPUT, echo_json, ring, said, transaction

app = typer.Typer()


@app.command()
def apply(
    file: Annotated[
        Path | None, typer.Argument(help="YAML or JSON; - reads standard input", show_default=False)
    ] = None,
    schema: Annotated[bool, typer.Option("--schema", help="print the file's JSON Schema, for an editor")] = False,
    json: Annotated[bool, typer.Option("--json", help="print JSON instead")] = False,
) -> None:
    """Create or change the sites and regions that a file names, and leave the rest alone. All of it, or nothing."""
    from pipeline.declared import Declared
    from pipeline.store.apply import apply_file

    if schema:
        echo_json(Declared.model_json_schema())
        return
    source = _read(file)
    with said():
        applied = apply_file(source, transaction, now=datetime.now(UTC), actor=ACTOR, ring=ring)
    if json:
        echo_json(applied)
        return
    for what, keys in (("created", applied.created), ("changed", applied.changed), ("unchanged", applied.unchanged)):
        typer.echo(f"{len(keys)} {what}" + (f": {', '.join(keys)}" if keys and what != "unchanged" else ""))


def _read(file: Path | None) -> bytes:
    if file is None:
        raise typer.BadParameter("name a file, or - for standard input", param_hint="FILE")
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        typer.echo(f"betterstack: {file} cannot be read: {error.strerror}", err=True)
        raise typer.Exit(BAD_INPUT) from None
