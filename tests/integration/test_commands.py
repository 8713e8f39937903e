"""What a person types, against a real Postgres: the result, the words when it goes wrong, and the exit status."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest

from pipeline.declared import Declared
from pipeline.frames import ROLLUPS, TICKS
from pipeline.settings import Settings
from pipeline.store.engine import plain_dsn
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Outcome, Tick
from tests.integration.conftest import Run, lines
from workers.commands.up import listening

# --- regions --------------------------------------------------------------------------------------------------------


def test_what_a_terminal_would_obey_is_not_printed(run: Run) -> None:
    run("regions", "add", "lab", "--name", "a\x1b[31mred\x07")
    assert "\x1b" not in run("regions", "list").stdout


def test_regions_are_added_listed_and_removed(run: Run) -> None:
    added = run("regions", "add", "lab", "--elsewhere", "--proxy=http://p:1", "--resolver=1.1.1.1", "--json")
    assert json.loads(added.stdout) == {
        "key": "lab",
        "name": "lab",
        "managed": False,
        "source_address": None,
        "proxy": "http://p:1",
        "resolvers": ["1.1.1.1"],
        "references": [],
        "min_probers": 1,
        "max_probers": 4,
    }
    assert [row[0] for row in lines(run("regions", "list"))] == ["eu", "lab", "us"]
    assert "KEY: there is a region 'lab' already" in run("regions", "add", "lab", status=2).stderr
    run("regions", "remove", "lab")
    assert [region["key"] for region in json.loads(run("regions", "list", "--json").stdout)] == ["eu", "us"]
    assert "there is no region 'lab'; there are: eu, us" in run("regions", "remove", "lab", status=2).stderr


def test_a_region_that_a_site_depends_on_is_kept(run: Run) -> None:
    run("sites", "add", "https://a.example", "--key=a", "--region=eu")
    assert "a would be checked from nowhere" in run("regions", "remove", "eu", status=2).stderr


def test_a_regions_problems_are_told_at_once(run: Run) -> None:
    refused = run("regions", "add", "E U", "--proxy=p", "--resolver=dns", "--source-address=eth0", status=2).stderr
    assert [line.split(": ")[1] for line in refused.splitlines()] == [
        "KEY",
        "--source-address",
        "--proxy",
        "--resolver",
    ]


# --- apply ----------------------------------------------------------------------------------------------------------

FILE = """\
regions:
  - key: lab
sites:
  - key: a
    url: https://a.example
  - key: b
    url: https://b.example
    regions: [lab]
"""


def test_a_file_is_applied_and_applied_again(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "sites.yaml"
    file.write_text(FILE)
    assert run("apply", str(file)).stdout.splitlines() == ["3 created: lab, a, b", "0 changed", "0 unchanged"]
    file.write_text(FILE.replace("[lab]", "[lab, eu]"))
    assert run("apply", str(file)).stdout.splitlines() == ["0 created", "1 changed: b", "2 unchanged"]
    again = run("apply", "-", "--json", typed=file.read_bytes())
    assert json.loads(again.stdout) == {"created": [], "changed": [], "unchanged": ["lab", "a", "b"]}


def test_every_problem_of_a_file_is_told_with_its_line_and_nothing_is_changed(run: Run) -> None:
    wrong = FILE.replace("https://b.example", "b.example") + "    colour: red\n    colour: blue\n"
    assert run("apply", "-", typed=wrong, status=2).stderr == (
        "betterstack: line 10, sites[1].colour: 'colour' is there twice\n"
    )
    assert run("apply", "-", typed=wrong.replace("    colour: blue\n", ""), status=2).stderr.splitlines() == [
        "betterstack: line 7, sites[1].url: the scheme is missing: write https://b.example or http://b.example",
        "betterstack: line 9, sites[1].colour: there is no such field",
    ]
    assert run("apply", "-", typed=FILE.replace("[lab]", "[mars]"), status=2).stderr.startswith(
        "betterstack: line 8, sites[1].regions: there is no region 'mars'"
    )
    assert json.loads(run("sites", "list", "--json").stdout) == []
    assert [row[0] for row in lines(run("regions", "list"))] == ["eu", "us"]


def test_what_the_form_and_what_only_the_store_knows_are_told_together(run: Run) -> None:
    run("sites", "add", "https://old.example", "--key=old")
    wrong = """\
