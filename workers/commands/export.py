"""`betterstack export ticks|rollups|spans|verdicts`: what was measured, as a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from workers.commands.store import BAD_INPUT, said

app = typer.Typer()

STDOUT = Path("-")
OPTIONS = {"start": "--since", "end": "--until"}


class What(StrEnum):
    """What can be exported."""

    TICKS = "ticks"
    ROLLUPS = "rollups"
    SPANS = "spans"
    VERDICTS = "verdicts"


class Format(StrEnum):
    """How it can be written."""

    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"
    OPENMETRICS = "openmetrics"


@app.command()
def export(
    what: Annotated[
        What, typer.Argument(help="every attempt; hours by site and region; what held by region; the regions' vote")
    ],
    format_: Annotated[
        Format, typer.Option("--format", help="openmetrics: the rollups' latency as Prometheus native histograms")
    ] = Format.CSV,
    since: Annotated[str, typer.Option(help="such as -7d, -90m, 2026-01-31 or 2026-01-31T12:00Z")] = "-7d",
    until: Annotated[str | None, typer.Option(help="as --since", show_default="now")] = None,
    site: Annotated[list[str] | None, typer.Option(help="key of a site; again for more", show_default="all")] = None,
    region: Annotated[
        list[str] | None, typer.Option(help="key of a region; again for more", show_default="all")
    ] = None,
    out: Annotated[Path, typer.Option(help="file to write; - is standard output")] = STDOUT,
) -> None:
    """Write what was measured in a range of time. A file holds all of it, or is not there."""
    from pipeline.exports import export as write
    from pipeline.store.explained import explained
    from pipeline.workbench import Workbench
    from workers.cli import read_settings

    target = _target(out, format_)
    try:
        with said(OPTIONS), explained(), Workbench(read_settings().database) as frames, _bar(out) as progress:
            rows = write(
                frames,
                target,
                what=what.value,
                format=format_.value,
                since=since,
                until=until,
                sites=site,
                regions=region,
                progress=progress,
            )
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except OSError as error:
        name = "standard output" if out == STDOUT else out
        typer.echo(f"betterstack: {name} cannot be written: {error.strerror}", err=True)
        raise typer.Exit(BAD_INPUT) from None
    except OverflowError:
        typer.echo("betterstack: that is too long ago", err=True)
        raise typer.Exit(BAD_INPUT) from None
    if isinstance(target, Path):
        typer.echo(f"{rows:,}".replace(",", " ") + f" rows in {target}", err=True)


@contextmanager
def _bar(out: Path) -> Iterator[Callable[[float, int], None]]:
    """How far it is, on a terminal; a pipe gets no noise, and neither does a terminal that shows the export itself."""
    if not sys.stderr.isatty() or (out == STDOUT and sys.stdout.isatty()):
        yield lambda _share, _rows: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[rows]:,} rows"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("export", total=1.0, rows=0)
        yield lambda share, rows: bar.update(task, completed=share, rows=rows)


def _target(out: Path, format_: Format) -> Path | BinaryIO:
    if out != STDOUT:
        return out
    if format_ is Format.PARQUET and sys.stdout.isatty():
        raise typer.BadParameter("a terminal cannot show Parquet: name a file", param_hint="--out")
    return sys.stdout.buffer
