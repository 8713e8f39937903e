"""Exports hold all the rows or are not there, and no cell of them runs in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import psycopg
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import NativeHistogram

from pipeline.declared import RegionIn, SiteIn
from pipeline.errors import InvalidInputError
from pipeline.exports import export
from pipeline.frames import ROLLUPS, TICKS
from pipeline.store.engine import plain_dsn
from pipeline.store.regions import create_region
from pipeline.store.rollups import roll
from pipeline.store.sites import create_sites
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.workbench import Workbench
from pipeline.writers import FORMULA
from tests.harness import writing
from tests.integration.tickmaker import tick

START = datetime(2026, 3, 1, 23, tzinfo=UTC)
NASTY = [f"{sign}cmd|' /C calc'!A0" for sign in FORMULA]


@pytest.fixture(scope="module")
def bench(dsn: str) -> Iterator[Workbench]:
    with writing(dsn) as connection:
        create_region(connection, RegionIn(key="eu"), now=START, actor="test")
        create_sites(connection, [SiteIn(key="shop", url="https://shop.example")], now=START, actor="test")
    ticks = [tick(START + timedelta(minutes=n)) for n in range(120)]
    ticks[: len(NASTY)] = [msgspec.structs.replace(one, detail=text) for one, text in zip(ticks, NASTY, strict=False)]
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        ensure_partitions(connection, [START.date(), (START + timedelta(days=1)).date()])
        with connection.transaction():
            store_ticks(connection, ticks)
            roll(connection, before=datetime.max.replace(tzinfo=UTC))
    with Workbench(dsn, clock=lambda: START + timedelta(hours=2)) as bench:
        yield bench


def test_a_csv_of_ticks_reads_back(bench: Workbench, tmp_path: Path) -> None:
    out = tmp_path / "ticks.csv"
    assert export(bench, out) == 120
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 120
    assert list(rows[0]) == list(TICKS)
    first = min(rows, key=lambda row: row["scheduled_at"])
    assert datetime.fromisoformat(first["scheduled_at"]) == START
    assert (first["site"], first["region"], first["state"], first["outcome"]) == ("shop", "eu", "up", "ok")
    assert list(tmp_path.iterdir()) == [out]


def test_no_cell_is_a_formula(bench: Workbench) -> None:
    out = io.BytesIO()
    export(bench, out)
    details = {row["detail"] for row in csv.DictReader(io.StringIO(out.getvalue().decode(), newline=""))} - {""}
    assert details == {f"'{text}" for text in NASTY}


def test_a_parquet_keeps_types_and_text_as_they_are(bench: Workbench, tmp_path: Path) -> None:
    out = tmp_path / "ticks.parquet"
    assert export(bench, out, format="parquet") == 120
    frame = pl.read_parquet(out)
    assert frame.columns == list(TICKS)
    assert frame["scheduled_at"].dtype == pl.Datetime("us", "UTC")
    assert set(frame["detail"].drop_nulls()) == set(NASTY)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_rollups_are_exported_by_the_hour(bench: Workbench, tmp_path: Path, form: str) -> None:
    out = tmp_path / f"hours.{form}"
    assert export(bench, out, what="rollups", format="csv" if form == "csv" else "parquet", since=START) == 2
    frame = pl.read_csv(out) if form == "csv" else pl.read_parquet(out)
    assert frame.columns == list(ROLLUPS)
    assert frame["checks"].to_list() == [60, 60]


def test_an_empty_range_is_a_header(bench: Workbench) -> None:
    for form in ("csv", "parquet"):
        out = io.BytesIO()
        assert (
            export(bench, out, format="csv" if form == "csv" else "parquet", since="2020-01-01", until="2020-01-02")
            == 0
        )
        out.seek(0)
        assert (pl.read_csv(out) if form == "csv" else pl.read_parquet(out)).columns == list(TICKS)


def test_what_fails_leaves_nothing_behind(bench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> Iterator[pl.DataFrame]:
        yield pl.DataFrame()
        raise OSError("the connection is gone")

    monkeypatch.setattr(bench, "tick_batches", breaks)
    with pytest.raises(OSError, match="gone"):
        export(bench, tmp_path / "ticks.csv")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_refused(bench: Workbench) -> None:
    with pytest.raises(InvalidInputError):
        export(bench, io.BytesIO(), format="xlsx")  # type: ignore[arg-type]


def test_json_lines_read_back_one_by_one(bench: Workbench, tmp_path: Path) -> None:
    out = tmp_path / "ticks.jsonl"
    assert export(bench, out, format="jsonl") == 120
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert list(rows[0]) == list(TICKS)
    assert {row["detail"] for row in rows} - {None} == set(NASTY)
    assert min(datetime.fromisoformat(row["scheduled_at"]) for row in rows) == START


def test_openmetrics_holds_the_very_histograms(bench: Workbench, tmp_path: Path) -> None:
    out = tmp_path / "latency.txt"
    assert export(bench, out, what="rollups", format="openmetrics", since=START) == 2
    [family] = text_string_to_metric_families(out.read_text())  # type: ignore[no-untyped-call]
    hours = bench.rollup(start=START).collect().sort("at")
    times = [int(float(line.rpartition(" ")[2])) for line in out.read_text().splitlines() if line[0] != "#"]
    assert times == [int(at.timestamp()) + 3600 for at in hours["at"]]
    so_far: Counter[int] = Counter()
    for sample, hour in zip(family.samples, hours.iter_rows(named=True), strict=True):
        found = sample.native_histogram
        assert found is not None
        assert sample.labels == {"site": "shop", "region": "eu"}
        so_far.update(dict(zip(hour["buckets"], hour["counts"], strict=True)))
        assert dict(_buckets(found)) == dict(so_far)
        assert found.count_value == so_far.total()


def _buckets(found: NativeHistogram) -> Iterator[tuple[int, int]]:
    """Bucket and count, by the format's own rule: gaps between spans, differences between counts."""
    bucket, count = 0, 0
    deltas = iter(found.pos_deltas or ())
    for offset, length in found.pos_spans or ():
        bucket += offset
        for _ in range(length):
            count += next(deltas)
            yield bucket, count
            bucket += 1


def test_openmetrics_is_for_histograms(bench: Workbench) -> None:
    with pytest.raises(InvalidInputError, match="export rollups"):
        export(bench, io.BytesIO(), format="openmetrics")


def test_progress_grows_to_the_end(bench: Workbench) -> None:
    told: list[tuple[float, int]] = []
    export(bench, io.BytesIO(), since=START, progress=lambda share, rows: told.append((share, rows)))
    assert told == sorted(told)
    assert told[-1][1] == 120
    assert all(0 <= share <= 1 for share, _ in told)
