"""A data dir of an older release becomes one of this release, after a backup; one of a newer release is left alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from alembic import command
from psycopg import sql
from sqlalchemy import text

from pipeline import product
from pipeline.errors import UnavailableError
from pipeline.settings import Settings
from pipeline.store.engine import _config, engine, migrate, plain_dsn
from pipeline.store.revisions import head
from tests.harness import fresh_database
from workers import embedded
from workers.bootstrap import prepare
from workers.embedded import Servers, backup, identity, postgres, version

OLD = "0001"
THEN = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROWS = (1, 1, 50)  # sites, regions, ticks
BEFORE_VERSIONS = "format 1\npostgres 18\n"  # what the first release wrote
IN_THE_WAY = "create table region_samples (anything int)"  # late in 0002: what comes before has to be undone


def migrate_to(dsn: str, schema: str) -> None:
    """What the release whose newest migration that was did."""
    store = engine(dsn)
    with store.begin() as connection:
        config = _config()
        config.attributes["connection"] = connection
        command.upgrade(config, schema)
    store.dispose()


def fill(dsn: str) -> None:
    """Rows as the first release wrote them: a site, a region, a day's ticks."""
    with psycopg.connect(plain_dsn(dsn)) as connection:
        connection.execute(
            "insert into regions (key, name, managed, created_at, updated_at) values ('eu', 'Europe', false, %s, %s)",
            [THEN, THEN],
        )
        connection.execute(
            "insert into sites (key, name, url, interval_s, timeout_s, confirmations, spacing_s, method, max_redirects,"
            " paused, created_at, updated_at)"
            " values ('one', 'One', 'http://127.0.0.1/', 60, 5, 1, 5, 'GET', 3, true, %s, %s)",
            [THEN, THEN],
        )
        day = THEN.replace(hour=0, minute=0, second=0, microsecond=0)
        connection.execute(
            sql.SQL("create table {} partition of ticks for values from ({}) to ({})").format(
                sql.Identifier(f"ticks_{day:%Y%m%d}"), str(day), str(day + timedelta(days=1))
            )
        )
        connection.execute(
            "insert into ticks (scheduled_at, started_at, site_id, region_id, interval_s, revision, attempt, outcome,"
            " kind, clock, source, final, trusted, prober)"
            " select at, at, 1, 1, 60, 1, 0, 0, 0, 0, 0, true, true, 'p'"
            " from generate_series(%s, %s, interval '1 minute') as at",
            [THEN, THEN + timedelta(minutes=ROWS[2] - 1)],
        )


def rows(dsn: str) -> tuple[int, ...]:
    with psycopg.connect(plain_dsn(dsn)) as connection:
        counted = (connection.execute(f"select count(*) from {t}".encode()) for t in ("sites", "regions", "ticks"))
        return tuple(int(cursor.fetchall()[0][0]) for cursor in counted)


def schema_of(dsn: str) -> str:
    with psycopg.connect(plain_dsn(dsn)) as connection:
        return str(connection.execute("select version_num from alembic_version").fetchall()[0][0])


@pytest.fixture(scope="module")
def of_first_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data dir as the first release left it. Copy it."""
    data_dir = tmp_path_factory.mktemp("first") / "data"
    with embedded.running(data_dir) as servers:
        migrate_to(servers.database_url, OLD)
        fill(servers.database_url)
    (data_dir / "VERSION").write_text(BEFORE_VERSIONS)
    return data_dir


@pytest.fixture
def old(of_first_release: Path, data_dir: Path) -> Path:
    return Path(shutil.copytree(of_first_release, data_dir))


def betterstack(*arguments: object) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "workers.cli", *map(str, arguments)]
    kept = {**os.environ, "BETTERSTACK_KEEP_TICKS_DAYS": "36500"}  # its ticks are old: the lake would take them
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=kept)


def up_until_ready(data_dir: Path) -> list[str]:
    """What `betterstack up` printed until it was ready; it is stopped again."""
    with betterstack("up", "--data-dir", data_dir, "--port", 0) as process:
        assert process.stdout is not None
        printed = []
        for line in process.stdout:
            printed.append(line)
            if "Workbench ready" in line:
                break
        process.terminate()
        _, errors = process.communicate(timeout=30)
        assert "Workbench ready" in printed[-1], errors
        return printed


def refused(data_dir: Path) -> str:
    """What `betterstack up` says as it ends at once."""
    with betterstack("up", "--data-dir", data_dir, "--port", 0) as process:
        printed, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Workbench ready" not in printed
    assert "Traceback" not in errors
    return errors


def picture(folder: Path) -> dict[str, str]:
    """Every file below, and its content."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_an_older_data_dir_is_backed_up_and_migrated_and_the_backup_restores(old: Path, tmp_path: Path) -> None:
    (old / "secret.key").write_text("k" * 44)
    printed = "".join(up_until_ready(old))
    assert "Tables migrated" in printed
    [dump] = (old / "backups").glob("*.dump")
    assert str(dump) in printed
    assert dump.stem.endswith(f"Z-{OLD}")
    assert {stat.S_IMODE(path.stat().st_mode) for path in dump.parent.iterdir()} == {0o600}
    [line] = dump.with_suffix(".json").read_text().splitlines()
    told = json.loads(line)
    assert (told["schema"], told["before_schema"], told["bytes"]) == (OLD, head(), dump.stat().st_size)
    listed = subprocess.run([postgres.binary("pg_restore"), "--list", dump], capture_output=True, text=True, check=True)
    assert "TABLE DATA public sites" in listed.stdout

    with embedded.running(old) as servers:
        assert rows(servers.database_url) == ROWS
        assert schema_of(servers.database_url) == head()
    assert version.read(old) == version.Version(1, postgres.major(), head(), product.version())

    assert "up to date" in "".join(up_until_ready(old))
    assert list((old / "backups").glob("*.dump")) == [dump], "nothing was migrated, and still backed up"

    again = tmp_path / "again"
    with betterstack("restore", dump, "--data-dir", again) as process:
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert f"version {OLD}" in said
    assert (again / "secret.key").read_text() == "k" * 44
    with embedded.running(again) as servers:
        assert rows(servers.database_url) == ROWS
        assert schema_of(servers.database_url) == OLD
    with betterstack("restore", dump, "--data-dir", again) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "holds data already" in errors


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("format 1\npostgres 18\nschema 9999\nproduct 7.1.0\n", "newer Workbench 7.1.0 (schema 9999, this one knows 0"),
        ("format 1\npostgres 99\nproduct 7.1.0\n", "newer Workbench 7.1.0 (postgres 99, this one knows"),
        ("format 1\npostgres 17\nproduct 0.0.1\n", "older Workbench 0.0.1 (postgres 17, this one needs"),
    ],
)
def test_what_another_version_wrote_is_refused_untouched(old: Path, written: str, message: str) -> None:
    (old / "VERSION").write_text(written)
    before = picture(old)
    assert message in refused(old)
    assert picture(old) == before


