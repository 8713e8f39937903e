"""`betterstack secrets`: what is sealed with which key, and sealing everything with a new one."""

from __future__ import annotations

from typing import Annotated

import typer

from workers.commands.store import echo_json, echo_table, said, transaction

app = typer.Typer(name="secrets", help="The keys that secrets are sealed with: status, rotate.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead")]


@app.command()
def status(json: AsJson = False) -> None:
    """Show the keys at hand by their ids, and how many rows are sealed with each. Nothing secret is shown."""
    from workers.cli import read_settings
    from workers.rotation import status as look

    with said(), transaction(read_only=True) as connection:
        found = look(connection, read_settings("cli"))
    if json:
        echo_json(found._asdict())
        return
    notes = {key: "seals" if place == 0 else "opens" for place, key in enumerate(found.keys)}
    notes |= dict.fromkeys(found.missing, "NOT AT HAND: add it to BETTERSTACK_SECRET_KEY")
    notes |= {"": "PLAIN: `betterstack migrate` seals them once there is a key"} if found.rows.get("") else {}
    echo_table(("KEY", "ROWS", "IT"), [(key, found.rows.get(key, 0), note) for key, note in notes.items()])


@app.command()
def rotate(json: AsJson = False) -> None:
    """Seal everything with a new key, and let go of the old one. Nothing stops meanwhile; safe to repeat.

    With BETTERSTACK_SECRET_KEY, restart every role with "old,new" first, and then with "new,old".
    """
    from workers.cli import read_settings
    from workers.rotation import rotate as turn

    with said():
        settings = read_settings("cli")
        done = turn(transaction, settings)
    if json:
        echo_json(done._asdict())
        return
    typer.echo(f"{done.rows} rows are sealed anew; everything new is sealed with key {done.key}")
    given = settings.secret_key is not None
    if done.dropped and given:
        typer.echo(
            f"Nothing is sealed with {', '.join(done.dropped)} any more. Take the older keys out of "
            "BETTERSTACK_SECRET_KEY once every role has been started with the new one first, and restart them again"
        )
    elif done.dropped:
        typer.echo(f"The old keys are gone: {', '.join(done.dropped)}")
    elif given and not done.needed:
        typer.echo("There is one key only. For another, put it before this one: BETTERSTACK_SECRET_KEY=new,old")
    if done.dropped:
        typer.echo("Backups made before hold secrets under the old keys: make a new one")
    if done.needed or done.missing:
        typer.echo(
            f"Some secrets cannot be opened ({', '.join([*done.needed, *done.missing])}): "
            "`betterstack doctor` names the sites, whose secrets have to be written anew",
            err=True,
        )
    for region in done.elsewhere:
        typer.echo(f"Its probers elsewhere need new credentials: betterstack region join-command {region}")
