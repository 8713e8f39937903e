"""Secrets: the target sees them and nothing else does; keys are turned while checks are made; old rows are sealed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import Connection, text

from pipeline.declared import RegionIn, SiteIn, parse
from pipeline.errors import WorkbenchError
from pipeline.ring import Ring
from pipeline.settings import Settings
from pipeline.store.engine import engine, plain_dsn
from pipeline.store.regions import create_region, get_region, region_fields
from pipeline.store.sealing import keys_in_use, locked, reseal, seal_plain
from pipeline.store.sites import create_site, get_site, site_fields, update_site
from pipeline.vocabulary import STATE_OF, Outcome, State
from tests.harness import Fleet, audit, count, eventually, fresh_database, now, rows_of, up, writing
from tests.integration.elsewhere import Wire
from workers import rotation
from workers.embedded import Servers
from workers.embedded.postgres import binary

KEY, NEWER = "a-secret-key-that-is-long-enough-for-tests", "another-secret-key-that-is-long-enough-too"
RING, BOTH = Ring([KEY.encode()]), Ring([NEWER.encode(), KEY.encode()])
MARK = "Xq7secretXq7"  # in every secret here, and in nothing else
SINCE = "select count(*) from ticks where started_at > %s"
SECRETS = {
    "headers": {"X-Api-Key": f"{MARK}-header", "Accept": "text/plain"},
    "body": f"{MARK}-body",
    "auth": {"username": "us", "password": f"{MARK}-password"},
    "method": "POST",
}


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    body: str


@contextmanager
def keeping() -> Iterator[tuple[str, list[Request]]]:
    """A target that keeps what it is sent and says nothing of it: 200, and 503 below `/down`. It is a proxy as well."""
    kept: list[Request] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            kept.append(Request(self.path, {n.lower(): v for n, v in self.headers.items()}, body))
            self.send_response(503 if "/down" in self.path else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815 - the library's name

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 512  # of the 5 that are usual, the others wait a second to be let in

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.fixture
def base(servers: Servers, template: str) -> Iterator[str]:
    """A fresh database."""
    with fresh_database(servers, template) as dsn:
        yield dsn


@pytest.fixture
def begin(base: str) -> Iterator[Callable[[], AbstractContextManager[Connection]]]:
    store = engine(base)
    yield store.begin
    store.dispose()


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    wire = Wire(tmp_path)
    yield wire
    wire.close()


def dumped(dsn: str) -> str:
    """All that Postgres keeps."""
    done = subprocess.run([binary("pg_dump"), plain_dsn(dsn)], capture_output=True, check=True, timeout=120)
    return done.stdout.decode()


def site(key: str, url: str, **more: object) -> SiteIn:
    return parse(SiteIn, {"key": key, "url": url, "interval_s": 1, "confirmations": 0, **SECRETS, **more})


def ring() -> Ring:
    return RING


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# --- nothing but the target sees them -------------------------------------------------------------------------------


def test_the_target_sees_the_secrets_and_nothing_else_does(
    base: str, wire: Wire, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    port = free_port()
    environment = {
        "BETTERSTACK_SECRET_KEY": KEY,
        "BETTERSTACK_PRIVATE_TARGETS": "allow",
        "BETTERSTACK_LOG_LEVEL": "DEBUG",
        "BETTERSTACK_PORT": str(port),
        "BETTERSTACK_DATA_DIR": str(tmp_path / "none"),
    }
    with keeping() as (url, kept), Fleet(base, wire.url, **environment) as fleet:
        with writing(base) as connection:
            create_region(connection, RegionIn(key="here"), now=now(), actor="test")
            via = RegionIn(key="via", proxy=f"http://us:{MARK}-proxy@{url.removeprefix('http://')}")
            create_region(connection, via, now=now(), actor="test", ring=ring)
        for role in (
            ["pusher"],
            ["recorder"],
            ["roller"],
            ["app"],
            *(["prober", "--region", r] for r in ("here", "via")),
        ):
            fleet.start(*role)
        with writing(base) as connection:
            wanted = site("up", f"{url}/up").model_dump()
            create_site(connection, parse(SiteIn, wanted), now=now(), actor="test", ring=ring)
            down = site("down", f"{url}/down", auth={"token": f"{MARK}-token"}, confirmations=1, spacing_s=0)
            create_site(connection, down, now=now(), actor="test", ring=ring)
            update_site(connection, "up", {"body": f"{MARK}-another"}, now=now(), actor="test", ring=ring)
        ask = f"http://127.0.0.1:{port}"
        seen = [
            eventually(lambda path=path: fetched(f"{ask}{path}"), seconds=60, what=path)  # type: ignore[misc]
            for path in ("/metrics", "/healthz", "/api/v1/sites", "/api/v1/sites/up", "/api/v1/regions")
        ]
        eventually(lambda: count(base, "select count(*) from ticks where outcome = 0") >= 4, what="ticks of up")
        down_code = list(Outcome).index(Outcome.STATUS)
        eventually(lambda: count(base, "select count(*) from ticks where outcome = %s", down_code) >= 4, what="of down")
        refused = fetched(f"{ask}/api/v1/sites/up", {"headers": {"X-Api-Key": f"{MARK}\n"}, "body": [MARK]})
        command = [sys.executable, "-m", "workers.cli"]
        for words in (["sites", "list", "--json"], ["regions", "list"], ["secrets", "status"], ["doctor"]):
            done = subprocess.run(
                [*command, *words], env=fleet._environment, capture_output=True, text=True, check=False, timeout=60
            )
            seen += [done.stdout, done.stderr]
            assert "Traceback" not in done.stderr
    out, err = capfd.readouterr()
    sent = {request.path: request for request in kept}
    direct, proxied = sent["/up"], sent[f"{url}/up"]
    assert direct.headers["x-api-key"] == f"{MARK}-header"
    assert direct.headers["authorization"].startswith("Basic ")
    assert {request.body for request in kept if request.path == "/up"} >= {f"{MARK}-another"}
    assert sent["/down"].headers["authorization"] == f"Bearer {MARK}-token"
    assert proxied.headers["proxy-authorization"].startswith("Basic ")
    assert "proxy-authorization" not in direct.headers
    assert "problems" in refused
    assert "sealed:" in seen[2]
    for name, told in {
        "postgres": dumped(base),
        "redis": wire.written().decode("utf-8", "replace"),
        "logs": out + err,
        "API, metrics and commands": "".join(seen) + refused,
    }.items():
        assert len(told) > 100, name
        assert MARK not in told, f"a secret is in {name}: {told[max(0, told.index(MARK) - 300) :][:600]}"
    assert not count(base, "select count(*) from ticks where outcome = %s", list(Outcome).index(Outcome.BLOCKED))


def fetched(url: str, changes: dict[str, Any] | None = None) -> str:
    data = None if changes is None else json.dumps(changes).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method="PATCH" if data else "GET")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())
    except OSError:
        return ""


# --- the keys are turned --------------------------------------------------------------------------------------------


def test_rotating_under_load_loses_no_check_and_blocks_none(data_dir: Path) -> None:
    settings = Settings(data_dir=data_dir, secret_key=None, database_url=None, redis_url=None)
    with keeping() as (url, kept), up(data_dir):
        dsn = settings.database
        began = now()
        environment = os.environ | {"BETTERSTACK_DATA_DIR": str(data_dir)}
        declared = {
            "sites": [
                site(f"s{n}", f"{url}/s{n}", interval_s=3600 if n == 0 else 2).model_dump(mode="json")
                for n in range(30)
            ]
        }
        run(["apply", "-"], environment, typed=json.dumps(declared))
        eventually(lambda: count(dsn, "select count(*) from ticks") > 100, what="ticks")
        for _ in range(2):
            before = (data_dir / "secret.key").read_text()
            said = run(["secrets", "rotate"], environment)
            assert "90 rows are sealed anew" in said  # 30 sites, each with a revision in two regions
            after = (data_dir / "secret.key").read_text()
            assert after != before
            assert len(after.split()) == 1
            since = now()
            eventually(lambda since=since: count(dsn, SINCE, since) > 100, what="ticks after it")  # type: ignore[misc]
        with writing(dsn) as connection:
            found = rotation.status(connection, settings)
            assert list(found.rows) == found.keys
            connection.execute(text("update sites set name = name || '.'"))
            update_site(connection, "s0", {"name": "Zero", "tags": ["a"]}, now=now(), actor="test")  # needs no key
        run(["sites", "check", "s0"], environment)  # its next slot is in an hour: nobody has it in mind
        manual = "select count(*) from ticks t join sites s on s.id = t.site_id where t.kind = 1 and s.key = 's0'"
        eventually(lambda: count(dsn, manual) >= 2, what="the check of a site that was not due")
        found_ = audit(dsn, began, now() - timedelta(seconds=8))
        outcomes = {list(Outcome)[int(str(row[0]))] for row in rows_of(dsn, "select distinct outcome from ticks")}
    assert (found_.missing, found_.ghosts) == (0, 0)
    assert not {outcome for outcome in outcomes if STATE_OF[outcome] is State.UNKNOWN}, "every check was made"
    assert {request.headers["x-api-key"] for request in kept} == {f"{MARK}-header"}
    assert {request.body for request in kept} == {f"{MARK}-body"}


def test_keys_of_the_environment_are_turned_under_a_fleet_that_runs(
    base: str, wire: Wire, begin: Callable[[], AbstractContextManager[Connection]], tmp_path: Path
) -> None:
    """As README says it: each step restarts one role after the other, so that at every time some have yet to follow."""
    elsewhere = {"BETTERSTACK_PRIVATE_TARGETS": "allow", "BETTERSTACK_DATA_DIR": str(tmp_path / "none")}
    roles = [["recorder"], ["prober", "--region", "eu"], ["prober", "--region", "eu"], ["pusher"]]

    def keys(text: str) -> dict[str, str]:
        return {"BETTERSTACK_SECRET_KEY": text}

    with keeping() as (url, kept), Fleet(base, wire.url, **elsewhere) as fleet:
        with writing(base) as connection:
            create_region(connection, RegionIn(key="eu"), now=now(), actor="test")
            for n in range(5):
                create_site(connection, site(f"s{n}", f"{url}/s{n}"), now=now(), actor="test", ring=ring)
        running = [fleet.start(*role, **keys(KEY)) for role in roles]
        ticked(base)
        for step in (f"{KEY},{NEWER}", f"{NEWER},{KEY}", NEWER):
            if step == NEWER:
                done = rotation.rotate(begin, Settings(secret_key=f"{NEWER},{KEY}", database_url=base))
                assert (done.rows, done.dropped, done.missing) == (11, [RING.ids[0]], []), (
                    "5 sites with a revision each, one with two"
                )
                ticked(base)
            for place, role in enumerate(roles):
                fleet.stop(running[place])
                running[place] = fleet.start(*role, **keys(step))
                ticked(base)
            with writing(base) as connection:  # an edit at each step, with the keys of that step
                turned = Ring(key.encode() for key in step.split(","))
                changes = {"body": f"{MARK}-{step.count(KEY)}"}
                update_site(connection, "s0", changes, now=now(), actor="test", ring=lambda: turned)  # noqa: B023 - asked at once
            eventually(lambda: changes["body"] in {request.body for request in kept}, what="the edited secret")  # noqa: B023 - see above
        with begin() as connection:
            assert list(keys_in_use(connection)) == [BOTH.ids[0]]
    outcomes = {list(Outcome)[int(str(row[0]))] for row in rows_of(base, "select distinct outcome from ticks")}
    assert outcomes - {Outcome.LATE} == {Outcome.OK}, "late is a machine that is too busy to turn keys in time"
    assert {request.headers["x-api-key"] for request in kept} == {f"{MARK}-header"}
    assert {request.body for request in kept} == {f"{MARK}-{what}" for what in ("body", "1", "0")}


def ticked(dsn: str) -> None:
    """Wait until every site was checked again."""
    since = now()
    every = "select count(distinct site_id) from ticks where started_at > %s"
    eventually(lambda: count(dsn, every, since) == 5, what="a check of every site")


def run(words: list[str], environment: dict[str, str], typed: str | None = None) -> str:
    command = [sys.executable, "-m", "workers.cli", *words]
    done = subprocess.run(
        command, env=environment, input=typed, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_rotation_that_is_interrupted_leaves_all_to_be_opened_and_goes_on(
    base: str, begin: Callable[[], AbstractContextManager[Connection]], tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path, secret_key=None, database_url=base, redis_url=None)
    (tmp_path / "secret.key").write_text(f"{KEY}\n")
    fill(base)
    calls = iter(range(100))

    def failing() -> AbstractContextManager[Connection]:
        if next(calls) == 6:
            raise WorkbenchError("the power went")
        return begin()

    with pytest.raises(WorkbenchError, match="the power went"):
        rotation.rotate(failing, settings)
    halfway = (tmp_path / "secret.key").read_text().split()
    assert halfway[1] == KEY
    both = Ring(key.encode() for key in halfway)
    with begin() as connection:
        assert set(keys_in_use(connection)) == set(both.ids)
        assert locked(connection, both.ids) == []
    done = rotation.rotate(begin, settings)
    assert (done.key, done.dropped, done.missing) == (both.ids[0], [both.ids[1]], [])
    assert (tmp_path / "secret.key").read_text().split() == halfway[:1]
    with begin() as connection:
        assert list(keys_in_use(connection)) == [both.ids[0]]


def test_a_given_key_is_never_touched_and_it_is_said_what_may_go(
    base: str, begin: Callable[[], AbstractContextManager[Connection]]
) -> None:
    fill(base)
    settings = Settings(secret_key=f"{NEWER},{KEY}", database_url=base)
    with begin() as connection:
        create_region(connection, RegionIn(key="far", managed=False), now=now(), actor="test")
    done = rotation.rotate(begin, settings)
    assert (done.key, done.dropped, done.elsewhere) == (BOTH.ids[0], [BOTH.ids[1]], ["far"])
    assert rotation.rotate(begin, settings).rows == 0
    with begin() as connection:
        assert locked(connection, RING.ids) == ["s", "via"], "the old key alone opens nothing any more"


def test_after_a_rotation_an_edit_of_something_else_checks_nothing_anew(
    base: str, begin: Callable[[], AbstractContextManager[Connection]]
) -> None:
    fill(base)
    reseal(begin, BOTH)
    revisions = "select count(*) from revisions"
    before = count(base, revisions)
    with begin() as connection:
        update_site(connection, "s", {"name": "Another"}, now=now(), actor="test")
        update_site(connection, "s", {"body": SECRETS["body"]}, now=now(), actor="test", ring=lambda: BOTH)
    assert count(base, revisions) == before


def fill(dsn: str) -> None:
    with writing(dsn) as connection:
        via = RegionIn(key="via", proxy=f"http://us:{MARK}-proxy@127.0.0.1:1")
        create_region(connection, via, now=now(), actor="test", ring=ring)
        create_site(connection, site("s", "http://127.0.0.1:1/"), now=now(), actor="test", ring=ring)


# --- what an older release left plain -------------------------------------------------------------------------------


OLD_ROWS = """
update sites set headers = cast(:plain as jsonb);
update revisions set spec = jsonb_build_array(spec->0, spec->1, spec->2, cast(:plain as jsonb), spec->4),
    network = jsonb_set(network, '{1}', to_jsonb(cast(:proxy as text)));
