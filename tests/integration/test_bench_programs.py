"""What benches rest on: the target's word about its delay, the floor's count, rivals that are asked for the same."""

from __future__ import annotations

import http.client
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import trustme

from tests.bench._compiled import NotCompiledError, compiled, target

DELAY_US = 20_000
ROOT = Path(__file__).parents[2]


class Programs(NamedTuple):
    target: Path
    floor: Path
    certificate: Path
    authority: Path


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    folder = tmp_path_factory.mktemp("programs")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "chain.pem")
    try:
        return Programs(
            compiled("target", folder), compiled("floor", folder), folder / "chain.pem", folder / "authority.pem"
        )
    except NotCompiledError as error:
        pytest.skip(str(error))


class Seen(NamedTuple):
    residence_us: int
    stamp: str | None
    elapsed_us: float
    body: bytes


def ask(connection: http.client.HTTPConnection) -> Seen:
    began = time.perf_counter()
    connection.request("GET", "/")
    response = connection.getresponse()
    body = response.read()
    elapsed_us = (time.perf_counter() - began) * 1e6
    connection.close()
    return Seen(int(response.headers["X-Residence-Us"]), response.headers["X-Stamp"], elapsed_us, body)


def floor(programs: Programs, port: int, checks: int, *more: str) -> dict[str, Any]:
    command = [str(programs.floor), "--port", str(port), *more]
    done = subprocess.run(command, input=f"{checks}\n", capture_output=True, text=True, timeout=60, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_target_says_how_long_a_request_was_with_it(programs: Programs, scheme: str) -> None:
    context = ssl.create_default_context(cafile=str(programs.authority))
    opened: dict[str, Callable[[int], http.client.HTTPConnection]] = {
        "http": lambda port: http.client.HTTPConnection("127.0.0.1", port, timeout=10),
        "https": lambda port: http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context),
    }
    with target(programs.target, delay_us=DELAY_US, certificate=programs.certificate) as ports:
        seen = [ask(opened[scheme](ports[scheme])) for _ in range(5)]
    for each in seen:
        assert each.body == b"ok"
        assert each.stamp == "kernel"
        assert DELAY_US <= each.residence_us <= each.elapsed_us


def test_the_target_answers_all_who_ask_at_once_none_too_early(programs: Programs) -> None:
    with target(programs.target, delay_us=DELAY_US) as ports:
        assert list(ports) == ["http"], "without a certificate there is no HTTPS"
        told = floor(programs, ports["http"], 500)
        refused = floor(programs, ports["http"], 5, "--expect", "never said")
    assert (told["checks"], told["fine"]) == (500, 500)
    assert told["wall_s"] >= DELAY_US / 1e6 * 500 / 200, "200 at a time, none answered before its time"
    assert refused["fine"] == 0


def test_the_floor_verifies_whom_it_speaks_to(programs: Programs, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    with target(programs.target, delay_us=0, certificate=programs.certificate) as ports:
        told = floor(programs, ports["https"], 300, "--authority", str(programs.authority))
        deceived = floor(programs, ports["https"], 5, "--authority", str(tmp_path / "other.pem"))
    assert (told["checks"], told["fine"]) == (300, 300)
    assert told["cpu_s"] > 0
    assert deceived["fine"] == 0


def test_the_target_ends_with_whoever_started_it(programs: Programs) -> None:
    # In the background of a shell its input is no pipe, so only its parent's end can end it.
    command = f"{programs.target} --delay-us 0 --http 0 & read line"
    with subprocess.Popen(["sh", "-c", command], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        assert b'"http"' in shell.stdout.readline()
        children = psutil.Process(shell.pid).children()
        assert len(children) == 1
        shell.stdin.close()
        _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_the_bench_of_the_numbers_runs_and_all_engines_answer_alike() -> None:
    tiny = ["--ticks", "216000", "--sites", "6", "--days", "2", "--rounds", "1", "--batches", "1"]
    command = [sys.executable, "-m", "tests.bench.analytics", "--json", *tiny]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False, cwd=ROOT)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    held = {bar["name"]: bar["holds"] for bar in told["bars"]}
    assert held["answers that differ from DuckDB's or Postgres'"]
    assert held["rows that differ from a recomputation"]
    assert set(told["pages"]) == {"sites", "sites, longest", "site, 90 days", "changes", "slo"}
