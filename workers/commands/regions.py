"""`betterstack regions`: list, add, remove."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from workers.commands.store import ACTOR, echo_json, echo_table, said, store

app = typer.Typer(name="regions", help="Where checks are made from: list, add, remove.", no_args_is_help=True)

OPTIONS = {
    "key": "KEY",
    "name": "--name",
    "source_address": "--source-address",
    "proxy": "--proxy",
    "resolvers": "--resolver",
}
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead")]


@app.command("list")
def list_(json: AsJson = False) -> None:
    """List regions."""
    from pipeline.store.regions import list_regions, region_fields

    with store(read_only=True) as connection:
        found = list_regions(connection)
    if json:
        echo_json([region_fields(region) for region in found])
        return
    rows = [
        (r.key, r.name, "here" if r.managed else "elsewhere", r.network.source_address, r.network.proxy) for r in found
    ]
    echo_table(("KEY", "NAME", "PROBED", "FROM ADDRESS", "PROXY"), rows)


@app.command()
def add(
    key: Annotated[str, typer.Argument(help="a-z, 0-9 and -")],
    name: Annotated[str, typer.Option(help="what people read; the key unless told")] = "",
    elsewhere: Annotated[bool, typer.Option("--elsewhere", help="its probers run on another machine")] = False,
    source_address: Annotated[str | None, typer.Option(help="local address that probes leave from")] = None,
    proxy: Annotated[str | None, typer.Option(help="http://host:port that probes go through")] = None,
    resolver: Annotated[list[str] | None, typer.Option(help="DNS server as ip or ip:port; again for more")] = None,
    json: AsJson = False,
) -> None:
    """Add a region. Sites that follow all regions are checked from it at once."""
    from pipeline.declared import RegionIn, parse
    from pipeline.store.regions import create_region, region_fields

    fields = {
        "key": key,
        "name": name,
        "managed": not elsewhere,
        "source_address": source_address,
        "proxy": proxy,
        "resolvers": resolver or [],
    }
    with said(OPTIONS):
        wanted = parse(RegionIn, fields)
        with store(OPTIONS) as connection:
            created = create_region(connection, wanted, now=datetime.now(UTC), actor=ACTOR)
    if json:
        echo_json(region_fields(created))
    else:
        typer.echo(f"{created.key} is there: sites that follow all regions are checked from it now")


@app.command()
def remove(key: Annotated[str, typer.Argument(help="key of the region")]) -> None:
    """End a region. Refused while a site would be checked from nowhere; what was measured stays."""
    from pipeline.store.regions import delete_region

    with store() as connection:
        delete_region(connection, key, now=datetime.now(UTC), actor=ACTOR)
    typer.echo(f"{key} is removed")
