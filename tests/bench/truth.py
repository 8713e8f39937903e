"""How true a latency is: a compiled target of 100 ms, probed as the prober does it, tick by tick against its own word.

The target says with each answer how long it truly had it, from the kernel's stamp of our request on; in the runs by
name so does a resolver of 10 ms. Each tick goes through `tick_of`, with a reference and a metronome running.
`python tests/bench/truth.py [--json] [--seconds 7]`
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import trustme
import uvloop

from pipeline.vocabulary import Check, Clock, Network, Outcome, Spec, Tick
from tests.bench._compiled import NotCompiledError, compiled, target
from tests.bench._names import NAME, RESOLVER_DELAY_MS, looked_up_ms, naming, noting
from workers.attempts import tick_of
from workers.probes import http
from workers.probes.network import Dialer
from workers.probes.transport import OneShotTransport
from workers.witness import Witness

DELAY_MS = 100.0
IN_FLIGHT = (1, 10, 50, 200)
LOADED = (10, 50)  # in flight, with load beside
NAMED = 50  # in flight, of the runs by name
BARRED = 50  # up to so many in flight the bars hold
LOAD = 0.7  # of each core
WARM_S = 1.5
LONGEST_S = 170.0
BURN = f"""
import time
while True:
    until = time.monotonic() + {LOAD} * 0.01
    while time.monotonic() < until:
        pass
    time.sleep({1 - LOAD} * 0.01)
"""
# By scheme: the bias that half of the ticks, and all but one of a hundred, may have at most, in ms.
BIAS_BARS = {"http": (0.2, 1.0), "https": (1.0, 4.0)}
INSIDE_BAR, ERROR_BARS, UNTRUSTED_BAR = 0.99, (1.0, 5.0), 0.01

_TRUE_MS: ContextVar[float] = ContextVar("true_ms")


class Seen(NamedTuple):
    """A tick, and what the target says of it."""

    tick: Tick
    true_ms: float


class Listening(OneShotTransport):
    """Notes the target's word, which no tick holds."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if "x-residence-us" in response.headers:
            _TRUE_MS.set(int(response.headers["x-residence-us"]) / 1000)
        return response


class Setting(NamedTuple):
    """What a run was made under."""

    scheme: str
    in_flight: int
    loaded: bool
    named: bool = False


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--seconds", type=float, default=7.0, help="of each run")
    given = options.parse_args()
    try:
        report = _report(run(given.seconds), given.seconds)
    except NotCompiledError as error:
        sys.exit(str(error))
    print(json.dumps(report) if given.json else _text(report))
    sys.exit(not all(bar["holds"] for bar in report["bars"]))


