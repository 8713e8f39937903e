"""History from other monitors: real files of theirs, made by their own schema, read back through our analysis."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import Engine

from pipeline.imports import gatus, kuma, tick_files
from pipeline.imports.failures import outcome_of, status_of
from pipeline.vocabulary import Outcome
from pipeline.workbench import Workbench
from tests.integration.conftest import Run

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KUMA_1 = """
create table monitor (id integer primary key, name varchar(150), active boolean default 1, user_id integer,
    interval integer default 20, url text, type varchar(20), weight integer default 2000, hostname varchar(255),
    port integer, created_date datetime, keyword varchar(255), maxretries integer default 0,
    ignore_tls boolean default 0, upside_down boolean default 0, maxredirects integer default 10,
    accepted_statuscodes_json text default '["200-299"]', retry_interval integer default 0, method text default 'GET',
    body text, headers text, basic_auth_user text, basic_auth_pass text, docker_host integer, proxy_id integer);
create table heartbeat (id integer primary key autoincrement, important boolean default 0, monitor_id integer,
    status smallint, msg text, time datetime, ping integer, duration integer default 0);
create table tag (id integer primary key, name varchar(255), color varchar(255));
create table monitor_tag (id integer primary key, monitor_id integer, tag_id integer, value text);
"""
KUMA_2 = """
alter table monitor add column timeout double default 0;
alter table monitor add column invert_keyword boolean default 0;
alter table monitor add column json_path text;
alter table monitor add column auth_method varchar(250);
alter table heartbeat add column retries integer default 0;
alter table heartbeat add column end_time datetime;
create table stat_daily (id integer primary key, monitor_id integer, timestamp integer, up integer, down integer);
"""
UP, DOWN, PENDING, MAINTENANCE = 1, 0, 2, 3


def kuma_file(path: Path, *, version: int = 1) -> Path:
    """Three monitors that we can check and one that we cannot, with twenty minutes of heartbeats of the first."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(KUMA_1 + (KUMA_2 if version == 2 else ""))
        connection.execute(
            "insert into monitor (id, name, interval, url, type, maxretries, retry_interval, keyword)"
            " values (1, 'Shop', 60, 'https://shop.example/', 'keyword', 2, 20, 'Welcome')"
        )
        connection.execute(
            "insert into monitor (id, name, interval, hostname, port, type)"
            " values (2, 'DB', 60, 'db.example', 5432, 'port')"
        )
        connection.execute("insert into monitor (id, name, interval, type) values (3, 'Ping', 60, 'ping')")
        connection.execute("insert into tag values (1, 'prod', '#fff')")
        connection.execute("insert into monitor_tag values (1, 1, 1, '')")
        beats: list[tuple[datetime, int, int | None, str]] = [
            (START + n * MINUTE, UP, 100 + n, "200 - OK") for n in range(8)
        ]
        down = START + 8 * MINUTE
        beats += [(down, PENDING, None, "timeout of 48000ms exceeded")]
        beats += [(down + timedelta(seconds=20), PENDING, None, "timeout of 48000ms exceeded")]
        beats += [(down + timedelta(seconds=40), DOWN, None, "timeout of 48000ms exceeded")]
        beats += [(down + n * MINUTE, DOWN, None, "Request failed with status code 503") for n in (1, 2)]
        beats += [(down + n * MINUTE, MAINTENANCE, None, "Monitor under maintenance") for n in (3, 4)]
        beats += [(down + n * MINUTE, UP, 90, "200 - OK") for n in range(5, 12)]
        connection.executemany(
            "insert into heartbeat (monitor_id, status, msg, time, ping) values (1, ?, ?, ?, ?)",
            [(status, said, f"{at:%Y-%m-%d %H:%M:%S}.250", ping) for at, status, ping, said in beats],
        )
        connection.commit()
    return path


