"""`betterstack import kuma|gatus|ticks FILE`: history from elsewhere, with a report of what did not come along."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.commands.store import ACTOR, ring, said

if TYPE_CHECKING:
    from pipeline.imports.foreign import Foreign

app = typer.Typer()
imports = typer.Typer(no_args_is_help=True, help="Bring sites and history from other monitors.")
app.add_typer(imports, name="import")
File = Annotated[Path, typer.Argument(help="the file to read; it is not changed", show_default=False)]


@imports.command()
def kuma(file: File) -> None:
    """Uptime Kuma's kuma.db, 1.x or 2.x: monitors, heartbeats, maintenance."""
    from pipeline.imports.kuma import read

    with said():
        _bring([read(file)])


@imports.command()
def gatus(
    file: File, config: Annotated[Path | None, typer.Option(help="Gatus' YAML, which knows the URLs")] = None
) -> None:
    """Gatus' SQLite file: endpoints and results."""
    from pipeline.imports.gatus import read

    with said({"config": "--config"}):
        _bring([read(file, config)])


@imports.command()
def ticks(
    file: File, region: Annotated[str | None, typer.Option(help="of rows that name none", show_default="import")] = None
) -> None:
    """CSV or Parquet: site, scheduled_at, and outcome, state or up; sites are there already."""
    from pipeline.imports.tick_files import read

    with said():
        _bring(read(file, region=region))


def _bring(found: Sequence[Foreign]) -> None:
    from rich.console import Console
    from rich.progress import Progress
    from sqlalchemy.pool import NullPool

    from pipeline.store.engine import engine
    from pipeline.store.explained import explained
    from pipeline.store.imports import bring
    from pipeline.store.session import session
    from workers.cli import read_settings

    dsn = read_settings("cli").database
    store = engine(dsn, pool=NullPool, name="betterstack import")
    with explained(), session(dsn, "import", lock_timeout_ms=60_000) as connection:
        for foreign in found:
            with Progress(console=Console(stderr=True), transient=True) as bar:
                task = bar.add_task(foreign.source, total=1.0)

                def tell(share: float, name: str, bar: Progress = bar, task: object = task) -> None:
                    bar.update(task, completed=share, description=name or "done")  # type: ignore[arg-type] # its id

                now = datetime.now(UTC)
                report = bring(store, connection, foreign, now=now, actor=ACTOR, ring=ring, progress=tell)
            for site in report.brought:
                typer.echo(f"{site.key}: {site.ticks:,} checks{', new' if site.new else ''} ({site.name})")
            for note in report.notes:
                typer.echo(f"! {note}")
            total = sum(site.ticks for site in report.brought)
            typer.echo(f"{len(report.brought)} sites, {total:,} checks, seen from {report.region!r}")
