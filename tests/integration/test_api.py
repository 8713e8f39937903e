"""The API as programs meet it: over a socket, against a real Postgres."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import httpx
import polars as pl
import psycopg
import pytest
import uvicorn
from fastapi import FastAPI
from msgspec import structs
from sqlalchemy import Engine, text, update
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount

from app.api import downloads, healthz, measurements, service
from app.api.gate import LARGEST_BODY, Gate
from pipeline.declared import RegionIn, SiteIn
from pipeline.errors import UnavailableError
from pipeline.frames import ROLLUPS, TICKS
from pipeline.secret_key import ring_where_ours
from pipeline.settings import Settings
from pipeline.store import beats
from pipeline.store import tables as t
from pipeline.store.engine import engine, plain_dsn
from pipeline.store.kept_snapshots import keep_snapshots
from pipeline.store.regions import create_region
from pipeline.store.rollups import roll
from pipeline.store.sites import create_sites
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Certificate, Hop, Kind, Outcome, Phases, Snapshot, Tick
from tests.harness import eventually, raw

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOWHERE = "postgresql://postgres@/betterstack?host=/nowhere"
BY: dict[str, Any] = {"now": NOW, "actor": "test"}


@contextmanager
def served(api: FastAPI, bind: str = "127.0.0.1") -> Iterator[httpx.Client]:
    """The API as `app.asgi` serves it, without the pages, on a socket of its own."""
    outer = Starlette(routes=[healthz.route(api), Mount("/api/v1", app=api)], middleware=[Middleware(Gate, bind=bind)])
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(outer, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    port = listener.getsockname()[1]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=30, trust_env=False) as client:
        yield client
    server.should_exit = True
    thread.join(10)
    listener.close()


@pytest.fixture(scope="module")
def store(dsn: str) -> Iterator[Engine]:
    opened = engine(dsn)
    yield opened
    opened.dispose()


@pytest.fixture(scope="module")
def server(store: Engine) -> Iterator[httpx.Client]:
    api = service.create(lambda: NOW)
    api.state.engine = store
    with served(api) as client:
        yield client


@pytest.fixture
def client(server: httpx.Client, store: Engine) -> httpx.Client:
    """A client of an empty store with the regions `eu` and `us`."""
    emptied = ", ".join(sorted(set(t.metadata.tables) - {"workspaces", "pusher"}))
    with store.begin() as connection:
        connection.execute(text(f"truncate {emptied} restart identity"))
        connection.execute(update(t.pusher).values(pushed_until=None, beat_at=None))
        for key in ("eu", "us"):
            create_region(connection, RegionIn(key=key), **BY)
    return server


def add(client: httpx.Client, *keys: str, **fields: object) -> None:
    sites = [{"key": key, "url": f"https://{key}.example", **fields} for key in keys]
    assert client.post("/sites", json=sites).status_code == 201


def fields_of(response: httpx.Response) -> list[str]:
    """The fields that a refusal names; its shape is the same whoever refused."""
    assert response.status_code == 422
    problems = response.json()["problems"]
    assert all(set(problem) <= {"field", "message", "line"} and problem["message"] for problem in problems)
    return [problem["field"] for problem in problems]


# --- sites ----------------------------------------------------------------------------------------------------------


def test_a_site_needs_no_more_than_a_url(client: httpx.Client) -> None:
    response = client.post("/sites", json={"url": "https://example.com/shop"})
    assert response.status_code == 201
    assert response.json() == {
        "key": "example-com-shop",
        "name": "example-com-shop",
        "url": "https://example.com/shop",
        "state": "unknown",
        "since": None,
        "certificate_expires_at": None,
        "interval_s": 180,
        "timeout_s": 10.0,
        "confirmations": 1,
        "spacing_s": 5.0,
        "regions": None,
        "method": "GET",
        "headers": {},
        "expect": {"status": ["200-399"]},
        "max_redirects": 10,
        "body": "",
        "auth": None,
        "client_certificate": None,
        "verify_tls": True,
        "family": "any",
        "tags": [],
        "paused": False,
        "created_at": "2026-03-01T12:00:00Z",
        "updated_at": "2026-03-01T12:00:00Z",
    }
    assert client.get("/sites/example-com-shop").json() == response.json()


def test_several_sites_are_added_together_in_their_order(client: httpx.Client) -> None:
    urls = ["https://b.example", "https://a.example", "https://a.example/?x=1"]
    response = client.post("/sites", json=[{"url": url} for url in urls])
    assert [site["url"] for site in response.json()] == urls
    assert [site["key"] for site in response.json()] == ["b-example", "a-example", "a-example-2"]


def test_of_several_sites_all_are_added_or_none(client: httpx.Client) -> None:
    add(client, "x")
    sent = [{"url": "https://new.example"}, {"url": "https://x.example"}, {"key": "x", "url": "https://y.example"}]
    assert fields_of(client.post("/sites", json=sent)) == ["sites[1].url", "sites[2].key"]
    assert fields_of(client.post("/sites", json=[{"url": "nope"}, {"url": "https://a.example", "x": 1}])) == [
        "sites[0].url",
        "sites[1].x",
    ]
    assert client.get("/sites").json()["total"] == 1


def test_sites_are_found_by_words_tags_and_state(client: httpx.Client, store: Engine) -> None:
    add(client, "shop", "blog", tags=["web"])
    add(client, "db", tags=["web", "core"], name="The 100% database", paused=True)
    with store.begin() as connection:
        up_to = NOW + timedelta(minutes=5)
        connection.execute(update(t.series).where(t.series.c.site_id == 1).values(state="down", fresh_until=up_to))

    def found(**query: Any) -> list[str]:
        return [site["key"] for site in client.get("/sites", params=query).json()["items"]]

    assert found() == ["blog", "shop", "db"]
    assert found(search="SHOP") == ["shop"]
    assert found(search="100%") == ["db"]
    assert found(search="%") == ["db"]
    assert found(search="_") == []
    assert found(tag="web") == ["blog", "shop", "db"]
    assert found(tag=["web", "core"]) == ["db"]
    assert found(state="down") == ["shop"]
    assert found(state=["down", "paused"]) == ["shop", "db"]
    assert found(sort="attention")[0] == "shop"


def test_pages_hold_every_site_once(client: httpx.Client) -> None:
    add(client, *(f"s{n}" for n in range(7)))
    keys, page = [], 1
    while page:
        answer = client.get("/sites", params={"limit": 3, "page": page}).json()
        assert answer["total"] == 7
        keys += [site["key"] for site in answer["items"]]
        page = answer["next"]
    assert keys == [f"s{n}" for n in range(7)]
    assert client.get("/sites", params={"limit": 3, "page": 9}).json() == {"items": [], "total": 7, "next": None}


def test_a_site_is_changed_by_the_fields_that_are_named(client: httpx.Client) -> None:
    add(client, "x", tags=["t"])
    changed = client.patch("/sites/x", json={"interval_s": 5, "regions": ["us"]}).json()
    assert (changed["interval_s"], changed["timeout_s"], changed["regions"], changed["tags"]) == (5, 5.0, ["us"], ["t"])
    assert client.patch("/sites/x", json={"regions": None, "paused": True}).json()["state"] == "paused"
    assert client.patch("/sites/x", json={}).json()["regions"] is None


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({"interval_s": "soon"}, ["interval_s"]),
        ({"interval_s": [1]}, ["interval_s"]),
        ({"nope": 1, "url": "x"}, ["url", "nope"]),
        ({"regions": ["mars"]}, ["regions"]),
        ({"key": "y"}, ["key"]),
        ({"expect": {"status": ["200", "xx"]}}, ["expect.status[1]"]),
        ({"name": "a\x00b"}, ["name"]),
        ([], ["body"]),
        ("x", ["body"]),
        (None, ["body"]),
    ],
    ids=str,
)
def test_a_change_that_cannot_be_is_refused_by_field(client: httpx.Client, sent: object, fields: list[str]) -> None:
    add(client, "x")
    before = client.get("/sites/x").json()
    assert fields_of(client.patch("/sites/x", json=sent)) == fields
    assert client.get("/sites/x").json() == before


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        (5, ["body"]),
        (None, ["body"]),
        ([], ["sites"]),
        ([5], ["sites[0]"]),
        ({}, ["url"]),
        ({"key": "Ä"}, ["key", "url"]),
    ],
    ids=str,
)
def test_what_is_no_site_is_refused(client: httpx.Client, sent: object, fields: list[str]) -> None:
    assert fields_of(client.post("/sites", json=sent)) == fields


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"url": "\\ud800"}', b"[" * 100_000, b'{"url": NaN}'])
def test_what_is_no_json_is_refused_in_words(client: httpx.Client, body: bytes) -> None:
    response = client.post("/sites", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in {400, 422}
    assert set(response.json()) <= {"problems", "error"}


def test_a_removed_site_is_gone_and_its_key_is_free(client: httpx.Client) -> None:
    add(client, "x")
    assert client.delete("/sites/x").status_code == 204
    gone = client.get("/sites/x")
    assert (gone.status_code, gone.json()) == (404, {"error": "there is no site 'x'"})
    assert client.delete("/sites/x").status_code == 404
    add(client, "x")


def test_a_check_now_is_asked_of_every_region(client: httpx.Client) -> None:
    add(client, "x")
    response = client.post("/sites/x/checks")
    assert (response.status_code, response.json()) == (202, {"regions": 2})
    client.patch("/sites/x", json={"paused": True})
    assert fields_of(client.post("/sites/x/checks")) == ["key"]
    assert client.post("/sites/nope/checks").status_code == 404


@pytest.mark.parametrize("path", ["/sites/A", "/sites/a%00b", "/sites/a%20b", f"/sites/{'a' * 64}", "/regions/Ä"])
def test_a_key_that_cannot_be_is_refused(client: httpx.Client, path: str) -> None:
    assert fields_of(client.get(path)) == ["key"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=x", "limit"),
        ("page=0", "page"),
        ("state=broken", "state[0]"),
        ("sort=size", "sort"),
        (f"search={'a' * 201}", "search"),
        ("search=%00", "input"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(client: httpx.Client, query: str, field: str) -> None:
    assert fields_of(client.get(f"/sites?{query}")) == [field]


def test_every_change_is_in_the_audit_log_as_the_apis(client: httpx.Client, store: Engine) -> None:
    add(client, "x")
    client.patch("/sites/x", json={"interval_s": 60})
    client.delete("/sites/x")
    with store.connect() as connection:
        lines = connection.execute(text("select actor, action from audit where subject = 'x' order by id")).all()
    assert [tuple(line) for line in lines] == [("api", f"site_{what}") for what in ("created", "changed", "deleted")]


# --- regions --------------------------------------------------------------------------------------------------------


def test_a_region_is_added_changed_and_removed(client: httpx.Client) -> None:
    whole = {
        "key": "lab",
        "name": "A lab",
        "managed": False,
        "source_address": None,
        "proxy": "http://p:3128",
        "resolvers": ["1.1.1.1"],
        "references": [],
        "min_probers": 1,
        "max_probers": 4,
    }
    assert client.post("/regions", json=whole).json() == whole
    assert fields_of(client.post("/regions", json=whole)) == ["key"]
    assert client.patch("/regions/lab", json={"proxy": None}).json() == whole | {"proxy": None}
    assert fields_of(client.patch("/regions/lab", json={"resolvers": ["x"]})) == ["resolvers"]
    assert [region["key"] for region in client.get("/regions").json()["items"]] == ["eu", "lab", "us"]
    assert client.delete("/regions/lab").status_code == 204
    assert client.get("/regions/lab").status_code == 404


def test_a_region_that_a_site_depends_on_is_kept(client: httpx.Client) -> None:
    add(client, "x", regions=["eu"])
    assert fields_of(client.delete("/regions/eu")) == ["key"]


# --- a declared file ------------------------------------------------------------------------------------------------


def apply(client: httpx.Client, body: str, kind: str = "application/yaml") -> httpx.Response:
    return client.post("/apply", content=body, headers={"Content-Type": kind})


def test_a_file_is_applied_as_yaml_or_json(client: httpx.Client) -> None:
    yaml = "regions: [{key: lab}]\nsites:\n- key: x\n  url: https://x.example\n  regions: [lab]\n"
    assert apply(client, yaml).json() == {"created": ["lab", "x"], "changed": [], "unchanged": []}
    assert apply(client, yaml).json() == {"created": [], "changed": [], "unchanged": ["lab", "x"]}
    as_json = json.dumps({"sites": [{"key": "x", "url": "https://x.example", "interval_s": 60}]})
    assert apply(client, as_json, "application/json").json()["changed"] == ["x"]


def test_a_files_problems_have_lines_whoever_finds_them(client: httpx.Client) -> None:
    add(client, "old")
    wrong = apply(client, "sites:\n- key: x\n  url: https://x.example\n  colour: red\n").json()
    assert wrong == {"problems": [{"field": "sites[0].colour", "message": "there is no such field", "line": 4}]}
    taken = "sites:\n- key: x\n  url: https://x.example\n- key: y\n  url: https://old.example\n  regions:\n    - mars\n"
    problems = apply(client, taken).json()["problems"]
    assert [(problem["line"], problem["field"]) for problem in problems] == [
        (5, "sites[1].url"),
        (6, "sites[1].regions"),
    ]
    assert client.get("/sites").json()["total"] == 1
    both = apply(client, f"{taken}  interval_s: 0\n- key: z\n  url: https://old.example\n").json()["problems"]
    assert [(problem["line"], problem["field"]) for problem in both] == [
        (8, "sites[1].interval_s"),
        (10, "sites[2].url"),
    ]


def test_the_schema_is_that_of_the_file(client: httpx.Client) -> None:
    schema = client.get("/schema").json()
    assert set(schema["properties"]) == {"regions", "sites"}
    assert schema["$defs"]["SiteIn"]["additionalProperties"] is False


# --- ticks ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def measured(client: httpx.Client, store: Engine, dsn: str) -> list[Tick]:  # noqa: ARG001 - it empties the store
    """Ten minutes of the site `x` from both regions, each check with a confirmation."""
    with store.begin() as connection:
        create_sites(connection, [SiteIn(key="x", url="https://x.example", interval_s=60)], **BY)
    ticks = [
        Tick(
            site_id=1,
            region_id=region_id,
            scheduled_at=NOW - timedelta(minutes=minute),
            attempt=attempt,
            started_at=NOW - timedelta(minutes=minute),
            outcome=Outcome.TIMEOUT if attempt == 0 else Outcome.OK,
            final=attempt == 1,
            interval_s=60,
            revision=1,
            prober="p",
            phases=Phases(dns_ms=0.1, ttfb_ms=12.3),
            latency_ms=12.4,
            status=200,
            kind=Kind.MANUAL if minute == 5 else Kind.SCHEDULED,
        )
        for minute in range(10)
        for region_id in (1, 2)
        for attempt in (0, 1)
    ]
    with psycopg.connect(plain_dsn(dsn)) as connection:
        ensure_partitions(connection, {tick.scheduled_at.date() for tick in ticks})
        store_ticks(connection, ticks)
    return ticks


def test_ticks_come_newest_first_with_everything_that_was_found(client: httpx.Client, measured: list[Tick]) -> None:
    answer = client.get("/sites/x/ticks", params={"until": "2026-03-01T12:00:00.000001Z", "limit": 500}).json()
    assert len(answer["items"]) == len(measured)
    assert answer["next"] is None
    times = [(item["scheduled_at"], item["region"], item["attempt"]) for item in answer["items"]]
    assert times == sorted(times, reverse=True)
    assert answer["items"][0] == {
        "scheduled_at": "2026-03-01T12:00:00Z",
        "started_at": "2026-03-01T12:00:00Z",
        "region": "us",
        "attempt": 1,
        "state": "up",
        "outcome": "ok",
        "status": 200,
        "dns_ms": 0.1,
        "connect_ms": None,
        "tls_ms": None,
        "ttfb_ms": 12.3,
        "transfer_ms": None,
        "latency_ms": 12.4,
        "error_ms": None,
        "clock": "loop",
        "trusted": True,
        "ip": None,
        "bytes": None,
        "interval_s": 60,
        "final": True,
        "kind": "scheduled",
        "source": "prober",
        "prober": "p",
        "revision": 1,
        "detail": None,
    }


@pytest.fixture
def looked(dsn: str, measured: list[Tick]) -> list[Tick]:
    """The failed ones among them, with what they saw."""
    certificate = Certificate("CN=x", "CN=ca", ("x.example",), NOW - timedelta(days=1), NOW + timedelta(days=9), "ab")
    seen = Snapshot(
        "answer", ("HTTP 503",), (Hop("https://x.example/", "192.0.2.1", 503),), "TLSv1.3 X", certificate,
        "HTTP/1.1 503 No", (("server", "nginx"), ("x", "<b>")), "<h1>Sorry</h1>",
    )  # fmt: skip
    failed = [structs.replace(tick, snapshot=seen) for tick in measured if tick.attempt == 0]
    with psycopg.connect(plain_dsn(dsn)) as connection:
        keep_snapshots(connection, failed)
    return failed


def test_what_failures_saw_comes_newest_first_and_whole(client: httpx.Client, looked: list[Tick]) -> None:
    until = {"until": "2026-03-01T12:00:00.000001Z"}
    answer = client.get("/sites/x/snapshots", params=until).json()
    assert (len(answer["items"]), answer["next"]) == (len(looked), None)
    assert answer["items"][0] == {
        "scheduled_at": "2026-03-01T12:00:00Z",
        "region": "us",
        "attempt": 0,
        "state": "down",
        "outcome": "timeout",
        "phase": "answer",
        "problems": ["HTTP 503"],
        "hops": [{"url": "https://x.example/", "ip": "192.0.2.1", "status": 503}],
        "tls": "TLSv1.3 X",
        "certificate": {
            "subject": "CN=x",
            "issuer": "CN=ca",
            "names": ["x.example"],
            "not_before": "2026-02-28T12:00:00Z",
            "not_after": "2026-03-10T12:00:00Z",
            "sha256": "ab",
        },
        "status_line": "HTTP/1.1 503 No",
        "headers": [["server", "nginx"], ["x", "<b>"]],
        "body": "<h1>Sorry</h1>",
    }
    pages: list[dict[str, Any]] = []
    cursor = None
    while pages == [] or cursor:
        page = client.get("/sites/x/snapshots", params=until | {"limit": 3} | ({"cursor": cursor} if cursor else {}))
        pages += page.json()["items"]
        cursor = page.json()["next"]
    assert pages == answer["items"]
    assert len(client.get("/sites/x/snapshots", params=until | {"region": "eu"}).json()["items"]) == 10


def test_snapshots_that_cannot_be_asked_for_are_refused(client: httpx.Client, looked: list[Tick]) -> None:
    assert looked
    assert client.get("/sites/nope/snapshots").status_code == 404
    assert fields_of(client.get("/sites/x/snapshots", params={"region": "nope"})) == ["region"]
    assert fields_of(client.get("/sites/x/snapshots", params={"cursor": "!"})) == ["cursor"]


def test_a_site_says_when_the_first_of_its_certificates_ends(client: httpx.Client, store: Engine) -> None:
    add(client, "x")
    with store.begin() as connection:
        for region, days in ((1, 20), (2, 10)):
            ends = {"at": NOW + timedelta(days=days), "region": region}
            connection.execute(text("update series set expires_at = :at where region_id = :region"), ends)
    assert client.get("/sites/x").json()["certificate_expires_at"] == "2026-03-11T12:00:00Z"


@pytest.mark.parametrize("limit", [1, 3, 4, 7])
def test_pages_of_ticks_hold_every_tick_once(client: httpx.Client, measured: list[Tick], limit: int) -> None:
    found: list[tuple[Any, ...]] = []
    query: dict[str, Any] = {"limit": limit, "until": "2026-03-01T12:01:00Z"}
    while True:
        answer = client.get("/sites/x/ticks", params=query).json()
        assert len(answer["items"]) <= limit
        found += [(item["scheduled_at"], item["region"], item["attempt"]) for item in answer["items"]]
        if answer["next"] is None:
            break
        query["cursor"] = answer["next"]
    assert len(found) == len(set(found)) == len(measured)
    assert found == sorted(found, reverse=True)


def test_ticks_are_those_of_the_range_and_the_regions_asked_for(client: httpx.Client, measured: list[Tick]) -> None:
    assert len(measured) == 40
    query = {"since": "2026-03-01T11:55:00Z", "until": "2026-03-01T11:57:00Z"}
    items = client.get("/sites/x/ticks", params=query).json()["items"]
    assert sorted({item["scheduled_at"][14:16] for item in items}) == ["55", "56"]
    assert {item["kind"] for item in items if item["scheduled_at"][14:16] == "55"} == {"manual"}
    only = client.get("/sites/x/ticks", params=query | {"region": "us"}).json()["items"]
    assert {item["region"] for item in only} == {"us"}
    zoned = {"since": "2026-03-01T12:55:00+01:00", "until": "2026-03-01T12:57:00+01:00"}
    assert client.get("/sites/x/ticks", params=zoned).json()["items"] == items


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"region": "mars"}, "region"),
        ({"since": "yesterday"}, "since"),
        ({"since": "2026-03-01T12:00:00"}, "since"),
        ({"since": "-99999999999w"}, "since"),
        ({"since": ""}, "since"),
        ({"until": "0001-01-01T00:00:00Z"}, "until"),
        ({"since": "9999-12-31T23:59:59-23:00"}, "since"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OS4xLjE"}, "cursor"),
    ],
    ids=str,
)
def test_ticks_that_cannot_be_asked_for_are_refused(
    client: httpx.Client, measured: list[Tick], query: dict[str, str], field: str
) -> None:
    assert measured
    assert fields_of(client.get("/sites/x/ticks", params=query)) == [field]


def test_times_are_written_as_on_the_command_line(client: httpx.Client, measured: list[Tick]) -> None:
    assert measured
    wide = client.get("/sites/x/ticks", params={"since": "-7d"}).json()["items"]
    assert wide == client.get("/sites/x/ticks", params={"since": "2026-02-22T12:00:00Z"}).json()["items"]
    short = client.get("/sites/x/ticks", params={"since": "-5m", "until": "-3m"}).json()["items"]
    assert {item["scheduled_at"][14:16] for item in short} == {"55", "56"}
    assert client.get("/rollups?since=-7d&until=2026-03-01").status_code == 200
    [problem] = client.get("/rollups?since=now").json()["problems"]
    assert problem["message"] == "'now' is no time: write -7d, -4h, -90m, 2026-03-01 or 2026-03-01T12:00Z"


@pytest.mark.parametrize("page", [{"limit": "2"}, {"cursor": ""}], ids=str)
def test_a_file_has_no_pages(client: httpx.Client, measured: list[Tick], page: dict[str, str]) -> None:
    assert measured
    assert fields_of(client.get("/sites/x/ticks", params=page | {"format": "csv"})) == ["format"]
    assert client.get("/sites/x/ticks", params=page).status_code == 200


def test_ticks_of_a_site_that_is_not_there_are_not_found(client: httpx.Client) -> None:
    assert client.get("/sites/nope/ticks").status_code == 404


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_ticks_come_as_a_file_with_the_columns_of_an_export(
    client: httpx.Client, measured: list[Tick], kind: str
) -> None:
    query = {"until": "2026-03-01T12:01:00Z", "format": kind}
    response = client.get("/sites/x/ticks", params=query)
    assert response.status_code == 200
    assert f'filename="ticks-x.{kind}"' in response.headers["Content-Disposition"]
    frame = pl.read_csv(response.content) if kind == "csv" else pl.read_parquet(response.content)
    assert frame.height == len(measured)
    assert frame.columns == list(TICKS)
    assert frame["latency_ms"].unique().cast(pl.Float64).round(3).to_list() == [12.4]
    assert client.get("/sites/nope/ticks", params=query).status_code == 404
    assert fields_of(client.get("/sites/x/ticks", params=query | {"region": "mars"})) == ["region"]


def test_an_export_that_nobody_reads_to_its_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()
    monkeypatch.setattr(downloads, "PATIENCE_S", 0.2)

    def run(out: BinaryIO) -> None:
        try:
            while True:
                out.write(b"x")
        finally:
            ended.set()

    abandoned = downloads.streamed(run)
    assert next(abandoned) == b"x"
    assert ended.wait(5)
    ended.clear()
    closed = downloads.streamed(run)
    next(closed)
    closed.close()  # type: ignore[attr-defined] # a generator
    assert ended.wait(5)


def test_an_export_that_fails_half_way_does_not_look_whole() -> None:
    def run(out: BinaryIO) -> None:
        out.write(b"x")
        raise RuntimeError("half way")

    pieces = downloads.streamed(run)
    assert next(pieces) == b"x"
    with pytest.raises(RuntimeError, match="half way"):
        next(pieces)


def test_only_some_exports_run_at_once() -> None:
    held = threading.Event()

    def run(out: BinaryIO) -> None:
        out.write(b"x")
        held.wait(10)

    running = [downloads.streamed(run) for _ in range(4)]
    with pytest.raises(UnavailableError, match="already"):
        downloads.streamed(run)
    held.set()
    assert [b"".join(pieces) for pieces in running] == [b"x"] * 4
    deadline = time.monotonic() + 5
    while downloads.AT_ONCE._value < 4:
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- rollups --------------------------------------------------------------------------------------------------------


@pytest.fixture
def rolled(measured: list[Tick], dsn: str) -> list[Tick]:
    with psycopg.connect(plain_dsn(dsn)) as connection:
        roll(connection, before=NOW + timedelta(hours=1))
    return measured


def test_rollups_come_by_hour_and_by_day_merged_or_not(client: httpx.Client, rolled: list[Tick]) -> None:
    query: dict[str, Any] = {"since": "2026-03-01T11:00:00Z", "until": "2026-03-01T12:30:00Z"}
    items = client.get("/rollups", params=query).json()["items"]
    assert [(item["at"][11:16], item["region"], item["checks"]) for item in items if item["checks"]] == [
        ("11:00", "eu", 8),
        ("11:00", "us", 8),
        ("12:00", "eu", 1),
        ("12:00", "us", 1),
    ]
    merged = client.get("/rollups", params=query | {"by": "site", "every": "1d"}).json()["items"]
    scheduled = {(tick.region_id, tick.scheduled_at) for tick in rolled if tick.kind is Kind.SCHEDULED}
    assert [(item["at"], item["region"], item["up"]) for item in merged] == [
        ("2026-03-01T00:00:00Z", None, len(scheduled))
    ]
    assert client.get("/rollups", params=query | {"region": "us"}).json()["items"] == [
        item for item in items if item["region"] == "us"
    ]
    assert client.get("/rollups", params=query | {"site": "y"}).status_code == 404


def test_rollups_come_as_a_file_by_hour(client: httpx.Client, rolled: list[Tick]) -> None:
    query = {"since": "2026-03-01T11:00:00Z", "format": "parquet"}
    frame = pl.read_parquet(client.get("/rollups", params=query).content)
    assert frame.columns == list(ROLLUPS)
    assert frame["attempts"].sum() <= len(rolled)
    assert fields_of(client.get("/rollups", params=query | {"every": "1d"})) == ["format"]


@pytest.mark.parametrize(("query", "field"), [("every=1m", "every"), ("by=prober", "by[0]"), ("since=now", "since")])
def test_rollups_that_cannot_be_asked_for_are_refused(client: httpx.Client, query: str, field: str) -> None:
    assert fields_of(client.get(f"/rollups?{query}")) == [field]


def test_too_many_rollups_are_refused_before_they_fill_the_memory(
    client: httpx.Client, rolled: list[Tick], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rolled
    monkeypatch.setattr(measurements, "MOST_ROLLUPS", 1)
    assert fields_of(client.get("/rollups")) == ["since"]


# --- who may ask ----------------------------------------------------------------------------------------------------


def test_a_page_of_another_site_is_refused(client: httpx.Client) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", "", "http://[", "file://"):
        response = client.post("/sites", json={"url": "https://a.example"}, headers={"Origin": origin})
        assert response.status_code == 403, origin
        assert set(response.json()) == {"error"}
        assert client.get("/sites", headers={"Origin": origin}).status_code == 403
    assert client.get("/sites").json()["total"] == 0


def test_a_page_of_ours_is_let_in(client: httpx.Client) -> None:
    ours = f"http://127.0.0.1:{client.base_url.port}"
    assert client.post("/sites", json={"url": "https://a.example"}, headers={"Origin": ours}).status_code == 201
    localhost = f"localhost:{client.base_url.port}"
    headers = {"Origin": f"http://{localhost}", "Host": localhost}
    assert client.get("/sites", headers=headers).json()["total"] == 1


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8501",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "[",
        "10.0.0.1",
        "0x7f000001",
        "localhost@evil.example",
    ],
)
def test_a_strangers_name_that_resolves_to_us_is_refused(client: httpx.Client, host: str) -> None:
    response = client.get("/sites", headers={"Host": host})
    assert response.status_code in {400, 421}
    assert "total" not in response.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.8.8.8:80", "[::1]:8501", "a.localhost"])
def test_every_name_of_loopback_is_ours(client: httpx.Client, host: str) -> None:
    assert client.get("/sites", headers={"Host": host}).status_code == 200


def test_a_server_open_to_the_network_goes_by_any_name(store: Engine) -> None:
    api = service.create(lambda: NOW)
    api.state.engine = store
    with served(api, bind="0.0.0.0") as client:
        assert client.get("/sites", headers={"Host": "status.example.com"}).status_code == 200
        headers = {"Host": "status.example.com", "Origin": "https://evil.example"}
        assert client.get("/sites", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain", "text/html"]
)
def test_what_a_form_can_send_is_not_read(client: httpx.Client, kind: str) -> None:
    body = json.dumps({"url": "https://a.example"})
    for path in ("/sites", "/apply", "/sites/x/checks"):
        assert client.post(path, content=body, headers={"Content-Type": kind}).status_code == 415
        assert client.post(path, headers={"Content-Type": kind}).status_code == 415
    assert client.post("/sites", content=body).status_code == 415


def test_no_other_origin_is_ever_invited(client: httpx.Client) -> None:
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for response in (client.get("/sites"), client.options("/sites", headers=preflight), client.options("/sites")):
        assert not [name for name in response.headers if name.startswith("access-control")]


def test_a_body_too_large_is_refused_with_or_without_a_length(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/yaml"}
    body = b"#" * (LARGEST_BODY + 1)
    said = client.post("/apply", content=body, headers=headers)
    assert (said.status_code, set(said.json())) == (413, {"error"})
    assert client.post("/apply", content=iter([body]), headers=headers).status_code == 413
    assert fields_of(client.post("/apply", content=body[:-1], headers=headers)) == ["file"]


def test_with_a_secret_key_that_cannot_be_used_an_edit_says_so_at_the_secret(
    store: Engine, client: httpx.Client
) -> None:
    add(client, "shop")
    settings = Settings(secret_key="short", database_url="postgresql://x", redis_url="redis://x")
    api = service.create(lambda: NOW, lambda: ring_where_ours(settings))
    api.state.engine = store
    with served(api) as keyless:
        said = keyless.patch("/sites/shop", json={"headers": {"X-Api-Key": "s3cret"}, "body": "b0dy"})
        assert fields_of(said) == ["headers.X-Api-Key", "body"]
        assert "BETTERSTACK_SECRET_KEY has 5 letters" in said.text
        assert "s3cret" not in said.text
        assert fields_of(keyless.patch("/regions/eu", json={"proxy": "http://us:s3cret@proxy:1"})) == ["proxy"]
        assert keyless.patch("/sites/shop", json={"name": "Shop", "headers": {"Accept": "*/*"}}).status_code == 200


# --- when Postgres is away or busy ----------------------------------------------------------------------------------


def test_without_postgres_every_answer_says_what_to_do() -> None:
    api = service.create(lambda: NOW)
    api.state.engine = engine(NOWHERE)
    with served(api) as client:
        for method, path, body in (
            ("GET", "/sites", None),
            ("GET", "/sites/x/ticks", None),
            ("POST", "/sites", {"url": "https://a.example"}),
            ("DELETE", "/regions/x", None),
        ):
            response = client.request(method, path, json=body)
            assert response.status_code == 503
            assert "betterstack up" in response.json()["error"]
            assert "nowhere" not in response.text
            assert response.headers["Retry-After"]
        assert client.get("/schema").status_code == 200
        health = client.get(str(client.base_url.join("/healthz")))
        assert health.status_code == 503
        assert health.json()["parts"][0]["name"] == "postgres"


def test_without_tables_the_answer_is_to_migrate(servers: Any) -> None:
    empty = servers.database_url.replace("/betterstack?", "/postgres?")
    api = service.create(lambda: NOW)
    api.state.engine = engine(empty)
    with served(api) as client:
        response = client.get("/sites")
        assert (response.status_code, "betterstack up" in response.json()["error"]) == (503, True)
        health = client.get(str(client.base_url.join("/healthz")))
        assert (health.status_code, health.json()["parts"][0]["name"]) == (503, "tables")
    api.state.engine.dispose()


def test_an_edit_that_waits_too_long_for_another_gives_up(client: httpx.Client, store: Engine) -> None:
    add(client, "x")
    with store.begin() as editing:
        editing.execute(text("select pg_advisory_xact_lock(x'65646974'::int)"))
        began = time.monotonic()
        response = client.patch("/sites/x", json={"interval_s": 60}, timeout=60)
        assert time.monotonic() - began < 30
    assert response.status_code == 503
    assert client.get("/sites/x").json()["interval_s"] == 180


# --- health ---------------------------------------------------------------------------------------------------------


def test_it_is_healthy_while_everybody_gives_signs_of_life(client: httpx.Client, store: Engine) -> None:
    url = str(client.base_url.join("/healthz"))
    roles = [("recorder", None), ("roller", None), ("prober", 1), ("prober", 2)]
    signs = [beats.WorkerSeen(f"{role}{at}", role, "host", 1, NOW, NOW, at) for role, at in roles]
    with store.begin() as connection:
        connection.execute(update(t.pusher).values(beat_at=NOW))
        connection.execute(update(t.regions).values(created_at=NOW - timedelta(minutes=1)))  # no longer starting
        beats.beat(raw(connection), *signs[:-1])
    response = client.get(url)
    assert response.status_code == 503
    assert [part["name"] for part in response.json()["parts"] if not part["ok"]] == ["prober us"]
    with store.begin() as connection:
        beats.beat(raw(connection), signs[-1])
    assert client.get(url).status_code == 200
    assert client.head(url).status_code == 200


# --- the contract ---------------------------------------------------------------------------------------------------


def test_the_contract_names_every_answer(client: httpx.Client) -> None:
    contract = client.get("/openapi.json").json()
    assert set(contract["paths"]) >= {"/sites", "/sites/{key}", "/sites/{key}/checks", "/sites/{key}/ticks", "/regions",
        "/regions/{key}", "/apply", "/schema", "/rollups"}  # fmt: skip
    for path, methods in contract["paths"].items():
        for method, operation in methods.items():
            assert operation["tags"], path
            assert operation["description"], path
            assert {"422", "503"} <= set(operation["responses"]), (path, method)
            named = "{key}" in path or path in {"/rollups", "/spans", "/dictionary"}
            assert named == ("404" in operation["responses"]), (path, method)
    text_of_it = json.dumps(contract)
    assert "HTTPValidationError" not in text_of_it
    names = set(contract["components"]["schemas"])
    assert {name for name in names if f'"#/components/schemas/{name}"' not in text_of_it} == set()
    changes = contract["paths"]["/sites/{key}"]["patch"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(changes["properties"]) == set(SiteIn.model_fields) - {"key"}


def test_what_is_not_there_is_said_in_the_same_shape(client: httpx.Client) -> None:
    assert (client.get("/nothing").status_code, client.get("/nothing").json()) == (404, {"error": "Not Found"})
    assert client.put("/sites", json={}).json() == {"error": "Method Not Allowed"}


# --- the whole app ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def app_url(dsn: str) -> Iterator[str]:
    """Pages and API as `betterstack app` serves them."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    names = {"DATABASE_URL": dsn, "REDIS_URL": "redis://localhost:1", "HOST": "127.0.0.1", "PORT": port}
    environment = {**os.environ, **{f"BETTERSTACK_{name}": value for name, value in names.items()}}
    process = subprocess.Popen([sys.executable, "-m", "workers.cli", "app"], env=environment)
    url = f"http://127.0.0.1:{port}"
    eventually(lambda: answers(url), seconds=60, what="the app")
    yield url
    process.terminate()
    process.wait(15)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).status_code in {200, 503}
    except httpx.TransportError:
        return False