regions:
  - key: lab
    proxy: nowhere
sites:
  - key: a
    url: a.example
  - key: b
    url: https://b.example
    regions: [lab, mars]
  - key: b
    url: https://c.example
  - key: d
    url: https://old.example
    regions: [lab]
"""
    told = run("apply", "-", typed=wrong, status=2).stderr.splitlines()
    assert [line.split(": ")[1] for line in told] == [
        "line 3, regions[0].proxy",
        "line 6, sites[0].url",
        "line 9, sites[1].regions",
        "line 10, sites[2].key",
        "line 13, sites[3].url",
    ]
    assert "there is no region 'mars'" in told[2]
    assert [row[0] for row in lines(run("sites", "list"))] == ["old"]
    assert [row[0] for row in lines(run("regions", "list"))] == ["eu", "us"]


def test_the_schema_is_printed_without_a_file(run: Run) -> None:
    assert json.loads(run("apply", "--schema").stdout) == Declared.model_json_schema()


@pytest.mark.parametrize(
    ("words", "said"), [(["/no/such/file"], "cannot be read"), (["/"], "cannot be read"), ([], "name a file")]
)
def test_a_file_that_is_not_there_is_told(run: Run, words: list[str], said: str) -> None:
    assert said in run("apply", *words, status=2).stderr


@pytest.mark.parametrize("typed", [b"", b"\xff\xfe", b"[", b"5"])
def test_what_is_no_declaration_is_told(run: Run, typed: bytes) -> None:
    assert run("apply", "-", typed=typed, status=2).stderr.startswith("betterstack: line ")


# --- export ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def measured(run: Run, dsn: str) -> int:
    """Half an hour of ticks of `a` and `b` from both regions, up to now."""
    for key in ("a", "b"):
        run("sites", "add", f"https://{key}.example", "--key", key, "--interval=60")
    now = datetime.now(UTC)
    ticks = [
        Tick(
            site_id=site_id,
            region_id=region_id,
            scheduled_at=now - timedelta(minutes=minute),
            attempt=0,
            started_at=now,
            outcome=Outcome.OK,
            final=True,
            interval_s=60,
            revision=1,
            prober="p",
        )
        for minute in range(1, 31)
        for site_id in (1, 2)
        for region_id in (1, 2)
    ]
    with psycopg.connect(plain_dsn(dsn)) as connection:
        ensure_partitions(connection, {tick.scheduled_at.date() for tick in ticks})
        store_ticks(connection, ticks)
    return len(ticks)


def test_ticks_are_exported_to_standard_output(run: Run, measured: int) -> None:
    frame = pl.read_csv(io.BytesIO(run("export", "ticks").stdout_bytes))
    assert (frame.columns, frame.height) == (list(TICKS), measured)
    some = pl.read_csv(io.BytesIO(run("export", "ticks", "--site", "a", "--region=us", "--since", "-10m").stdout_bytes))
    assert set(some.select("site", "region").unique().iter_rows()) == {("a", "us")}
    assert 8 <= some.height <= 10


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_rollups_are_exported_to_a_file(run: Run, measured: int, form: str, tmp_path: Path) -> None:
    assert measured
    out = tmp_path / f"rollups.{form}"
    told = run("export", "rollups", "--format", form, "--since=-2h", "--out", str(out)).stderr
    frame = pl.read_csv(out) if form == "csv" else pl.read_parquet(out)
    assert frame.columns == list(ROLLUPS)
    assert f"{frame.height} rows in" in told
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--site=nope"], "there is no site 'nope'"),
        (["--since=soon"], "--since: 'soon' is no time"),
        (["--until=2026-01-01T00:00"], "--until: 2026-01-01 00:00:00 has no time zone"),
        (["--since=-99999999999w"], "too long ago"),
        (["--format=parquet", "--out=/no/such/folder/x"], "/no/such/folder/x cannot be written: No such file"),
        (["--format=xls"], "'xls' is not one of"),
    ],
)
def test_an_export_that_cannot_be_is_told(run: Run, words: list[str], said: str) -> None:
    assert said in " ".join(run("export", "ticks", *words, status=2).stderr.replace("│", "").split())


# --- as a process ---------------------------------------------------------------------------------------------------


def process(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("BETTERSTACK_")}
    command = [sys.executable, "-m", "workers.cli", *words]
    return subprocess.run(command, env={**bare, **environment}, capture_output=True, text=True, timeout=60, check=False)


def test_env_tells_where_a_running_up_listens(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    settings = Settings(data_dir=tmp_path, host="127.0.0.2", port=8811, database_url=None, redis_url=None)
    command = ["env", "--data-dir", str(tmp_path)]
    with (tmp_path / "lock").open("wb") as lock, listening(settings):
        assert "export BETTERSTACK_PORT=8501" in process(*command).stdout.splitlines()  # what a kill left behind
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = process(*command).stdout.splitlines()
    assert {"export BETTERSTACK_HOST=127.0.0.2", "export BETTERSTACK_PORT=8811"} <= set(told)
    assert list((tmp_path / "run").iterdir()) == []


def test_a_file_is_judged_without_a_workbench(tmp_path: Path) -> None:
    file = tmp_path / "sites.yaml"
    file.write_text("sites:\n- key: a\n  url: https://a.example\n- key: b\n  url: b.example\n")
    ended = process("apply", str(file), BETTERSTACK_DATA_DIR=str(tmp_path / "nothing"))
    assert (ended.returncode, ended.stderr.startswith("betterstack: line 5, sites[1].url: the scheme")) == (2, True)


def test_a_check_and_a_site_name_the_timeout_alike() -> None:
    assert "Invalid value for '--timeout'" in process("check", "http://localhost:1", "--timeout=0").stderr


@pytest.mark.parametrize(
    "words",
    [
        ["sites", "list"],
        ["sites", "add", "https://a.example"],
        ["regions", "list"],
        ["apply", "-"],
        ["export", "ticks"],
    ],
    ids=" ".join,
)
def test_without_a_workbench_it_says_how_to_start_one(words: list[str], tmp_path: Path) -> None:
    ended = process(*words, BETTERSTACK_DATA_DIR=str(tmp_path / "nothing"))
    if words[0] == "apply":
        assert "nothing is declared" in ended.stderr
    else:
        assert "betterstack up" in ended.stderr
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert not (tmp_path / "nothing").exists()


def test_a_reader_that_has_seen_enough_ends_an_export_in_silence(measured: int, dsn: str) -> None:
    assert measured
    environment = {"BETTERSTACK_DATABASE_URL": dsn, "BETTERSTACK_REDIS_URL": "redis://localhost:1"}
    with subprocess.Popen(
        [sys.executable, "-m", "workers.cli", "export", "ticks"],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as export:
        assert export.stdout is not None
        export.stdout.close()
        assert export.stderr is not None
        assert export.stderr.read() == ""
        assert export.wait(30) == 1


def test_a_command_loads_only_what_it_needs() -> None:
    code = "import sys; from workers.cli import command_line; command_line(); print([m for m in sys.modules])"
    loaded: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not [heavy for heavy in ("'polars'", "'sqlalchemy'", "'psycopg'", "'yaml'", "'pyarrow'") if heavy in loaded]


@contextlib.contextmanager
def serving_pages(body: bytes) -> Iterator[str]:
    """A server in a thread that answers every GET with a body; its URL."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_check_shows_all_that_is_not_as_expected(run: Run) -> None:
    with serving_pages(b'{"status": "degraded"}') as url:
        words = ('--expect-json=$.status == "ok"', "--expect-body=Welcome", "--expect-max-bytes=4")
        shown = run("check", url, *words, status=1).stdout
        assert run("check", url, "--expect-json=$.status exists", "--expect-header=content-length == 22").exit_code == 0
    assert shown.splitlines()[:4] == [
        f"down: too_large  {url}",
        "the body has 22 bytes, expected at most 4",
        'the body does not contain "Welcome"',
        '$.status is "degraded", expected == "ok"',
    ]
    assert "--expect-json: a path begins with $" in run("check", url, "--expect-json=a", status=2).stderr


