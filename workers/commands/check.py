"""`betterstack check URL`: one probe from here and now, as a waterfall. It needs no server.

It takes what `sites add` takes of a request and of what is expected, so that a check is tried here and added then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import typer

from pipeline.errors import InvalidInputError, Problem
from pipeline.vocabulary import STATE_OF, Auth, Clock, Family, Network, Outcome, Phases, Probe, Spec, State
from workers.commands import expectations, request
from workers.commands.store import said

BAR_WIDTH = 40
LONGEST_S = 120  # as for a site
# The words of the charts.
LABELS = {
    "dns_ms": "DNS",
    "connect_ms": "connect",
    "tls_ms": "TLS",
    "ttfb_ms": "first byte",
    "transfer_ms": "transfer",
}
OPTIONS = {**request.OPTIONS, **expectations.OPTIONS, "timeout_s": "--timeout"}
COLOURS = {State.UP: "green", State.DEGRADED: "yellow", State.DOWN: "red"}


@request.options
@expectations.options
def check(
    url: Annotated[str, typer.Argument(help="what to check; https:// where it says nothing else")],
    timeout: Annotated[
        float, typer.Option(help="seconds for the whole check, redirects included", min=0.1, max=LONGEST_S)
    ] = 10,
    method: Annotated[str, typer.Option(help="GET, HEAD, …")] = "GET",
    *,
    sent: request.Named,
    expect: expectations.Named,
    json: Annotated[bool, typer.Option("--json", help="print one JSON object instead")] = False,
) -> None:
    """Check a URL once, from here, and show where the time went.

    Exits with 0 when it is up, 1 when it is not, 2 when the question makes no sense.
    """
    try:
        with said(OPTIONS):
            spec = spec_of(url, timeout, method, expect, sent)
    except ValueError as error:
        typer.echo(f"betterstack check: {error}", err=True)
        raise typer.Exit(2) from None
    probe = asyncio.run(_probe(spec))
    if json:
        typer.echo(msgspec.json.encode(as_json(spec, probe)).decode())
    else:
        show(spec, probe)
    raise typer.Exit(0 if STATE_OF[probe.outcome] in (State.UP, State.DEGRADED) else 1)


def spec_of(
    url: str, timeout_s: float, method: str, expect: Mapping[str, Any], sent: Mapping[str, Any] | None = None
) -> Spec:
    """What to check; `expect` as in `ExpectIn`, `sent` as in `SiteIn`.

    Errors: ValueError or InvalidInputError, where it makes no check.
    """
    from pipeline.applicable import is_bare, misplaced
    from pipeline.conditions import TOKEN
    from pipeline.declared import SiteIn, expect_of, judge_url, parse
    from pipeline.understood import with_scheme

    if not TOKEN.match(method):
        raise ValueError(f"{method!r} is no HTTP method: write GET or HEAD")
    address, method = judge_url(with_scheme(url)), method.upper()
    if is_bare(address) and (method != "GET" or "status" in expect):
        raise ValueError(f"{address} is asked nothing: leave --method and --expect-status out")
    given = {"url": address, "timeout_s": timeout_s, "interval_s": LONGEST_S, "expect": expect, **(sent or {})}
    site = parse(SiteIn, {"key": "check", **given})
    # A site's methods are a few; what is tried once may be any.
    if odd := [Problem(field, said) for field, said in misplaced(site.model_copy(update={"method": method}))]:
        raise InvalidInputError(odd)
    return Spec(
        address,
        timeout_s=timeout_s,
        method=method,
        headers=site.headers,
        expect=expect_of(site.expect.model_dump()),
        max_redirects=site.max_redirects,
        body=site.body,
        auth=Auth(site.auth.password or site.auth.token or "", site.auth.username) if site.auth else None,
        client_certificate=site.client_certificate,
        verify_tls=site.verify_tls,
        family=Family(site.family),
    )


async def _probe(spec: Spec) -> Probe:
    from workers.probes import PROBES
    from workers.probes.network import DIALER

    try:
        return await PROBES[spec.url.split(":", 1)[0].lower()](spec, Network())
    finally:
        await DIALER.aclose()


def as_json(spec: Spec, probe: Probe) -> dict[str, Any]:
    """A flat object, phases by name; what was not reached or is not known is null. Milliseconds to the nanosecond."""
    fields = msgspec.structs.asdict(probe)
    del fields["looped"]  # seconds of a clock that has stopped by now
    phases = msgspec.structs.asdict(probe.phases)
    return {
        "url": spec.url,
        "state": STATE_OF[probe.outcome],
        **fields,
        "latency_ms": _nanoseconds(probe.latency_ms),
        "error_ms": _nanoseconds(probe.error_ms) if probe.clock is Clock.KERNEL else None,
        "phases": {name: _nanoseconds(value) for name, value in phases.items()},
    }


def show(spec: Spec, probe: Probe) -> None:
    """Print the verdict, the waterfall, and of a failure what there was to see."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from workers.commands import sighting

    console = Console(highlight=False)
    state = STATE_OF[probe.outcome]
    verdict = str(state) if probe.outcome is Outcome.OK else f"{state}: {probe.outcome}"
    console.print(Text.assemble((verdict, f"bold {COLOURS.get(state, 'magenta')}"), "  ", spec.url), soft_wrap=True)
    for problem in probe.snapshot.problems if probe.snapshot is not None else filter(None, [probe.detail]):
        # A `Text`, never markup: part of it came from the other side.
        console.print(Text(sighting.clean(problem)), soft_wrap=True)
    facts = [
        f"HTTP {probe.status}" if probe.status is not None else "",
        f"from {probe.ip}" if probe.ip else "",
        f"{probe.bytes:,} bytes".replace(",", " ") if probe.bytes is not None else "",
        timing(probe),
        f"certificate until {probe.expires_at:%Y-%m-%d}" if probe.expires_at else "",
    ]
    console.print(Text(" · ".join(filter(None, facts))), soft_wrap=True)
    rows = waterfall(probe.phases)
    if rows:
        table = Table(box=None, show_header=False, padding=(0, 1))
        table.add_column(justify="right")
        table.add_column(min_width=BAR_WIDTH, no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        for label, bar, value_ms in rows:
            table.add_row(label, Text(bar, style="cyan"), milliseconds(value_ms))
        console.print(table)
    for title, lines in sighting.parts(probe.snapshot):
        console.print(Text(f"\n{title}", style="bold"))
        for line in lines:
            console.print(Text(f"  {line}"), soft_wrap=True)


def timing(probe: Probe) -> str:
    """The latency with its error and the clock that it was read from; how far the loop's is off, nobody here knows."""
    if probe.latency_ms is None:
        return ""
    took = milliseconds(probe.latency_ms)
    if probe.clock is Clock.LOOP:
        return f"{took} by the loop's clock"
    in_part = ", in part by the loop's" if probe.looped is not None else ""
    return f"{took} ± {milliseconds(probe.error_ms)} by the kernel's clock{in_part}"


def milliseconds(value: float) -> str:
    """With as many digits as a person reads."""
    return f"{value:.{2 if value < 10 else 1 if value < 1000 else 0}f} ms"


def _nanoseconds(value_ms: float | None) -> float | None:
    return None if value_ms is None else round(value_ms, 6)


def waterfall(phases: Phases, width: int = BAR_WIDTH) -> list[tuple[str, str, float]]:
    """Label, bar and milliseconds of each phase that was reached, the bars on one time axis, one after the other."""
    reached = [(label, getattr(phases, name)) for name, label in LABELS.items() if getattr(phases, name) is not None]
    total = sum(value for _, value in reached) or 1.0
    rows, begun = [], 0.0
    for label, value in reached:
        start = min(round(begun / total * width), width - 1)
        end = max(round((begun + value) / total * width), start + 1)  # a phase too short to see is still there
        rows.append((label, " " * start + "█" * (end - start) + " " * (width - end), value))
        begun += value
    return rows