update regions set proxy = :proxy;
insert into audit (at, actor, action, subject, detail) values (now(), 'a', 'site_changed', 's',
    jsonb_build_object('changes', jsonb_build_object('headers', cast(:plain as jsonb), 'interval_s', 5)));
insert into audit (at, actor, action, subject, detail) values (now(), 'a', 'region_changed', 's',
    jsonb_build_object('changes', jsonb_build_object('proxy', cast(:proxy as text))))
"""


def test_what_an_older_release_kept_plain_is_sealed_everywhere(
    base: str, begin: Callable[[], AbstractContextManager[Connection]]
) -> None:
    plain = f'{{"X-Api-Key": "{MARK}-header", "Accept": "text/plain"}}'
    with writing(base) as connection:
        create_region(connection, RegionIn(key="via"), now=now(), actor="test")
        create_site(connection, SiteIn(key="s", url="http://127.0.0.1:1/"), now=now(), actor="test")
        for statement in OLD_ROWS.split(";\n"):
            connection.execute(text(statement), {"plain": plain, "proxy": f"http://us:{MARK}-proxy@127.0.0.1:1"})
    assert dumped(base).count(MARK) == 6
    with begin() as connection:
        assert MARK not in str(site_fields(get_site(connection, "s"))), "shown before it is sealed"
        assert MARK not in str(region_fields(get_region(connection, "via")))
    assert seal_plain(begin, Ring()) == 0
    assert seal_plain(begin, RING) == 5
    assert MARK not in dumped(base)
    assert seal_plain(begin, RING) == 0
    with begin() as connection:
        stored = get_site(connection, "s").headers
        assert RING.open("header:X-Api-Key", stored["X-Api-Key"]) == f"{MARK}-header"
        assert stored["Accept"] == "text/plain"
        [spec] = connection.execute(text("select spec from revisions")).scalars()
        assert spec[3] == stored
        assert len(spec) == 5, "the rest is as the older release wrote it"
