"""`betterstack doctor`: the page Health in a terminal, and what only a terminal can see: Redis, and the settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec.structs import replace

from pipeline import product
from pipeline.errors import UnavailableError
from pipeline.health import SIGNS, Grade, Health, Part, of, unreachable
from pipeline.settings import Settings
from workers.commands.store import echo_json, echo_table, said

if TYPE_CHECKING:
    from pipeline.checkup import Vitals

app = typer.Typer()

UNWELL = 1
HIDDEN = "(hidden)"


@app.command()
def doctor(
    data_dir: Annotated[
        Path | None, typer.Option(help="that of the `up` to look at", show_default=".betterstack")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print JSON instead")] = False,
) -> None:
    """Say how every part of the workbench is, and what to do where one is not well.

    Works while nothing runs, too. Exit status 0 where all is well or only worth a look, 1 where something is unwell.
    """
    from workers.cli import read_settings

    with said():
        settings = read_settings("cli")
    if data_dir is not None:
        settings = settings.model_copy(update={"data_dir": data_dir})
    now = datetime.now(UTC)
    found = examine(settings)
    if json:
        parts = [{"name": p.name, "grade": p.grade, **_fields(p)} for p in found.parts]
        echo_json({"grade": found.grade, "at": now, "parts": parts, "settings": in_force(settings)})
    else:
        _print(found, settings, now)
    raise typer.Exit(0 if found.ok else UNWELL)


def examine(settings: Settings) -> Health:
    """Every part that can be seen from here. Nothing that is away makes it raise."""
    from pipeline.checkup import checkup
    from pipeline.store.vitals import disk_of

    try:
        vitals = _read(settings)
    except UnavailableError as error:
        why = _first_line(error.__cause__ or error)
        parts = unreachable(f"{error} It said: {why}" if why else str(error)).parts
        # To run what is running is no advice.
        todos = [tuple(step for step in part.todo if "betterstack doctor" not in step) for part in parts]
        seen = [replace(part, todo=todo) for part, todo in zip(parts, todos, strict=True)]
        return of([*seen, *_redis(settings, None)])
    parts = checkup(vitals, disk_of(settings)).parts
    return of([*parts, *_redis(settings, vitals)])


def _read(settings: Settings) -> Vitals:
    """What Postgres knows. Errors: UnavailableError."""
    from sqlalchemy.pool import NullPool

    from pipeline.secret_key import held
    from pipeline.store.engine import engine
    from pipeline.store.explained import explained
    from pipeline.store.vitals import read_vitals

    database = engine(settings.database, read_only=True, pool=NullPool, name="betterstack doctor")
    with explained(), database.connect() as connection:
        return read_vitals(connection, lambda: datetime.now(UTC), held(settings))


def _redis(settings: Settings, vitals: Vitals | None) -> Iterator[Part]:
    from workers import diagnosis

    if settings.redis_url is None and not settings.embedded:
        yield diagnosis.not_named()
        return
    yield from diagnosis.redis_parts(settings.redis, vitals.regions if vitals else None)


def in_force(settings: Settings) -> dict[str, str]:
    """The settings by their variables, with passwords and keys hidden."""
    from pydantic import SecretStr

    from workers.commands.env import listens

    values: dict[str, Any] = settings.model_dump() | {"data_dir": settings.data_dir.resolve()}
    values |= {"database_url": settings.database} | listens(settings)
    if settings.redis_url is not None or settings.embedded:
        values |= {"redis_url": settings.redis}
    return {
        f"BETTERSTACK_{name.upper()}": HIDDEN if isinstance(value, SecretStr) else _without_password(str(value))
        for name, value in values.items()
        if value is not None and value != ""
    }


def _without_password(value: str) -> str:
    """A URL without what lets in; everything else as it is."""
    import re

    value = re.sub(r"(?<=://)([^/@:\s]*):[^@/\s]*(?=@)", r"\1:***", value)
    return re.sub(r"(?i)(?<=[?&])(password|passfile|sslpassword)=[^&\s]*", r"\1=***", value)


def _fields(part: Part) -> dict[str, Any]:
    return {"message": part.message, "since": part.since, "means": part.means, "todo": part.todo}


def _print(found: Health, settings: Settings, now: datetime) -> None:
    typer.echo(f"Workbench {product.version()}: {SIGNS[found.grade]} {found.grade}\n")
    rows = [(f"{SIGNS[p.grade]} {p.grade}", p.name, p.message, _since(p.since, now)) for p in found.parts]
    echo_table(("STATE", "PART", "FOUND", "SINCE"), rows)
    for part in found.parts:
        if part.grade is not Grade.WELL:
            typer.echo(f"\n{SIGNS[part.grade]} {part.name}: {part.message}")
            typer.echo(f"  {part.means}")
            for step in part.todo:
                typer.echo(f"  -> {step}")
    typer.echo("\nSettings in force")
    shown: Sequence[tuple[str, str]] = list(in_force(settings).items())
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        typer.echo(f"  {name.ljust(width)}  {value}")


def _since(since: datetime | None, now: datetime) -> str | None:
    if since is None:
        return None
    return f"{since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC ({_lasting((now - since).total_seconds())})"


def _lasting(seconds: float) -> str:
    """How long, in its largest unit: a terminal needs no polars for that."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(getattr(error, "orig", None) or error).splitlines() if line.strip()), "")
