"""`betterstack check URL`: one probe from here and now, as a waterfall. It needs no server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
import typer

from pipeline.errors import InvalidInputError, Problem
from pipeline.vocabulary import STATE_OF, Network, Outcome, Phases, Probe, Spec, State
from workers.commands import expectations
from workers.commands.store import said

BAR_WIDTH = 40
# The words of the charts.
LABELS = {
    "dns_ms": "DNS",
    "connect_ms": "connect",
    "tls_ms": "TLS",
    "ttfb_ms": "first byte",
    "transfer_ms": "transfer",
}
COLOURS = {State.UP: "green", State.DEGRADED: "yellow", State.DOWN: "red"}


@expectations.options
def check(
    url: Annotated[str, typer.Argument(help="what to check; https:// where it says nothing else")],
    timeout: Annotated[
        float, typer.Option(help="seconds for the whole check, redirects included", min=0.1, max=300)
    ] = 10,
    method: Annotated[str, typer.Option(help="GET, HEAD, …")] = "GET",
    *,
    expect: expectations.Named,
    json: Annotated[bool, typer.Option("--json", help="print one JSON object instead")] = False,
) -> None:
    """Check a URL once, from here, and show where the time went.

    Exits with 0 when it is up, 1 when it is not, 2 when the question makes no sense.
    """
    try:
        with said(expectations.OPTIONS):
            spec = spec_of(url, timeout, method, expect)
    except ValueError as error:
        typer.echo(f"betterstack check: {error}", err=True)
        raise typer.Exit(2) from None
    probe = asyncio.run(_probe(spec))
    if json:
        typer.echo(msgspec.json.encode(as_json(spec, probe)).decode())
    else:
        show(spec, probe)
    raise typer.Exit(0 if STATE_OF[probe.outcome] in (State.UP, State.DEGRADED) else 1)


def spec_of(url: str, timeout_s: float, method: str, expect: Mapping[str, Any]) -> Spec:
    """What to check, `expect` as in `ExpectIn`. Errors: ValueError or InvalidInputError, where it makes no check."""
    from pipeline.applicable import is_bare, misplaced
    from pipeline.conditions import TOKEN
    from pipeline.declared import ExpectIn, SiteIn, expect_of, judge_url, parse
    from pipeline.understood import with_scheme

    if not TOKEN.match(method):
        raise ValueError(f"{method!r} is no HTTP method: write GET or HEAD")
    try:
        expected = parse(ExpectIn, expect)
    except InvalidInputError as error:
        raise InvalidInputError([Problem(f"expect.{p.field}", p.message) for p in error.problems]) from None
    address = judge_url(with_scheme(url))
    spec = Spec(address, timeout_s=timeout_s, method=method.upper(), expect=expect_of(expected.model_dump()))
    if is_bare(spec.url) and (spec.method != "GET" or "status" in expect):
        raise ValueError(f"{spec.url} is asked nothing: leave --method and --expect-status out")
    fields: dict[str, Any] = {"key": "", "url": spec.url, "timeout_s": timeout_s, "method": spec.method}
    site = SiteIn.model_construct(**fields, expect=expected)
    if odd := [Problem(field, message) for field, message in misplaced(site)]:
        raise InvalidInputError(odd)
    return spec


async def _probe(spec: Spec) -> Probe:
    from workers.probes import PROBES
    from workers.probes.network import DIALER

    try:
        return await PROBES[spec.url.split(":", 1)[0].lower()](spec, Network())
    finally:
        await DIALER.aclose()


def as_json(spec: Spec, probe: Probe) -> dict[str, Any]:
    """A flat object, phases by name; what was not reached is null."""
    fields = msgspec.structs.asdict(probe)
    return {
        "url": spec.url,
        "state": STATE_OF[probe.outcome],
        **fields,
        "phases": msgspec.structs.asdict(probe.phases),
    }


def show(spec: Spec, probe: Probe) -> None:
    """Print the verdict and the waterfall."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    state = STATE_OF[probe.outcome]
    verdict = str(state) if probe.outcome is Outcome.OK else f"{state}: {probe.outcome}"
    console.print(Text.assemble((verdict, f"bold {COLOURS.get(state, 'magenta')}"), "  ", spec.url), soft_wrap=True)
    for problem in probe.snapshot.problems if probe.snapshot is not None else filter(None, [probe.detail]):
        # A `Text`, never markup: part of it came from the other side.
        console.print(Text(problem), soft_wrap=True)
    facts = [
        f"HTTP {probe.status}" if probe.status is not None else "",
        f"from {probe.ip}" if probe.ip else "",
        f"{probe.bytes:,} bytes".replace(",", " ") if probe.bytes is not None else "",
        f"{probe.latency_ms:.1f} ms" if probe.latency_ms is not None else "",
    ]
    console.print(Text(" · ".join(filter(None, facts))), soft_wrap=True)
    rows = waterfall(probe.phases)
    if rows:
        table = Table(box=None, show_header=False, padding=(0, 1))
        table.add_column(justify="right")
        table.add_column(min_width=BAR_WIDTH, no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        for label, bar, value_ms in rows:
            table.add_row(label, Text(bar, style="cyan"), f"{value_ms:.1f} ms")
        console.print(table)


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
