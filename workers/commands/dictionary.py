"""`betterstack dictionary`: what every column of every frame means."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from workers.commands.store import echo_json, said

app = typer.Typer()


class Form(StrEnum):
    """How it is printed."""

    MARKDOWN = "markdown"
    JSON = "json"


@app.command()
def dictionary(
    frame: Annotated[list[str] | None, typer.Argument(help="such as ticks or rollups", show_default="all")] = None,
    format_: Annotated[Form, typer.Option("--format")] = Form.MARKDOWN,
) -> None:
    """Print what the columns of frames, exports and notebooks mean, with types and units."""
    from pipeline.dictionary import entries, markdown

    with said():
        if format_ is Form.JSON:
            echo_json(entries(frame or ()))
        else:
            typer.echo(markdown(frame or ()).strip())
