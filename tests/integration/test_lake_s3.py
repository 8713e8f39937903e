"""A lake in a bucket: the same steps over real HTTP, against an S3 server on this machine."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs

import pipeline
from pipeline.declared import RegionIn, SiteIn
from pipeline.errors import UnavailableError
from pipeline.lake.alone import Lake
from pipeline.lake.files import LakeRoot
from pipeline.store import lake
from pipeline.store.engine import plain_dsn
from pipeline.store.lake_reference import write_reference
from pipeline.store.regions import create_region
from pipeline.store.rollups import roll, verify
from pipeline.store.sites import create_sites
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Outcome
from pipeline.workbench import Workbench
from tests.harness import writing
from tests.integration.tickmaker import tick

START = datetime(2026, 3, 1, 8, tzinfo=UTC)
NOW = START + timedelta(days=40)
ALWAYS = datetime.max.replace(tzinfo=UTC)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "BETTERSTACK_LAKE": "s3://ticks/of/ours",
    }.items():
        monkeypatch.setenv(name, value)
    maker = fs.S3FileSystem(endpoint_override=f"{host}:{port}", scheme="http", allow_bucket_creation=True)
    maker.create_dir("ticks")
    yield "s3://ticks/of/ours"
    server.stop()


def test_a_day_goes_to_a_bucket_takes_what_is_late_and_is_read_from_there(dsn: str, bucket: str) -> None:
    root = LakeRoot.of(bucket)
    with writing(dsn) as store:
        create_region(store, RegionIn(key="eu"), now=START, actor="test")
        create_sites(store, [SiteIn(key="shop", url="https://shop.example", interval_s=60)], now=START, actor="test")
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        ensure_partitions(connection, [START.date()])

        def store_and_roll(minutes: range) -> None:
            with connection.transaction():
                store_ticks(connection, [tick(START + timedelta(minutes=n), Outcome.OK) for n in minutes])
            roll_up()

        def roll_up() -> None:
            with connection.transaction():
                roll(connection, before=ALWAYS)

        store_and_roll(range(60))
        written = lake.archive(connection, dsn, root, START.date(), now=NOW, reached=lambda _: None)
        assert written is not None
        assert written.bytes > 0
        assert lake.drop(connection, dsn, root, START.date(), now=NOW, reached=lambda _: None)
        store_and_roll(range(50, 90))
        assert lake.merge_late(connection, root, START.date(), now=NOW, reached=lambda _: None) is not None
        roll_up()
        write_reference(dsn, root)
        assert verify(connection, START, START + timedelta(days=1)) == []
    with Workbench(dsn, clock=lambda: NOW) as bench:
        assert bench.ticks(["shop"], start=START).collect().height == 90
    alone = pipeline.connect(bucket)
    assert isinstance(alone, Lake)
    assert alone.ticks(["shop"], start=START).collect().height == 90
    assert alone.uptime(start=START, end=START + timedelta(hours=1))["uptime"].to_list() == [1.0]
    found = root.filesystem().get_file_info(fs.FileSelector("ticks/of/ours", recursive=True))
    names = {info.path.removeprefix("ticks/of/ours/") for info in found if info.is_file}
    assert names == {
        "ticks/date=2026-03-01/ticks.parquet",
        *(f"{name}.parquet" for name in ("sites", "regions", "revisions", "periods")),
    }


def test_a_bucket_that_is_not_there_is_told(bucket: str) -> None:  # noqa: ARG001 - the server
    with pytest.raises(UnavailableError, match="AWS_ENDPOINT_URL"), LakeRoot.of("s3://nothing/here").writing("x"):
        pass
    with pytest.raises(UnavailableError, match="no lake at"):
        pipeline.connect("s3://nothing/here")