@pytest.mark.parametrize("version", [1, 2])
def test_kumas_history_becomes_ticks_spans_and_a_report(run: Run, store: Engine, tmp_path: Path, version: int) -> None:
    said = run("import", "kuma", str(kuma_file(tmp_path / "kuma.db", version=version)))
    assert "shop-example: 20 checks, new (Shop)" in said.output
    assert "! Ping: not taken: a ping monitor is none of HTTP or TCP" in said.output
    assert ("sums of days and hours" in said.output) is (version == 2)
    with bench(store) as frames:
        ticks = frames.ticks(["shop-example"], START, START + 20 * MINUTE).sort("scheduled_at", "attempt").collect()
        sites = {row["site"]: row for row in frames.sites().to_dicts()}
    assert sites["shop-example"]["tags"] == ["prod"]
    assert sites["shop-example"]["confirmations"] == 2
    assert sites["db-example"]["url"] == "tcp://db.example:5432"
    failed = ticks.filter(pl.col("state") == "down")
    first = failed.head(3)
    assert first["attempt"].to_list() == [0, 1, 2]
    assert first["final"].to_list() == [False, False, True]
    assert first["scheduled_at"].n_unique() == 1
    assert failed["outcome"].to_list() == ["timeout"] * 3 + ["status"] * 2
    assert failed["status"].to_list()[3:] == [503, 503]
    assert set(ticks["region"]) == {"uptime-kuma"}
    assert set(ticks["source"]) == {"import"}


def test_importing_twice_changes_nothing(run: Run, store: Engine, tmp_path: Path) -> None:
    file = str(kuma_file(tmp_path / "kuma.db"))
    run("import", "kuma", file)
    with bench(store) as frames:
        before = frames.ticks(start=START - MINUTE).sort("scheduled_at", "attempt").collect()
        spans = frames.spans(start=START, end=START + 30 * MINUTE).sort("since").collect()
    said = run("import", "kuma", file)
    assert "new" not in said.output.replace("anew", "")
    with bench(store) as frames:
        assert frames.ticks(start=START - MINUTE).sort("scheduled_at", "attempt").collect().equals(before)
        assert frames.spans(start=START, end=START + 30 * MINUTE).sort("since").collect().equals(spans)
        assert len(frames.sites()) == 2


def test_nobody_is_called_to_check_from_the_imported_region(run: Run, store: Engine, tmp_path: Path) -> None:
    run("import", "kuma", str(kuma_file(tmp_path / "kuma.db")))
    with store.connect() as connection:
        live = connection.exec_driver_sql("select distinct region_id from series order by 1").scalars().all()
    with bench(store) as frames:
        assert set(frames.regions()["region"]) == {"eu", "us"}
        assert len(live) == 2