def run(seconds: float) -> dict[Setting, list[Seen]]:
    """What was seen in runs of so many seconds, by setting. Errors: NotCompiledError."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        context = _certify(folder / "chain.pem")
        program = compiled("target", folder)
        with target(program, delay_us=int(DELAY_MS * 1000), certificate=folder / "chain.pem") as ports:
            return uvloop.run(_measure(ports, context, seconds))


def _certify(path: Path) -> ssl.SSLContext:
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1", NAME).private_key_and_cert_chain_pem.write_to_path(path)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def _measure(ports: dict[str, int], context: ssl.SSLContext, seconds: float) -> dict[Setting, list[Seen]]:
    http._CLIENT._transport = Listening()
    dialer = Dialer(context=context, allowed=lambda _address: True)
    witness = Witness()
    watching = asyncio.create_task(witness.watch())
    settings = [Setting(scheme, n, loaded=False) for scheme in ports for n in IN_FLIGHT]
    settings += [Setting(scheme, n, loaded=True) for scheme in ports for n in LOADED]
    settings += [Setting(scheme, NAMED, loaded, named=True) for scheme in ports for loaded in (False, True)]
    found = {}
    try:
        with naming() as resolver:
            network = Network(resolvers=(resolver,))
            async with asyncio.timeout(LONGEST_S):
                for setting in settings:
                    host = NAME if setting.named else "127.0.0.1"
                    url = f"{setting.scheme}://{host}:{ports[setting.scheme]}/"
                    with _load() if setting.loaded else contextlib.nullcontext():
                        found[setting] = await _run(url, network, setting.in_flight, seconds, dialer, witness)
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await dialer.aclose()
    return found


async def _run(
    url: str, network: Network, in_flight: int, seconds: float, dialer: Dialer, witness: Witness
) -> list[Seen]:
    """So many checks at a time, their starts spread as those of slots are; what was seen after a warm-up."""
    seen: list[Seen] = []
    began = time.monotonic()
    check = Check(1, 1, datetime.now(UTC), 1, 30, Spec(url, timeout_s=10))

    async def worker(number: int) -> None:
        await asyncio.sleep(number / in_flight * DELAY_MS / 1000)
        while time.monotonic() < began + WARM_S + seconds:
            since, started_at = time.monotonic(), datetime.now(UTC)
            with noting():
                probe = await http.probe(check.spec, network, dialer=dialer)
                true_ms = _TRUE_MS.get() + looked_up_ms()
            until = time.monotonic()
            doubt = witness.doubt(since, until, probe.looped)
            tick = tick_of(check, probe, started_at=started_at, doubt=doubt, prober="bench")
            assert tick.outcome is Outcome.OK, tick
            if since > began + WARM_S:
                seen.append(Seen(tick, true_ms))

    await asyncio.gather(*(worker(number) for number in range(in_flight)))
    return seen


@contextlib.contextmanager
def _load() -> Iterator[None]:
    """Keep each core busy for most of the time."""
    burning = [subprocess.Popen([sys.executable, "-I", "-S", "-c", BURN]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in burning:
            process.kill()
            process.wait()


def _figures(setting: Setting, seen: Sequence[Seen]) -> dict[str, Any]:
    latencies = [each.tick.latency_ms or 0.0 for each in seen]
    asked_ms = DELAY_MS + (RESOLVER_DELAY_MS if setting.named else 0.0)
    bias = [abs(latency - each.true_ms) for latency, each in zip(latencies, seen, strict=True)]
    errors = [each.tick.error_ms or 0.0 for each in seen]
    inside = [off <= error for off, error in zip(bias, errors, strict=True)]
    return {
        **setting._asdict(),
        "ticks": len(seen),
        "bias_p50_ms": _quantile(bias, 0.5),
        "bias_p99_ms": _quantile(bias, 0.99),
        "off_delay_p50_ms": _quantile([abs(latency - asked_ms) for latency in latencies], 0.5),
        "off_delay_p99_ms": _quantile([abs(latency - asked_ms) for latency in latencies], 0.99),
        "inside": round(sum(inside) / len(seen), 4),
        "error_p50_ms": _quantile(errors, 0.5),
        "error_p99_ms": _quantile(errors, 0.99),
        "untrusted": round(sum(not each.tick.trusted for each in seen) / len(seen), 4),
        "by_kernel": round(sum(each.tick.clock is Clock.KERNEL for each in seen) / len(seen), 4),
    }


def _quantile(values: Sequence[float], q: float) -> float:
    """The nearest rank."""
    return round(sorted(values)[max(0, -int(-q * len(values) // 1) - 1)], 3)


def _report(runs: dict[Setting, list[Seen]], seconds: float) -> dict[str, Any]:
    figures = [_figures(setting, seen) for setting, seen in runs.items()]
    barred = [each for each in figures if each["in_flight"] <= BARRED]
    bars = []
    for scheme, (half, most) in BIAS_BARS.items():
        of = [each for each in barred if each["scheme"] == scheme]
        bars += [_at_most(f"{scheme}_bias_p50_ms", of, "bias_p50_ms", half)]
        bars += [_at_most(f"{scheme}_bias_p99_ms", of, "bias_p99_ms", most)]
    inside = min(each["inside"] for each in barred)
    bars.append({"name": "inside", "value": inside, "limit": INSIDE_BAR, "holds": inside >= INSIDE_BAR})
    bars.append(_at_most("error_p50_ms", barred, "error_p50_ms", ERROR_BARS[0]))
    bars.append(_at_most("error_p99_ms", barred, "error_p99_ms", ERROR_BARS[1]))
    bars.append(_at_most("untrusted", barred, "untrusted", UNTRUSTED_BAR))
    setting = {"target": "C", "delay_ms": DELAY_MS, "seconds": seconds, "load": LOAD, "cores": os.cpu_count()}
    return {"bars": bars, "runs": figures, "setting": setting}


def _at_most(name: str, runs: Sequence[dict[str, Any]], figure: str, limit: float) -> dict[str, Any]:
    """The worst of the runs decides."""
    value = max(each[figure] for each in runs)
    return {"name": name, "value": value, "limit": limit, "holds": value <= limit}


def _text(report: dict[str, Any]) -> str:
    columns = (
        "ticks", "bias_p50_ms", "bias_p99_ms", "off_delay_p50_ms", "off_delay_p99_ms", "inside", "error_p50_ms",
        "error_p99_ms", "untrusted", "by_kernel",
    )  # fmt: skip
    lines = [f"A target of {DELAY_MS:g} ms; bias is against its own word:"]
    lines.append(" " * 24 + "".join(f"{column:>18}" for column in columns))
    for run in report["runs"]:
        words = (run["scheme"], str(run["in_flight"]), "named" * run["named"], "loaded" * run["loaded"])
        name = " ".join(filter(None, words))
        lines.append(f"{name:<24}" + "".join(f"{run[column]:>18}" for column in columns))
    for bar in report["bars"]:
        verdict = "holds" if bar["holds"] else "MISSED"
        relation = "at least" if bar["name"] == "inside" else "at most"
        lines.append(f"{bar['name']}: {bar['value']} ({relation} {bar['limit']}) {verdict}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
