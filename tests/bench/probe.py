"""What a check costs: our probe, plain httpx, blackbox_exporter where it is installed, and a C client as the floor.

Each makes the same checks of the same server, a new connection every time, 200 in flight, over HTTP and over HTTPS with
an ECDSA P-256 certificate. They take turns round by round, each in a process of its own, so that a slow phase of the
host hits all; a bar is about the median of the rounds' ratios. Ours is the probe with all that it does (kernel
timestamps, the guard, an expectation on the status), as the prober calls it, in a process that holds what a prober
holds; taking a check from Redis and packing its tick are not in it (`walk.py` has those). Of blackbox_exporter only its
own CPU counts. `python tests/bench/probe.py [--json] [--checks 1000] [--rounds 7]`
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import trustme

from tests.bench._compiled import NotCompiledError, compiled, free_port, target
from tests.bench._rounds import Engine, Round, blackbox_version, engines

IN_FLIGHT = 200  # as the engines have it
CPU_BARS = {  # our CPU as a multiple of theirs
    ("http", "floor"): 14.0,
    ("https", "floor"): 1.6,
    ("http", "blackbox"): 0.6,
    ("https", "blackbox"): 1.0,
    ("http", "httpx"): 0.5,
    ("https", "httpx"): 0.7,  # the TLS library is most of both
}
RSS_BAR_MB = 120.0
# TLS 1.3, as most sites speak it today; by itself nginx spoke no newer one than 1.2 until 1.23.4.
NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_timeout 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/chain.pem; ssl_session_tickets off;
  ssl_protocols TLSv1.2 TLSv1.3;
  server {{ listen 127.0.0.1:{http} backlog=4096; listen 127.0.0.1:{https} ssl backlog=4096;
    location / {{ return 200 "ok"; }} }}
}}
"""


class Measured(NamedTuple):
    """Of one engine over one scheme."""

    rounds: list[Round]
    rss_mb: float


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--checks", type=int, default=1000, help="checks of each engine in a round")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--fallback", action="store_true", help="use our small server even where nginx is there")
    given = options.parse_args()
    try:
        report = run(given.checks, given.rounds, fallback=given.fallback)
    except NotCompiledError as error:
        sys.exit(str(error))
    print(json.dumps(report) if given.json else _text(report))
    sys.exit(not all(bar["holds"] for bar in report["bars"]))


def run(checks: int, rounds: int, *, fallback: bool = False) -> dict[str, Any]:
    """The report: bars, runs and the setting. Errors: NotCompiledError."""
    authority = trustme.CA()
    found: dict[str, dict[str, Measured]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority.cert_pem.write_to_path(folder / "authority.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "chain.pem")
        floor = compiled("floor", folder)
        with _server(folder, fallback=fallback) as (server, ports):
            for scheme, port in ports.items():
                with engines(f"{scheme}://127.0.0.1:{port}/", port, folder, floor) as running:
                    found[scheme] = _measure(running, checks, rounds)
    setting = {
        "server": server,
        "tls": "1.3, ECDSA P-256",
        "checks": checks,
        "rounds": rounds,
        "in_flight": IN_FLIGHT,
        "blackbox": blackbox_version() or "not installed, so nothing is said about it",
    }
    return {"bars": _bars(found), "runs": _runs(found, checks), "setting": setting}


def _measure(running: dict[str, Engine], checks: int, rounds: int) -> dict[str, Measured]:
    taken: dict[str, list[Round]] = {name: [] for name in running}
    for engine in running.values():
        engine.round(IN_FLIGHT)
    order = deque(running.items())
    for _ in range(rounds):
        for name, engine in order:
            taken[name].append(engine.round(checks))
        order.rotate()  # whoever follows the same neighbour each time might owe it something
    return {name: Measured(taken[name], engine.rss_mb()) for name, engine in running.items()}


def _bars(found: dict[str, dict[str, Measured]]) -> list[dict[str, Any]]:
    bars = []
    for (scheme, other), limit in CPU_BARS.items():
        if other in found[scheme]:
            pairs = zip(found[scheme]["ours"].rounds, found[scheme][other].rounds, strict=True)
            bars.append(_bar(f"{scheme}_cpu_of_{other}", median(a.cpu_s / b.cpu_s for a, b in pairs), limit))
    rss_mb = max(measured["ours"].rss_mb for measured in found.values())
    return [*bars, _bar("rss_mb", rss_mb, RSS_BAR_MB)]


def _bar(name: str, value: float, limit: float) -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "limit": limit, "holds": value <= limit}


def _runs(found: dict[str, dict[str, Measured]], checks: int) -> list[dict[str, Any]]:
    return [
        {
            "scheme": scheme,
            "engine": engine,
            "cpu_s_per_1000": round(median(each.cpu_s for each in measured.rounds) * 1000 / checks, 4),
            "checks_per_s": round(checks / median(each.wall_s for each in measured.rounds)),
            "rss_mb": measured.rss_mb,
        }
        for scheme, by_engine in found.items()
        for engine, measured in by_engine.items()
    ]


def _text(report: dict[str, Any]) -> str:
    lines = ["                 CPU-s per 1 000   checks/s   MB at most"]
    lines += [
        f"{run['scheme']:<7}{run['engine']:<10}{run['cpu_s_per_1000']:>15}{run['checks_per_s']:>11}{run['rss_mb']:>13}"
        for run in report["runs"]
    ]
    for bar in report["bars"]:
        verdict = "holds" if bar["holds"] else "MISSED"
        lines.append(f"{bar['name']}: {bar['value']} (at most {bar['limit']:g}) {verdict}")
    return "\n".join([*lines, *(f"{name}: {value}" for name, value in report["setting"].items())])


@contextmanager
def _server(folder: Path, *, fallback: bool) -> Iterator[tuple[str, dict[str, int]]]:
    """What all check, in a process of its own: nginx where there is one, else our target without a delay."""
    nginx = None if fallback else shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if nginx is None:
        with target(compiled("target", folder), delay_us=0, certificate=folder / "chain.pem") as ports:
            yield "ours, in C", ports
        return
    ports = {"http": free_port(), "https": free_port()}
    (folder / "conf").write_text(NGINX.format(folder=folder, **ports))
    with ExitStack() as stack:
        process = subprocess.Popen([nginx, "-c", str(folder / "conf"), "-e", "stderr"])
        stack.callback(process.wait)
        stack.callback(process.terminate)
        for port in ports.values():
            _await_port(port, process)
        yield "nginx", ports


def _await_port(port: int, process: subprocess.Popen[bytes], within_s: float = 10) -> None:
    until = time.monotonic() + within_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            if process.poll() is not None or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


if __name__ == "__main__":
    main()
