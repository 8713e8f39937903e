"""`betterstack regions`: list, add, edit, remove, and what to run where a region's probers are elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from pipeline.errors import WorkbenchError
from pipeline.vocabulary import Region
from workers.commands.store import ACTOR, echo_json, echo_table, ring, said, store

app = typer.Typer(
    name="regions", help="Where checks are made from: list, add, edit, remove, join.", no_args_is_help=True
)

OPTIONS = {
    "key": "KEY",
    "name": "--name",
    "source_address": "--source-address",
    "proxy": "--proxy",
    "resolvers": "--resolver",
    "references": "--reference",
    "min_probers": "--min-probers",
    "max_probers": "--max-probers",
}
Name = Annotated[str | None, typer.Option(help="what people read")]
Source = Annotated[str | None, typer.Option(help="local address that probes leave from; '' for none")]
Proxy = Annotated[str | None, typer.Option(help="http://host:port that probes go through; '' for none")]
Resolver = Annotated[list[str] | None, typer.Option(help="DNS server as ip or ip:port; again for more; '' for none")]
Reference = Annotated[
    list[str] | None,
    typer.Option(help="host:port that answers while its network is well; again for more; '' for none"),
]
Least = Annotated[int | None, typer.Option(help="prober processes it has at least, when probed here")]
Most = Annotated[int | None, typer.Option(help="and at most, under load")]
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
    shown = [region_fields(region) for region in found]
    rows = [
        (r["key"], r["name"], "here" if r["managed"] else "elsewhere", r["source_address"], r["proxy"]) for r in shown
    ]
    echo_table(("KEY", "NAME", "PROBED", "FROM ADDRESS", "PROXY"), rows)


@app.command()
def add(
    key: Annotated[str, typer.Argument(help="a-z, 0-9 and -")],
    name: Annotated[str, typer.Option(help="what people read; the key unless told")] = "",
    elsewhere: Annotated[bool, typer.Option("--elsewhere", help="its probers run on another machine")] = False,
    source_address: Source = None,
    proxy: Proxy = None,
    resolver: Resolver = None,
    reference: Reference = None,
    min_probers: Least = None,
    max_probers: Most = None,
    json: AsJson = False,
) -> None:
    """Add a region. Sites that follow all regions are checked from it at once."""
    from pipeline.declared import RegionIn, parse
    from pipeline.store.regions import create_region, region_fields

    fields = {"key": key, "name": name, "managed": not elsewhere} | _given(
        source_address=source_address,
        proxy=proxy,
        resolvers=resolver,
        references=reference,
        min_probers=min_probers,
        max_probers=max_probers,
    )
    with said(OPTIONS):
        wanted = parse(RegionIn, fields)
        with store(OPTIONS) as connection:
            created = create_region(connection, wanted, now=datetime.now(UTC), actor=ACTOR, ring=ring)
    if json:
        echo_json(region_fields(created))
    else:
        typer.echo(f"{created.key} is there: sites that follow all regions are checked from it now")
    if elsewhere:
        _say_who_can_join(created.key)


@app.command()
def edit(
    key: Annotated[str, typer.Argument(help="key of the region")],
    name: Name = None,
    elsewhere: Annotated[
        bool | None, typer.Option("--elsewhere/--here", help="whether its probers run on another machine")
    ] = None,
    source_address: Source = None,
    proxy: Proxy = None,
    resolver: Resolver = None,
    reference: Reference = None,
    min_probers: Least = None,
    max_probers: Most = None,
    json: AsJson = False,
) -> None:
    """Change what is named; the rest stays. Sites are checked in the new way at once."""
    from pipeline.store.regions import region_fields, update_region

    changes = _given(
        name=name,
        managed=None if elsewhere is None else not elsewhere,
        source_address=source_address,
        proxy=proxy,
        resolvers=resolver,
        references=reference,
        min_probers=min_probers,
        max_probers=max_probers,
    )
    if not changes:
        raise typer.BadParameter("name what is to change, such as --elsewhere or --max-probers 8")
    with store(OPTIONS) as connection:
        changed = update_region(connection, key, changes, now=datetime.now(UTC), actor=ACTOR, ring=ring)
    if json:
        echo_json(region_fields(changed))
        return
    typer.echo(f"{key} is changed")
    if elsewhere:
        _say_who_can_join(key)


@app.command("join-command")
def join_command(
    key: Annotated[str, typer.Argument(help="key of a region whose probers run elsewhere")],
    rotate: Annotated[bool, typer.Option("--rotate", help="make credentials given out before useless")] = False,
    insecure: Annotated[bool, typer.Option("--insecure", help="accept a Redis without TLS")] = False,
    json: AsJson = False,
) -> None:
    """Print what to run on another machine, so that a region's checks are made from there. It holds credentials."""
    from pipeline import product, secret_key
    from workers import joining
    from workers.cli import read_settings

    with said():
        settings = read_settings()
        region = _region_elsewhere(key)
        url = joining.public_url(settings.public_redis_url, settings.redis_url, insecure=insecure)
        secret = secret_key.ensure(settings)
        if rotate:
            region = _rotated(key)
        found = joining.join(
            region,
            secret,
            url,
            image=f"{product.DISTRIBUTION}:{product.version()}",
            own_authority=settings.redis_ca is not None,
        )
    if json:
        echo_json(found._asdict())
    else:
        typer.echo(joining.script(found))
    if rotate:
        typer.echo(
            f"The credentials that {key} had before are useless within seconds, once the pusher has seen it", err=True
        )


@app.command()
def remove(key: Annotated[str, typer.Argument(help="key of the region")]) -> None:
    """End a region. Refused while a site would be checked from nowhere; what was measured stays."""
    from pipeline.store.regions import delete_region

    with store() as connection:
        delete_region(connection, key, now=datetime.now(UTC), actor=ACTOR)
    typer.echo(f"{key} is removed")


def _say_who_can_join(key: str) -> None:
    """The next step or, where nobody elsewhere reaches Redis, that until then nothing is checked from there."""
    from workers import joining
    from workers.cli import read_settings

    try:
        settings = read_settings("cli")
        joining.public_url(settings.public_redis_url, settings.redis_url, insecure=True)
    except WorkbenchError as error:
        typer.echo(f"betterstack: nobody can probe for {key} yet. {error}", err=True)
    else:
        typer.echo(f"What to run there: betterstack region join-command {key}")


def _region_elsewhere(key: str) -> Region:
    from pipeline.store.regions import get_region

    with store(read_only=True) as connection:
        region = get_region(connection, key)
    if region.managed:
        raise WorkbenchError(
            f"{key} is probed by this workbench. To have it probed from another machine: "
            f"betterstack regions edit {key} --elsewhere"
        )
    return region


def _rotated(key: str) -> Region:
    from pipeline.store.regions import rotate_access

    with store() as connection:
        return rotate_access(connection, key, now=datetime.now(UTC), actor=ACTOR)


def _given(**options: Any) -> dict[str, Any]:
    """What was named on the command line. An empty text, alone or as the only one, takes away what was set."""
    named = {name: value for name, value in options.items() if value is not None}
    empty: dict[str, Any] = {"source_address": None, "proxy": None, "resolvers": [], "references": []}
    return {name: empty[name] if name in empty and value in ("", [""]) else value for name, value in named.items()}