def test_files_of_another_postgres_are_refused_whatever_was_noted(old: Path) -> None:
    (old / "postgres" / "PG_VERSION").write_text("99\n")
    (old / "VERSION").unlink()
    before = picture(old)
    assert "postgres 99, this one knows" in refused(old)
    assert picture(old) == before


def test_newer_tables_are_refused_although_nothing_notes_them(old: Path) -> None:
    with embedded.running(old) as servers, psycopg.connect(servers.database_url) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
    said = refused(old)
    assert "version 9999" in said
    assert f"up to {head()}" in said
    with embedded.running(old) as servers:
        assert rows(servers.database_url) == ROWS
    assert not (old / "backups").exists()
    assert (old / "VERSION").read_text() == BEFORE_VERSIONS


def test_a_migration_that_fails_loses_nothing_and_tells_of_the_backup(old: Path) -> None:
    with embedded.running(old) as servers, psycopg.connect(servers.database_url) as connection:
        connection.execute(IN_THE_WAY.encode())
    said = refused(old)
    [dump] = (old / "backups").glob("*.dump")
    assert f"from {OLD} to {head()}" in said
    assert 'relation "region_samples" already exists' in said
    assert f"betterstack restore {dump} --data-dir NEW" in said
    assert (old / "VERSION").read_text() == BEFORE_VERSIONS
    with embedded.running(old) as servers, psycopg.connect(servers.database_url) as connection:
        assert rows(servers.database_url) == ROWS
        assert schema_of(servers.database_url) == OLD
        made = connection.execute("select to_regclass('decisions')").fetchone()
        assert made == (None,), "half a migration stayed"
        connection.execute("drop table region_samples")
    assert "Tables migrated" in "".join(up_until_ready(old))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become somebody else")
def test_a_backup_is_made_of_a_postgres_that_is_another_user(
    of_first_release: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data_dir = Path(shutil.copytree(of_first_release, open_folder / "data"))
    monkeypatch.setattr(identity, "namespaces_work", lambda _identity: False)
    with embedded.running(data_dir) as servers:
        assert (data_dir / "postgres").stat().st_uid != 0
        prepare(Settings(data_dir=data_dir, database_url=None, redis_url=None))
        assert schema_of(servers.database_url) == head()
    [dump] = (data_dir / "backups").glob("*.dump")
    assert dump.stat().st_uid == 0


def test_a_backup_that_cannot_be_made_prevents_the_migration(old: Path) -> None:
    (old / "backups").write_text("in the way")
    said = refused(old)
    assert "No backup could be written" in said
    with embedded.running(old) as servers:
        assert schema_of(servers.database_url) == OLD


def test_a_database_of_a_newer_workbench_is_refused_in_words(servers: Servers, template: str) -> None:
    with fresh_database(servers, template) as dsn:
        store = engine(dsn)
        with store.begin() as connection:
            connection.execute(text("update alembic_version set version_num = '9999'"))
        store.dispose()
        with pytest.raises(UnavailableError, match=rf"version 9999, and this Workbench knows them up to {head()}"):
            migrate(dsn)
        assert schema_of(dsn) == "9999"


def test_the_newest_backups_stay_and_retries_do_not_push_out_earlier_versions(tmp_path: Path) -> None:
    names = ["20260101T000000Z-0001", *(f"202602{day:02}T000000Z-0002" for day in range(1, 9))]
    for name in names:
        (tmp_path / f"{name}.dump").touch()
        (tmp_path / f"{name}.json").touch()
    (tmp_path / "20260210T000000Z-0002.part").touch()
    backup._forget_old(tmp_path)
    assert not list(tmp_path.glob("*.part"))
    left = sorted(path.stem for path in tmp_path.glob("*.dump"))
    assert left == [names[0], *names[-3:]]
    assert sorted(path.stem for path in tmp_path.glob("*.json")) == left
