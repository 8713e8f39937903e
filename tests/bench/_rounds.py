"""What the bench of the probe measures: each engine is a process that makes so many checks when it is told to."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import certifi
import httpx
import psutil

from tests.bench._compiled import free_port

BLACKBOX = "prometheus-blackbox-exporter"
BLACKBOX_YML = """
modules:
  http:
    prober: http
    timeout: 30s
    http:
      preferred_ip_protocol: ip4
      follow_redirects: false
      valid_status_codes: [200]
      tls_config: {{ ca_file: {authority} }}
"""
BEGINS_WITHIN_S = 20.0


class Round(NamedTuple):
    """What so many checks cost."""

    cpu_s: float
    wall_s: float


class Engine:
    """A process that reads how many checks to make and writes what they cost; see `floor.c`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def round(self, checks: int) -> Round:
        """Errors: RuntimeError where a check was not fine, since then nothing was measured."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{checks}\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")
        told = json.loads(line)
        if told["fine"] != checks:
            raise RuntimeError(f"{self._process.args!r}: only {told['fine']} of {checks} checks were fine")
        return Round(told["cpu_s"], told["wall_s"])

    def rss_mb(self) -> float:
        """The most memory that it ever held."""
        return peak_rss_mb(self._process.pid)


class Driven(Engine):
    """A service that is made to check by another engine; only the service's own CPU counts."""

    def __init__(self, driver: subprocess.Popen[str], service: int) -> None:
        super().__init__(driver)
        self._service = psutil.Process(service)

    def round(self, checks: int) -> Round:
        before = self._service.cpu_times()
        driven = super().round(checks)
        after = self._service.cpu_times()
        return Round(after.user + after.system - before.user - before.system, driven.wall_s)

    def rss_mb(self) -> float:
        return peak_rss_mb(self._service.pid)


def peak_rss_mb(pid: int) -> float:
    """As the kernel counts it for this program; `ru_maxrss` would begin with what its parent held."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return round(int(found[1]) / 1024, 1)


@contextmanager
def engines(url: str, port: int, folder: Path, floor: Path) -> Iterator[dict[str, Engine]]:
    """All that can check this URL: the floor, ours, httpx, and blackbox_exporter where it is installed.

    `folder` holds the authority's certificate as `authority.pem`.
    """
    authority = folder / "authority.pem"
    secure = ["--authority", str(authority)] if url.startswith("https:") else []
    # A real prober trusts all the usual authorities, and so does ours here.
    trusted = folder / "trusted.pem"
    trusted.write_bytes(Path(certifi.where()).read_bytes() + authority.read_bytes())
    python = [sys.executable, str(Path(__file__).with_name("_engines.py"))]
    with ExitStack() as stack:

        def start(command: list[str], authorities: Path = authority) -> Engine:
            return Engine(stack.enter_context(_obedient(command, authorities)))

        found = {
            "floor": start([str(floor), "--port", str(port), *secure]),
            "ours": start([*python, "ours", url], trusted),
            "httpx": start([*python, "httpx", url]),
        }
        if blackbox_version() is not None:
            service_port = free_port()
            service = stack.enter_context(_blackbox(service_port, authority, folder))
            path = f"/probe?module=http&target={quote(url, safe='')}"
            command = [str(floor), "--port", str(service_port), "--path", path, "--expect", "\nprobe_success 1\n"]
            found["blackbox"] = Driven(stack.enter_context(_obedient(command, authority)), service.pid)
        yield found


def blackbox_version() -> str | None:
    """The version of blackbox_exporter, or None where it is not installed."""
    program = shutil.which(BLACKBOX)
    if program is None:
        return None
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return (done.stdout + done.stderr).split("version ", 1)[1].split(" ", 1)[0]


@contextmanager
def _obedient(command: list[str], authorities: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that ends when its input does."""
    environment = {**os.environ, "SSL_CERT_FILE": str(authorities)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def _blackbox(port: int, authority: Path, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    settings = folder / "blackbox.yml"
    settings.write_text(BLACKBOX_YML.format(authority=authority), encoding="utf-8")
    command = [BLACKBOX, f"--config.file={settings}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    process = subprocess.Popen(command)
    try:
        until = time.monotonic() + BEGINS_WITHIN_S
        while not _answers(f"http://127.0.0.1:{port}/-/healthy"):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{BLACKBOX} did not start")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False