def test_a_check_sends_what_a_site_would_and_shows_what_came_back_without_it(run: Run) -> None:
    with serving_pages(b"<h1>Sorry</h1>\x1b[31m\nOur database is away") as url:
        words = ("--header=X-Key: k3y-of-mine", "--bearer=t0ken-of-mine", "--expect-body=Welcome")
        shown = run("check", url, *words, status=1).stdout
        assert run("check", url, "--cert=/dev/null", status=2).stderr.startswith("betterstack: --cert: this is no cert")
        assert "--header: 'a b' is no name" in run("check", url, "--header=a b: c", status=2).stderr
    assert "± " in shown
    assert "by the kernel's clock" in shown or "by the loop's clock" in shown
    for said in ("Answer\n  HTTP/1.0 200 OK\n", "Body, its beginning\n  <h1>Sorry</h1>�[31m\n  Our database is away"):
        assert said in shown
    assert "-of-mine" not in shown


def test_a_url_without_a_scheme_can_be_checked(run: Run) -> None:
    assert json.loads(run("check", "127.0.0.1:9/x", "--json", status=1).stdout)["url"] == "http://127.0.0.1:9/x"


def test_a_range_that_ends_before_it_begins_is_refused(run: Run) -> None:
    result = run("export", "ticks", "--since", "-1h", "--until", "-2h", status=2)
    assert "--until: this range ends (-2h) before it begins (-1h)" in result.stderr