def test_a_file_of_something_else_says_so(run: Run, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("create table something (id integer)")
    assert "no kuma.db" in run("import", "kuma", str(other), status=2).output
    assert "no database of Gatus" in run("import", "gatus", str(other), status=2).output
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    assert "SQLite" in run("import", "kuma", str(text), status=2).output
    assert "there is no file" in run("import", "kuma", str(tmp_path / "none.db"), status=2).output


GATUS = """
create table endpoints (endpoint_id integer primary key, endpoint_key text unique, endpoint_name text,
    endpoint_group text);
create table endpoint_results (endpoint_result_id integer primary key, endpoint_id integer, success integer,
    errors text, connected integer, status integer, dns_rcode text, certificate_expiration integer,
    domain_expiration integer, hostname text, ip text, duration integer, timestamp timestamp);
create table endpoint_uptimes (endpoint_uptime_id integer primary key, endpoint_id integer, hour_unix_timestamp integer,
    total_executions integer, successful_executions integer, total_response_time integer);
"""
CONFIG = """
endpoints:
  - name: shop
    group: core
    url: https://shop.example/health
    interval: 2m
    conditions: ["[STATUS] == 200", "[BODY].status == UP"]
"""


def gatus_file(path: Path) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(GATUS)
        connection.execute("insert into endpoints values (1, 'core_shop', 'shop', 'core')")
        for n in range(5):
            good = n != 2
            at = START + 2 * n * MINUTE
            connection.execute(
                "insert into endpoint_results values (?, 1, ?, ?, 1, ?, '', 0, 0, 'shop.example', '192.0.2.1', ?, ?)",
                [n, good, "" if good else "context deadline exceeded", 200 if good else 0, 80_000_000,
                 f"{at:%Y-%m-%d %H:%M:%S}.123456789 +0000 UTC"],
            )  # fmt: skip
        connection.execute("insert into endpoint_uptimes values (1, 1, 1772366400, 30, 29, 2400)")
        connection.commit()
    return path


def test_gatus_results_become_ticks(run: Run, store: Engine, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    said = run("import", "gatus", str(gatus_file(tmp_path / "gatus.db")), "--config", str(config))
    assert "core-shop: 5 checks, new (core shop)" in said.output
    assert "[BODY].status == UP" in said.output
    assert "1 sums of hours" in said.output
    with bench(store) as frames:
        ticks = frames.ticks(start=START - MINUTE).sort("scheduled_at").collect()
    assert ticks["outcome"].to_list() == ["ok", "ok", "timeout", "ok", "ok"]
    assert ticks["latency_ms"].to_list() == [80.0, 80.0, None, 80.0, 80.0]
    assert set(ticks["interval_s"]) == {120}


def test_without_a_configuration_gatus_sites_are_guessed_and_paused(tmp_path: Path) -> None:
    found = gatus.read(gatus_file(tmp_path / "gatus.db"))
    [watched] = found.watched
    assert watched.fields["url"] == "https://shop.example"
    assert watched.fields["paused"] is True
    assert any("guessed" in note.what for note in found.notes)


def test_our_own_export_comes_back(run: Run, store: Engine, tmp_path: Path) -> None:
    run("import", "kuma", str(kuma_file(tmp_path / "kuma.db")))
    window = ["--since", "2026-03-01", "--until", "2026-03-02"]
    for form in ("csv", "parquet"):
        out = tmp_path / f"ticks.{form}"
        run("export", "ticks", "--format", form, *window, "--out", str(out))
        frame = (pl.read_csv(out) if form == "csv" else pl.read_parquet(out)).with_columns(
            region=pl.lit(f"again-{form}")
        )
        _ = frame.write_csv(out) if form == "csv" else frame.write_parquet(out)
        assert "20 checks" in run("import", "ticks", str(out)).output
    with bench(store) as frames:
        counts = frames.ticks(start=START - MINUTE).group_by("region").len().collect()
        columns = ["scheduled_at", "attempt", "outcome", "latency_ms", "detail"]
        by_region = {
            key[0]: part.select(columns).sort("scheduled_at", "attempt")
            for key, part in frames.ticks(start=START - MINUTE).collect().partition_by("region", as_dict=True).items()
        }
    assert dict(counts.iter_rows()) == {"uptime-kuma": 20, "again-csv": 20, "again-parquet": 20}
    assert by_region["again-csv"].equals(by_region["uptime-kuma"])
    assert by_region["again-parquet"].equals(by_region["uptime-kuma"])


def test_a_plain_table_needs_a_time_a_site_and_a_word(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("site,time,up\nshop,2026-03-01T12:00:00Z,true\nshop,2026-03-01T12:01:00Z,0\nshop,never,1\n")
    [found] = tick_files.read(file)
    assert [note.what for note in found.notes] == [
        "1 rows have no time, no site or no word for how it went that is known here"
    ]
    [frame] = list(found.watched[0].checks())
    assert frame["outcome"].to_list() == ["ok", "failed"]


@pytest.mark.parametrize(
    ("said", "outcome", "status"),
    [
        ("Request failed with status code 503", Outcome.STATUS, 503),
        ("502 - Bad Gateway", Outcome.STATUS, 502),
        ("connect ECONNREFUSED 10.0.0.1:443", Outcome.REFUSED, None),
        ("getaddrinfo ENOTFOUND shop.example", Outcome.DNS, None),
        ("timeout of 48000ms exceeded", Outcome.TIMEOUT, None),
        ("connect ETIMEDOUT 192.0.2.1:443", Outcome.CONNECT_TIMEOUT, None),
        ("certificate has expired", Outcome.TLS, None),
        ("socket hang up", Outcome.RESET, None),
        ("200 - OK, but keyword is not in [...]", Outcome.CONTENT, 200),
        ('Get "https://x": x509: certificate signed by unknown authority', Outcome.TLS, None),
        ("something nobody foresaw", Outcome.FAILED, None),
        (None, Outcome.FAILED, None),
    ],
)
def test_their_words_for_a_failure_are_ours(said: str | None, outcome: Outcome, status: int | None) -> None:
    assert outcome_of(said) is outcome
    assert status_of(said) == status


def test_a_maintenance_beat_is_a_window(tmp_path: Path) -> None:
    [shop, _] = kuma.read(kuma_file(tmp_path / "kuma.db")).watched
    [(since, until)] = shop.windows
    assert until - since == 2 * MINUTE


def bench(store: Engine) -> Workbench:
    return Workbench(store.url.render_as_string(hide_password=False))
