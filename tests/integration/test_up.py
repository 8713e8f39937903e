"""`betterstack up` as a person uses it: one process to start, one to stop, whatever way it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from tests.harness import Target, eventually, up


def call(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def regions_seen(url: str) -> set[str]:
    return {tick["region"] for tick in call(f"{url}/api/v1/sites/one/ticks")["items"]}


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def test_it_checks_survives_a_kill_and_goes_on_where_it_was(data_dir: Path) -> None:
    with Target() as target:
        with up(data_dir) as (process, url):
            assert call(f"{url}/healthz")["ok"]
            call(f"{url}/api/v1/sites", {"key": "one", "url": f"{target.url}/one", "interval_s": 2})
            eventually(lambda: len(call(f"{url}/api/v1/sites/one/ticks")["items"]) >= 2, seconds=10, what="ticks")
            call(f"{url}/api/v1/regions", {"key": "eu", "name": "Europe"})
            eventually(lambda: "eu" in regions_seen(url), seconds=15, what="the new region's tick")
            processes = family(process)
            process.send_signal(signal.SIGKILL)
            _, alive = psutil.wait_procs(processes, timeout=15)
            assert alive == [], "kill -9 left orphans"
        asked = target.requests
        with up(data_dir) as (process, url):
            eventually(lambda: target.requests > asked + 2, what="checks again")
            regions = {region["key"] for region in call(f"{url}/api/v1/regions")["items"]}
            assert regions == {"eu", "local-a", "local-b"}
            _, *roles = family(process)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=10) == 0, "Ctrl-C takes less than ten seconds"
            _, alive = psutil.wait_procs(roles, timeout=1)
            assert alive == []


def test_a_host_that_others_reach_is_refused_without_sign_in(data_dir: Path) -> None:
    command = [sys.executable, "-m", "workers.cli", "up", "--data-dir", str(data_dir), "--host", "0.0.0.0"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode != 0
    assert "--insecure" in result.stderr
    assert not data_dir.exists()