def test_who_adds_a_region_that_nobody_can_join_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    told = run("regions", "add", "there", "--elsewhere").stderr
    assert "nobody can probe for there yet. Nobody elsewhere reaches this Redis" in told
    assert "nobody can probe for us yet" in run("regions", "edit", "us", "--elsewhere").stderr
    assert "there is no region 'nope'" in run("regions", "join-command", "nope", status=2).stderr
    monkeypatch.setenv("BETTERSTACK_PUBLIC_REDIS_URL", "rediss://redis.example.org:6380")
    assert "What to run there" in run("regions", "add", "far", "--elsewhere").stdout


def test_it_says_where_it_looked_for_a_workbench_that_does_not_answer(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"BETTERSTACK_{name}")
    monkeypatch.setenv("BETTERSTACK_DATA_DIR", str(tmp_path / "nothing"))
    for words in (["sites", "list"], ["regions", "list"], ["export", "ticks"], ["apply", "-"]):
        told = run(*words, typed="sites: [{key: a, url: https://a.example}]", status=2).stderr
        assert f"Looked at: {tmp_path / 'nothing'}; --data-dir or BETTERSTACK_DATA_DIR names another one." in told


def test_doctor_does_not_advise_to_run_doctor_and_shows_the_port_in_use(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("DATABASE_URL", "REDIS_URL"):
        monkeypatch.delenv(f"BETTERSTACK_{name}")
    told = run("doctor", "--data-dir", str(tmp_path), status=1).stdout
    assert "betterstack up" in told
    assert "betterstack doctor" not in told
    settings = Settings(data_dir=tmp_path, port=8612)
    (tmp_path / "run").mkdir()
    with (tmp_path / "lock").open("wb") as lock, listening(settings):
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert re.search(r"BETTERSTACK_PORT +8612", run("doctor", "--data-dir", str(tmp_path), status=1).stdout)
