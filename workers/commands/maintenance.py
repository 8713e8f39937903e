"""`betterstack maintenance`: times that count neither way, of a site or of all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from workers.commands.store import ACTOR, echo_json, echo_table, store

app = typer.Typer(
    name="maintenance", help="Planned work: what is found meanwhile counts neither way.", no_args_is_help=True
)

OPTIONS = {"since": "--from", "until": "--to", "reason": "--reason", "site": "SITE"}
Site = Annotated[str, typer.Argument(help="key of a site, or `all`")]
From = Annotated[str | None, typer.Option("--from", help="when it begins, as 2026-03-01T22:00Z; now if left out")]
To = Annotated[str | None, typer.Option("--to", help="when it ends; left out: until you end it")]
Reason = Annotated[str, typer.Option("--reason", help="why, in a sentence: reports show it")]
Number = Annotated[int, typer.Argument(help="as `maintenance list` shows it")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead")]


@app.command("list")
def list_(json: AsJson = False) -> None:
    """List maintenance, by when it begins."""
    from pipeline.store.periods import list_periods
    from pipeline.store.sites import all_sites

    with store(read_only=True) as connection:
        rows = list_periods(connection, kind="maintenance")
        keys = {site.id: site.key for site in all_sites(connection)}
    found = [
        {
            "number": row["id"],
            "site": "all" if row["site_id"] is None else keys.get(row["site_id"]),
            **{name: row[name] for name in ("since", "until", "reason", "actor")},
        }
        for row in rows
    ]
    if json:
        echo_json(found)
        return
    echo_table(("NUMBER", "SITE", "FROM", "TO", "WHY"), [(
        row["number"], row["site"], _shown(row["since"]), _shown(row["until"]), row["reason"]
    ) for row in found])  # fmt: skip


@app.command()
def add(site: Site, reason: Reason, since: From = None, until: To = None) -> None:
    """Let a time be maintenance. It may lie in the past."""
    from pipeline.moments import moment
    from pipeline.store.periods import add_period

    now = datetime.now(UTC)
    with store(OPTIONS) as connection:
        number = add_period(
            connection,
            "maintenance",
            site=None if site == "all" else site,
            since=now if since is None else moment(since, now, "since"),
            until=None if until is None else moment(until, now, "until"),
            reason=reason,
            now=now,
            actor=ACTOR,
        )
    typer.echo(f"maintenance {number} of {site}; `betterstack maintenance end {number}` ends it")


@app.command()
def end(number: Number) -> None:
    """End it now; one that has not begun is taken back."""
    from pipeline.store.periods import end_period

    now = datetime.now(UTC)
    with store(OPTIONS) as connection:
        end_period(connection, number, at=now, now=now, actor=ACTOR)
    typer.echo(f"maintenance {number} has ended")


@app.command()
def remove(number: Number) -> None:
    """Take it back, as if it had never been."""
    from pipeline.store.periods import remove_period

    with store(OPTIONS) as connection:
        remove_period(connection, number, now=datetime.now(UTC), actor=ACTOR)
    typer.echo(f"maintenance {number} is removed: its time counts again")


def _shown(at: datetime | None) -> str | None:
    return None if at is None else f"{at:%Y-%m-%dT%H:%MZ}"
