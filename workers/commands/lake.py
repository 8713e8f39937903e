"""`betterstack lake status|archive|verify`: what lies there, more of it now, and whether it is as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.errors import InvalidInputError, Problem, UnavailableError
from workers.commands.store import echo_json, echo_table, said

if TYPE_CHECKING:
    import psycopg

    from pipeline.settings import Settings

app = typer.Typer()
lake = typer.Typer(no_args_is_help=True, help="Days of ticks that are over, as Parquet files that any engine reads.")
app.add_typer(lake, name="lake")

WRONG = 1
JSON = Annotated[bool, typer.Option("--json", help="print JSON instead")]


@lake.command()
def status(json: JSON = False) -> None:
    """Show where the lake lies and each day in it."""
    from pipeline.store.lake_days import archived, late_days
    from workers.cli import read_settings

    settings = read_settings("cli")
    with _connected(settings) as connection:
        days, late = archived(connection), late_days(connection)
    root = settings.lake_root
    if json:
        told = [{"day": each.day, **{name: getattr(each, name) for name in _SHOWN}} for each in days]
        echo_json({"lake": root and str(root), "days": told, "late": late})
        return
    if root is None:
        typer.echo("Nothing is archived: BETTERSTACK_LAKE names no lake, and the database is one of your own.")
    else:
        rows, size = sum(each.rows for each in days), sum(each.bytes for each in days)
        typer.echo(f"{root}: {len(days)} days, {rows:,} ticks, {size / 1e6:.1f} MB")
        typer.echo(f"Ticks leave Postgres after {settings.keep_ticks_days} days; here they stay.")
    if late:
        typer.echo(f"Late ticks wait for {', '.join(map(str, late))}: the roller merges them within a minute.")
    if days:
        typer.echo("")
        table = [
            (each.day, each.rows, each.bytes, _minute(each.written_at), "lake" if each.dropped_at else "both")
            for each in days
        ]
        echo_table(("DAY", "TICKS", "BYTES", "WRITTEN", "IN"), table)


@lake.command()
def archive(
    day: Annotated[
        datetime | None,
        typer.Argument(formats=["%Y-%m-%d"], help="a UTC day that is over", show_default="all that are due"),
    ] = None,
) -> None:
    """Write days to the lake now. Nothing leaves Postgres by this."""
    from pipeline.store.lake import archive as write
    from pipeline.store.lake_days import lake_root, to_archive
    from pipeline.store.lake_reference import write_reference
    from workers.cli import read_settings

    now = datetime.now(UTC)
    settings = read_settings("cli")
    with _connected(settings) as connection:
        root = lake_root()
        days = to_archive(connection, now) if day is None else [_over(day.date(), now)]
        for each in days:
            written = write(connection, settings.database, root, each, now=now, reached=lambda _: None)
            told = f"{written.rows:,} ticks, {written.bytes:,} bytes" if written else "has no ticks in Postgres"
            typer.echo(f"{each}: {told}")
        write_reference(settings.database, root)
    if not days:
        typer.echo("Every day that is over is in the lake.")


@lake.command()
def verify() -> None:
    """Read every file again, and hold it against what was written. Exit status 1 where one differs."""
    from pipeline.store.lake import verify as look
    from pipeline.store.lake_days import lake_root
    from workers.cli import read_settings

    days = wrong = 0
    with _connected(read_settings("cli")) as connection:
        for each, difference in look(connection, lake_root()):
            days += 1
            if difference is not None:
                wrong += 1
                typer.echo(f"{each.day}: {difference}")
    typer.echo(f"{days - wrong} of {days} days are as they were written.")
    if wrong:
        raise typer.Exit(WRONG)


@contextmanager
def _connected(settings: Settings) -> Iterator[psycopg.Connection]:
    """A session on the database in force; what goes wrong is said in words."""
    import psycopg

    from pipeline.store.explained import AWAY
    from pipeline.store.session import session

    with said():
        try:
            connection = session(settings.database, "cli", lock_timeout_ms=60_000)
        except psycopg.OperationalError as error:
            raise UnavailableError(AWAY) from error
        with connection:
            yield connection


_SHOWN = ("rows", "bytes", "checksum", "path", "written_at", "dropped_at")


def _over(day: date, now: datetime) -> date:
    if day >= now.date():
        raise InvalidInputError([Problem("day", f"{day} is not over yet")])
    return day


def _minute(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
