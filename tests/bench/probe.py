"""CPU of a check: our probe beside plain httpx, each with a new connection every time, 200 in flight.

Both run in turn in this process, on the same loop and against the same server in another one, so that a slow phase of
the host hits both. `python tests/bench/probe.py [--json] [--checks 1000] [--rounds 5]`
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import trustme
import uvloop

from pipeline.vocabulary import Network, Outcome, Spec
from workers.probes import http
from workers.probes.network import Dialer

IN_FLIGHT = 200
BARS = {"http": 0.5, "https": 0.7}  # our CPU as a share of plain httpx's; on HTTPS the TLS library is most of both
NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_timeout 0; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  ssl_certificate {folder}/chain.pem; ssl_certificate_key {folder}/chain.pem; ssl_session_tickets off;
  server {{ listen 127.0.0.1:{http} backlog=4096; listen 127.0.0.1:{https} ssl backlog=4096;
    location / {{ return 200 "ok"; }} }}
}}
"""

Check = Callable[[], Awaitable[bool]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--checks", type=int, default=1000, help="checks of each engine in a round")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--fallback", action="store_true", help="use the small server even where nginx is there")
    options.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        folder, *ports = given.serve
        uvloop.run(_serve(Path(folder), *map(int, ports)))
        return
    with _server(fallback=given.fallback) as (server, ports, context):
        seconds = uvloop.run(_measure(ports, context, given.checks, given.rounds))
    report = _report(seconds, server, given.checks, given.rounds)
    print(json.dumps(report) if given.json else _text(report))
    sys.exit(not all(bar["holds"] for bar in report["bars"]))


async def _measure(
    ports: dict[str, int], context: ssl.SSLContext, checks: int, rounds: int
) -> dict[str, dict[str, float]]:
    """CPU-seconds per 1 000 checks by scheme and engine, the median of the rounds."""
    dialer = Dialer(context=context)
    found: dict[str, dict[str, float]] = {}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(verify=context, limits=limits, trust_env=False, timeout=30) as client:
        for scheme, port in ports.items():
            url = f"{scheme}://127.0.0.1:{port}/"
            spec = Spec(url, timeout_s=30)

            async def ours(spec: Spec = spec) -> bool:
                return (await http.probe(spec, Network(), dialer=dialer)).outcome is Outcome.OK

            async def plain(url: str = url) -> bool:
                return (await client.get(url, headers={"connection": "close"})).status_code == 200

            engines: dict[str, Check] = {"ours": ours, "httpx": plain}
            taken: dict[str, list[float]] = {name: [] for name in engines}
            for check in engines.values():
                await _round(check, IN_FLIGHT)
            for _ in range(rounds):
                for name, check in engines.items():
                    taken[name].append(await _round(check, checks) * 1000 / checks)
            found[scheme] = {name: statistics.median(values) for name, values in taken.items()}
    return found


async def _round(check: Check, checks: int) -> float:
    """CPU-seconds that this process spends on so many checks."""
    left = iter(range(checks))

    async def worker() -> None:
        for _ in left:
            assert await check(), "the server answered something else"

    begun = time.process_time()
    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return time.process_time() - begun


def _report(seconds: dict[str, dict[str, float]], server: str, checks: int, rounds: int) -> dict[str, Any]:
    bars: list[dict[str, object]] = []
    for scheme, limit in BARS.items():
        ratio = seconds[scheme]["ours"] / seconds[scheme]["httpx"]
        bars.append(
            {"name": f"{scheme}_cpu_of_httpx", "value": round(ratio, 3), "limit": limit, "holds": ratio <= limit}
        )
    runs: list[dict[str, object]] = [
        {"scheme": scheme, "engine": engine, "cpu_s_per_1000": round(value, 4)}
        for scheme, engines in seconds.items()
        for engine, value in engines.items()
    ]
    return {
        "bars": bars,
        "runs": runs,
        "setting": {"server": server, "checks": checks, "rounds": rounds, "in_flight": IN_FLIGHT},
    }


def _text(report: dict[str, Any]) -> str:
    lines = ["CPU-seconds per 1 000 checks, a new connection each:"]
    lines += [f"  {run['scheme']:<6}{run['engine']:<6}{run['cpu_s_per_1000']:>8}" for run in report["runs"]]
    for bar in report["bars"]:
        verdict = "holds" if bar["holds"] else "MISSED"
        lines.append(f"{bar['name']}: {bar['value']} (at most {bar['limit']}) {verdict}")
    return "\n".join(lines)


@contextlib.contextmanager
def _server(*, fallback: bool = False) -> Iterator[tuple[str, dict[str, int], ssl.SSLContext]]:
    """A server in a process of its own: nginx where there is one, else a small one on uvloop."""
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    nginx = None if fallback else shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ports = {"http": _free_port(), "https": _free_port()}
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "chain.pem")
        if nginx:
            (folder / "conf").write_text(NGINX.format(folder=folder, **ports))
            command = [nginx, "-c", str(folder / "conf"), "-e", "stderr"]
        else:
            command = [sys.executable, __file__, "--serve", name, *map(str, ports.values())]
        process = subprocess.Popen(command)
        try:
            for port in ports.values():
                _await_port(port, process)
            yield "nginx" if nginx else "uvloop", ports, context
        finally:
            process.terminate()
            process.wait()


async def _serve(folder: Path, http_port: int, https_port: int) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "chain.pem")
    loop = asyncio.get_running_loop()
    plain = await loop.create_server(_Answer, "127.0.0.1", http_port, backlog=4096)
    await loop.create_server(_Answer, "127.0.0.1", https_port, ssl=context, backlog=4096)
    await plain.serve_forever()


class _Answer(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class, which does not inherit from it

    def data_received(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            self.transport.close()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


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