def test_one_server_has_pages_api_and_health(client: httpx.Client, app_url: str) -> None:
    add(client, "x")
    with httpx.Client(base_url=app_url, trust_env=False) as browser:
        assert "<title>" in browser.get("/").text
        assert "<title>" in browser.get("/sites").text
        assert browser.get("/api/v1/sites/x").json()["key"] == "x"
        assert browser.get("/healthz").json()["parts"]
        assert browser.get("/_stcore/health").text == "ok"
        assert browser.post("/_stcore/agent/interact", json={}).status_code in {403, 404}


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        ("http://{ours}", "{ours}", 101),
        ("https://evil.example", "{ours}", 403),
        ("http://127.0.0.1:1", "{ours}", 403),
        ("http://evil.example", "evil.example", 403),
    ],
)
def test_a_websocket_is_for_our_own_pages_only(app_url: str, origin: str, host: str, status: int) -> None:
    address = urlsplit(app_url)
    assert address.port
    head = [
        "GET /_stcore/stream HTTP/1.1",
        f"Host: {host.format(ours=address.netloc)}",
        f"Origin: {origin.format(ours=address.netloc)}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    with socket.create_connection(("127.0.0.1", address.port), timeout=10) as connection:
        connection.sendall("\r\n".join([*head, "", ""]).encode())
        assert connection.recv(100).split()[1] == str(status).encode()


def test_streamlit_tells_nobody_asks_nothing_and_lets_no_agent_in() -> None:
    options = (
        "browser.gatherUsageStats",
        "server.enableAgentApi",
        "server.showEmailPrompt",
        "server.enableStaticServing",
    )
    code = f"import app.asgi; from streamlit import config; print([config.get_option(name) for name in {options}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[-2] == str([False] * len(options))
