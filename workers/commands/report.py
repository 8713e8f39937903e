"""`betterstack report sla`: the uptime of a site or a tag over a month, as one file to send to somebody."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from workers.commands.store import BAD_INPUT, said

app = typer.Typer()
report = typer.Typer(no_args_is_help=True, help="Reports as one file: HTML to send, or the notebook behind it.")
app.add_typer(report, name="report")

OPTIONS = {"month": "--month", "tz": "--tz", "site, tag": "--site, --tag"}


class Format(StrEnum):
    """How it can be written."""

    HTML = "html"
    IPYNB = "ipynb"


@report.callback()
def _reports() -> None:
    """Typer takes a group of one command for that command; this keeps the word `sla`."""


@report.command()
def sla(
    site: Annotated[str, typer.Option(help="key of the site", show_default="all")] = "",
    tag: Annotated[str, typer.Option(help="or a tag: all sites with it")] = "",
    month: Annotated[
        str, typer.Option(help="as 2026-10, or days as 2026-10-05/2026-10-18", show_default="the last whole month")
    ] = "",
    tz: Annotated[str, typer.Option(help="time zone in which days begin, such as Europe/Berlin")] = "UTC",
    policy: Annotated[str, typer.Option(help="whose way of counting: default, kuma, gatus, statuspage, …")] = "default",
    format_: Annotated[
        Format, typer.Option("--format", help="html needs the extra `report`; ipynb needs nothing")
    ] = Format.HTML,
    out: Annotated[Path | None, typer.Option(help="file to write", show_default="sla-SITE-MONTH.html")] = None,
) -> None:
    """Write what a site, or all with a tag, was worth: uptime with its bounds, outages, promises, latency.

    The HTML holds everything and asks nobody for anything. A file is whole, or is not there.
    """
    from pipeline.report import html
    from pipeline.report.periods import last_month
    from pipeline.report.sla import Wanted, refuse, write
    from pipeline.report.sla import report as make
    from pipeline.store.explained import explained
    from pipeline.workbench import Workbench
    from workers.cli import read_settings

    now = datetime.now(UTC)
    with said(OPTIONS), explained():
        if format_ is Format.HTML:
            html.refuse()
        wanted = Wanted(site, tag, month or last_month(tz, now), tz, policy)
        with Workbench(read_settings("cli").database) as up:
            refuse(up, wanted, now)
        target = out or Path(f"{wanted.file_name}.{format_.value}")
        try:
            write(target, lambda: make(wanted, format_.value))
        except OSError as error:
            typer.echo(f"betterstack: {target} cannot be written: {error.strerror}", err=True)
            raise typer.Exit(BAD_INPUT) from None
    typer.echo(f"{wanted.about}, {wanted.month}: {target}", err=True)
