"""`betterstack sites`: list, add, edit, remove, pause, resume, check."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.vocabulary import State
from workers.commands import expectations, request
from workers.commands.store import ACTOR, BAD_INPUT, echo_json, echo_table, ring, said, store

if TYPE_CHECKING:
    from pipeline.store.listing import Listed

app = typer.Typer(
    name="sites", help="What is watched: list, add, edit, remove, pause, resume, check.", no_args_is_help=True
)

PAGE = 500
OPTIONS = {
    "interval_s": "--interval",
    "timeout_s": "--timeout",
    **request.OPTIONS,
    **expectations.OPTIONS,
    "tags": "--tag",
    "regions": "--region",
    **{name: f"--{name}" for name in ("key", "name", "method", "confirmations")},
    "url": "URL",
}
Keys = Annotated[list[str], typer.Argument(metavar="KEY...", help="keys, as `sites list` shows them")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON instead")]


@app.command("list")
def list_(
    search: Annotated[str, typer.Option(help="words that occur in name, key or URL")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="only with this tag; again for more")] = None,
    state: Annotated[list[State] | None, typer.Option(help="only in this state; again for more")] = None,
    json: AsJson = False,
) -> None:
    """List sites with the state that their regions agree on."""
    from pipeline.store.listing import list_sites
    from pipeline.store.overview import Wanted

    now, found, page = datetime.now(UTC), list["Listed"](), 1
    with store(read_only=True) as connection:
        while len(found) == (page - 1) * PAGE:
            wanted = Wanted(search, tuple(state or ()), tuple(tag or ()), "name", page, PAGE)
            found += list_sites(connection, wanted, now).items
            page += 1
    if json:
        echo_json([as_json(listed) for listed in found])
        return
    rows = [(s.site.key, s.state, _time(s.since), f"{s.site.interval_s} s", s.site.url) for s in found]
    echo_table(("KEY", "STATE", "SINCE", "EVERY", "URL"), rows)


@app.command()
@request.options
@expectations.options
def add(
    url: Annotated[str, typer.Argument(help="what to watch; https:// where it says nothing else")],
    key: Annotated[str, typer.Option(help="a-z, 0-9 and -; made from the URL unless told")] = "",
    name: Annotated[str, typer.Option(help="what people read; host and path of the URL unless told")] = "",
    interval: Annotated[int | None, typer.Option(help="seconds between checks", show_default="180")] = None,
    timeout: Annotated[float | None, typer.Option(help="seconds a check may take", show_default="10")] = None,
    confirmations: Annotated[
        int | None, typer.Option(help="attempts before a failure counts", show_default="1")
    ] = None,
    method: Annotated[str | None, typer.Option(help="GET, HEAD, …", show_default="GET")] = None,
    *,
    sent: request.Named,
    expect: expectations.Named,
    tag: Annotated[list[str] | None, typer.Option(help="again for more")] = None,
    region: Annotated[list[str] | None, typer.Option(help="where from; all unless told; again for more")] = None,
    paused: Annotated[bool, typer.Option("--paused", help="do not begin yet")] = False,
    json: AsJson = False,
) -> None:
    """Watch a URL. Its first checks go out within seconds."""
    from pipeline.declared import SiteIn, parse
    from pipeline.naming import name_of
    from pipeline.store.listing import named_sites
    from pipeline.store.sites import create_site, with_keys
    from pipeline.understood import with_scheme

    url = with_scheme(url)
    given: dict[str, Any] = {
        "url": url,
        "key": key,
        "name": name or name_of(url),
        "interval_s": interval,
        "timeout_s": timeout,
        "confirmations": confirmations,
        "method": method,
        **sent,
        "expect": expect,
        "tags": tag,
        "regions": region,
        "paused": paused,
    }
    fields = {field: value for field, value in given.items() if value is not None}
    now = datetime.now(UTC)
    with said(OPTIONS):
        parse(SiteIn, fields | {"key": key or "site"})  # before Postgres is asked for a free key
        with store(OPTIONS) as connection:
            [named] = with_keys(connection, [fields])
            created = create_site(connection, parse(SiteIn, named), now=now, actor=ACTOR, ring=ring)
            [listed] = named_sites(connection, [created.key], now)
    if json:
        echo_json(as_json(listed))
    else:
        typer.echo(f"{created.key} is watched every {created.interval_s} s: {created.url}")


@app.command()
@request.options
@expectations.options
def edit(
    key: Annotated[str, typer.Argument(help="key of the site")],
    url: Annotated[str | None, typer.Option(help="what to watch")] = None,
    name: Annotated[str | None, typer.Option(help="what people read")] = None,
    interval: Annotated[int | None, typer.Option(help="seconds between checks")] = None,
    timeout: Annotated[float | None, typer.Option(help="seconds a check may take")] = None,
    confirmations: Annotated[int | None, typer.Option(help="attempts before a failure counts")] = None,
    method: Annotated[str | None, typer.Option(help="GET, HEAD, …")] = None,
    *,
    sent: request.Named,
    expect: expectations.Named,
    json: AsJson = False,
) -> None:
    """Change what is named; the rest stays.

    What is expected is changed part by part, '' takes a part away; so do --data '', --bearer '', --cert '' and
    --header 'Name:'.
    """
    from pipeline.store.listing import named_sites
    from pipeline.store.sites import get_site, site_fields, update_site

    named: dict[str, Any] = {
        "url": url,
        "name": name,
        "interval_s": interval,
        "timeout_s": timeout,
        "confirmations": confirmations,
        "method": method,
        "expect": expect or None,
    }
    changes = {field: value for field, value in named.items() if value is not None} | sent
    if not changes:
        raise typer.BadParameter("name what is to change, such as --interval 60 or --expect-body Welcome")
    now = datetime.now(UTC)
    with store(OPTIONS) as connection:
        before = site_fields(get_site(connection, key)) if expect or "headers" in sent else {}
        if expect:
            changes["expect"] = before["expect"] | expect
        if "headers" in sent:
            changes["headers"] = request.changed_headers(before["headers"], sent["headers"])
        update_site(connection, key, changes, now=now, actor=ACTOR, ring=ring)
        [listed] = named_sites(connection, [key], now)
    if json:
        echo_json(as_json(listed))
    else:
        typer.echo(f"{key} is changed")


@app.command()
def remove(keys: Keys) -> None:
    """End their checks. What was measured stays; the keys are free again."""
    from pipeline.store.sites import delete_sites

    with store() as connection:
        delete_sites(connection, keys, now=datetime.now(UTC), actor=ACTOR)
    _done(keys, "is no longer watched")


@app.command()
def pause(keys: Keys) -> None:
    """Stop checking for a while."""
    _pause(keys, paused=True)
    _done(keys, "is paused")


@app.command()
def resume(keys: Keys) -> None:
    """Check again, at once."""
    _pause(keys, paused=False)
    _done(keys, "is checked again")


@app.command()
def check(key: Annotated[str, typer.Argument(help="key of the site")]) -> None:
    """Check it now from each of its regions. These checks are no part of uptime."""
    from pipeline.store.sites import request_check

    with store() as connection:
        asked = request_check(connection, key, now=datetime.now(UTC), actor=ACTOR)
    if not asked:
        typer.echo(f"betterstack: {key!r} is not being checked: resume it, or give it a region", err=True)
        raise typer.Exit(BAD_INPUT)
    typer.echo(f"{key} is checked now from {asked} region{'s' if asked > 1 else ''}")


def as_json(listed: Listed) -> dict[str, Any]:
    """A site as the API shows it."""
    from pipeline.store.sites import site_fields

    site = listed.site
    seen = {name: getattr(listed, name) for name in ("state", "since", "certificate_expires_at")}
    return {**site_fields(site), **seen, "created_at": site.created_at, "updated_at": site.updated_at}


def _pause(keys: list[str], *, paused: bool) -> None:
    from pipeline.store.sites import pause_sites

    with store() as connection:
        pause_sites(connection, keys, paused=paused, now=datetime.now(UTC), actor=ACTOR)


def _done(keys: list[str], what: str) -> None:
    for key in keys:
        typer.echo(f"{key} {what}")


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else "-"
