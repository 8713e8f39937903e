"""`betterstack slo`: what was promised, what of it is spent, and what is left."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from workers.commands.store import ACTOR, echo_json, echo_table, said, store

app = typer.Typer(name="slo", help="Objectives and their error budgets: list, add, edit, remove.", no_args_is_help=True)

OPTIONS = {
    "key": "KEY",
    "name": "--name",
    "site": "--site",
    "tag": "--tag",
    "target": "--target",
    "window_days": "--days",
    "policy": "--policy",
    "tz": "--tz",
}
Key = Annotated[str, typer.Argument(help="key of the objective")]
Name = Annotated[str | None, typer.Option(help="what people read")]
Site = Annotated[str | None, typer.Option(help="key of the site that it is about")]
Tag = Annotated[str | None, typer.Option(help="or the tag: the mean over all sites with it")]
Target = Annotated[str | None, typer.Option(help="the share of good time: 99.9% or 0.999")]
Days = Annotated[int | None, typer.Option(help="days of a window that ends now")]
Month = Annotated[bool, typer.Option("--month", help="the calendar month instead of a rolling window")]
Policy = Annotated[str | None, typer.Option(help="default: down spends the budget; strict: degraded, too")]
Zone = Annotated[str | None, typer.Option("--tz", help="time zone in which a month begins, such as Europe/Berlin")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead")]


@app.command("list")
def list_(json: AsJson = False) -> None:
    """List objectives with what is left of their budgets."""
    from pipeline.declared_objectives import objective_fields
    from pipeline.workbench import Workbench
    from workers.cli import read_settings

    with said(), Workbench(read_settings("cli").database) as up:
        objectives, told = up.objectives(), {row["objective"]: row for row in up.slo().iter_rows(named=True)}
    if json:
        echo_json([objective_fields(each) | _figures(told[each.key]) for each in objectives])
        return
    rows = [
        (each.key, each.about, each.promise, _percent(row["left"]), _minutes(row["left_s"]), _percent(row["coverage"]))
        for each in objectives
        for row in [told[each.key]]
    ]
    echo_table(("KEY", "ABOUT", "PROMISE", "LEFT", "MINUTES LEFT", "COVERAGE"), rows)
    if not objectives:
        typer.echo("No objective yet. The first one: betterstack slo add KEY --site SITE --target 99.9%", err=True)


@app.command()
def add(
    key: Annotated[str, typer.Argument(help="a-z, 0-9 and -")],
    target: Target = None,
    site: Site = None,
    tag: Tag = None,
    days: Days = None,
    month: Month = False,
    name: Name = None,
    policy: Policy = None,
    tz: Zone = None,
    json: AsJson = False,
) -> None:
    """Promise a share of good time, for a site or for all sites with a tag."""
    from pipeline.declared import parse
    from pipeline.declared_objectives import ObjectiveIn, objective_fields
    from pipeline.store.objectives import create_objective

    fields = _given(target=target, site=site, tag=tag, days=days, month=month, name=name, policy=policy, tz=tz)
    with said(OPTIONS):
        wanted = parse(ObjectiveIn, {"key": key} | fields)
        with store(OPTIONS) as connection:
            created = create_objective(connection, wanted, now=datetime.now(UTC), actor=ACTOR)
    if json:
        echo_json(objective_fields(created))
        return
    typer.echo(f"{key} promises {created.promise} for {created.about}")
    if created.tag and not created.sites:
        typer.echo(f"betterstack: no site has the tag {created.tag!r} yet", err=True)


@app.command()
def edit(
    key: Key,
    target: Target = None,
    site: Site = None,
    tag: Tag = None,
    days: Days = None,
    month: Month = False,
    name: Name = None,
    policy: Policy = None,
    tz: Zone = None,
    json: AsJson = False,
) -> None:
    """Change what is named; the rest stays."""
    from pipeline.declared_objectives import objective_fields
    from pipeline.store.objectives import update_objective

    changes = _given(target=target, site=site, tag=tag, days=days, month=month, name=name, policy=policy, tz=tz)
    if not changes:
        raise typer.BadParameter("name what is to change, such as --target 99.5%")
    with store(OPTIONS) as connection:
        changed = update_objective(connection, key, changes, now=datetime.now(UTC), actor=ACTOR)
    if json:
        echo_json(objective_fields(changed))
    else:
        typer.echo(f"{key} promises {changed.promise} for {changed.about}")


@app.command()
def remove(key: Key) -> None:
    """Take a promise back. What was told of its budget stays in the history."""
    from pipeline.store.objectives import delete_objective

    with store() as connection:
        delete_objective(connection, key, now=datetime.now(UTC), actor=ACTOR)
    typer.echo(f"{key} is removed")


def _given(*, days: int | None, month: bool, target: str | None, **options: Any) -> dict[str, Any]:
    """What was named on the command line, in the terms of the declaration."""
    if month and days is not None:
        raise typer.BadParameter("name either --days or --month")
    named = {name: value for name, value in options.items() if value is not None}
    if target is not None:
        named["target"] = _share(target)
    return named | ({"window_days": None} if month else {"window_days": days} if days is not None else {})


def _share(target: str) -> float:
    from pipeline.objectives import read_share

    try:
        return read_share(target)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--target") from None


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("objective", "target")}


def _percent(share: float | None) -> str | None:
    from pipeline.analysis.claims import percent

    return None if share is None else percent(share).replace(" %", "%")


def _minutes(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds / 60:.1f}"
