"""Hot and cold read as one; and a lake alone answers as the workbench that wrote it did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import psycopg
import pytest
from polars.testing import assert_frame_equal

import pipeline
from pipeline.declared import RegionIn, SiteIn
from pipeline.errors import NotFoundError, UnavailableError
from pipeline.exports import export
from pipeline.frames import PERIODS, REGIONS, SITES, check
from pipeline.lake.alone import Lake, NotInLakeError
from pipeline.lake.files import LakeRoot
from pipeline.store import lake
from pipeline.store.engine import plain_dsn
from pipeline.store.lake_days import to_archive
from pipeline.store.lake_reference import write_reference
from pipeline.store.regions import create_region
from pipeline.store.rollups import roll
from pipeline.store.sites import create_sites, pause_sites
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Outcome
from pipeline.workbench import Workbench
from tests.harness import writing
from tests.integration.tickmaker import tick

START = datetime(2026, 3, 1, 22, tzinfo=UTC)
DAY = timedelta(days=1)
END = datetime(2026, 3, 4, tzinfo=UTC)
HOT = datetime(2026, 3, 3, tzinfo=UTC)  # the last of three days is archived, and in Postgres, too


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeRoot]:
    folder = tmp_path_factory.mktemp("lake")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BETTERSTACK_LAKE", str(folder))
        yield LakeRoot.of(folder)


@pytest.fixture(scope="module")
def bench(dsn: str, root: LakeRoot) -> Iterator[Workbench]:
    """`shop` and `blog` each five minutes: an outage, a pause, a gap, maintenance; two of three days are dropped."""
    with writing(dsn) as connection:
        for key in ("eu", "us"):
            create_region(connection, RegionIn(key=key), now=START, actor="test")
        sites = [SiteIn(key=key, url=f"https://{key}.example", interval_s=300) for key in ("shop", "blog")]
        shop, blog = (site.id for site in create_sites(connection, sites, now=START, actor="test"))
        pause_sites(connection, ["blog"], paused=True, now=START + timedelta(hours=20), actor="test")
    slots = [START + timedelta(minutes=5 * n) for n in range(12 * 50)]
    ticks = [
        tick(at, Outcome.TIMEOUT if 100 <= n < 110 + region else Outcome.OK, interval_s=300, site=shop, region=region)
        for n, at in enumerate(slots)
        for region in (1, 2)
        if not 200 <= n < 220
    ]
    ticks += [tick(at, interval_s=300, site=blog, region=region) for at in slots[: 12 * 20] for region in (1, 2)]
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        ensure_partitions(connection, [(START + n * DAY).date() for n in range(3)])
        with connection.transaction():
            store_ticks(connection, ticks)
        connection.execute(
            "insert into periods (kind, site_id, since, until, reason, actor)"
            " values ('maintenance', %s, %s, %s, 'x', 'x')",
            [shop, START + timedelta(hours=8), START + timedelta(hours=8, minutes=30)],
        )
        with connection.transaction():
            roll(connection, before=datetime.max.replace(tzinfo=UTC))
        with Workbench(dsn, clock=lambda: END) as bench:
            bench.before = bench.ticks(start=START).collect()  # type: ignore[attr-defined] # what they were while all were hot
        for day in to_archive(connection, END + DAY):
            lake.archive(connection, dsn, root, day, now=END, reached=lambda _: None)
        write_reference(dsn, root)
        for day in (START.date(), (START + DAY).date()):
            assert lake.drop(connection, dsn, root, day, now=END, reached=lambda _: None)
        with Workbench(dsn, clock=lambda: END) as again:
            again.before = bench.before  # type: ignore[attr-defined]
            yield again


@pytest.fixture(scope="module")
def alone(bench: Workbench, root: LakeRoot) -> Lake:  # noqa: ARG001 - it fills the lake
    found = pipeline.connect(str(root))
    assert isinstance(found, Lake)
    return found


def in_order(ticks: pl.DataFrame) -> pl.DataFrame:
    words = ticks.with_columns(pl.col("site", "region").cast(pl.String))
    return words.sort("site_id", "region_id", "scheduled_at", "attempt")


def test_ticks_are_the_same_as_before_their_days_were_dropped(bench: Workbench) -> None:
    before: pl.DataFrame = bench.before  # type: ignore[attr-defined]
    assert_frame_equal(in_order(bench.ticks(start=START).collect()), in_order(before))
    batches = list(bench.tick_batches(start=START))
    assert_frame_equal(in_order(pl.concat(batches)), in_order(before))


def test_hot_and_cold_are_filtered_as_one(bench: Workbench) -> None:
    before: pl.DataFrame = bench.before  # type: ignore[attr-defined]
    around = {"start": HOT - timedelta(hours=3), "end": HOT + timedelta(hours=1)}
    here = (pl.col("scheduled_at") >= around["start"]) & (pl.col("scheduled_at") < around["end"])
    eu = bench.ticks(["shop"], **around, regions=["eu"]).collect()
    wanted = before.filter(here & (pl.col("site") == "shop") & (pl.col("region") == "eu"))
    assert_frame_equal(in_order(eu), in_order(wanted))
    down = bench.ticks(start=START).filter(pl.col("state") == "down").select("region", "latency_ms").collect()
    assert down.height == before.filter(pl.col("state") == "down").height == 23
    assert bench.ticks(start=START).head(5).collect().height == 5
    assert bench.ticks(start=START).select(pl.len()).collect().item() == before.height


def test_a_lake_alone_has_the_ticks_sites_and_regions(bench: Workbench, alone: Lake) -> None:
    before: pl.DataFrame = bench.before  # type: ignore[attr-defined]
    assert alone.until == END
    assert_frame_equal(in_order(alone.ticks(start=START).collect()), in_order(before))
    assert_frame_equal(in_order(pl.concat(alone.tick_batches(start=START))), in_order(before))
    assert alone.ticks(["blog"], start="-3d", regions=["us"]).collect().height == 240
    assert check(alone.sites(), SITES)["site"].to_list() == ["blog", "shop"]
    assert check(alone.regions(), REGIONS)["region"].to_list() == ["eu", "us"]
    assert check(alone.periods(), PERIODS)["site"].to_list() == ["shop"]


@pytest.mark.parametrize("every", ["1h", "1d"])
def test_a_lake_alone_rolls_up_to_what_is_stored(bench: Workbench, alone: Lake, every: str) -> None:
    for by in (("site", "region"), ("site",), ()):
        stored = bench.rollup(every, by, start=START, end=END).collect()  # type: ignore[arg-type] # 1h or 1d
        assert_frame_equal(alone.rollup(every, by, start=START, end=END).collect(), stored)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", ["region", "global"])
def test_a_lake_alone_has_the_spans_that_the_workbench_has(bench: Workbench, alone: Lake, level: str) -> None:
    stored = bench.spans(start=START, end=END, level=level).collect()  # type: ignore[arg-type] # one of two
    assert {"up", "down", "unknown", "maintenance", "paused"} <= set(stored["state"].cast(pl.String))
    assert_frame_equal(alone.spans(start=START, end=END, level=level).collect(), stored)  # type: ignore[arg-type]
    one = {"start": START, "end": END, "sites": ["shop"], "regions": ["us"], "level": level}
    assert_frame_equal(alone.spans(**one).collect(), bench.spans(**one).collect())  # type: ignore[arg-type]


def test_a_lake_alone_has_the_same_uptime(bench: Workbench, alone: Lake) -> None:
    for by in (("site",), ("site", "region"), ("site", "at"), ()):
        stored = bench.uptime(by, start=START, end=END)
        assert_frame_equal(alone.uptime(by, start=START, end=END), stored)


@pytest.mark.parametrize("by", [[], ["site"], ["site", "region"]])
def test_a_lake_alone_has_the_same_exact_quantiles(
    bench: Workbench, alone: Lake, by: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.lake.exact.AT_ONCE", 100)  # ticks: so that a day is read in parts
    for every in ("1h", "1d"):
        expected = bench.exact(every, by, START, END)
        found = alone.exact(every, by, START, END)
        assert_frame_equal(found, expected, categorical_as_str=True)
        assert found["checks"].sum() == bench.rollup(every, by, START, END).collect()["checks"].sum()


def test_what_a_lake_cannot_answer_is_said(alone: Lake) -> None:
    with pytest.raises(NotInLakeError, match="a lake alone has no transitions"):
        alone.transitions()
    assert not hasattr(alone, "nonsense")
    with pytest.raises(NotFoundError, match="did you mean shop"):
        alone.ticks(["shp"])


def test_a_folder_that_is_no_lake_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="There is no lake at"):
        pipeline.connect(str(tmp_path))


def test_a_workbench_that_does_not_know_where_the_lake_is_says_so(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, dsn: str
) -> None:
    monkeypatch.delenv("BETTERSTACK_LAKE")
    monkeypatch.setenv("BETTERSTACK_DATABASE_URL", dsn)
    monkeypatch.setenv("BETTERSTACK_REDIS_URL", "redis://localhost:1")
    with pytest.raises(Exception, match="BETTERSTACK_LAKE does not say where"):
        bench.ticks(start=START).collect()


def test_a_lake_alone_is_exported_as_the_workbench_is(bench: Workbench, alone: Lake, tmp_path: Path) -> None:
    for what, keys in (("ticks", ["site", "region", "scheduled_at", "attempt"]), ("verdicts", ["site", "since"])):
        files = {}
        for reading in (bench, alone):
            out = tmp_path / f"{what}-{type(reading).__name__}.parquet"
            rows = export(reading, out, what=what, format="parquet", since=START, until=END)  # type: ignore[arg-type] # both are
            files[type(reading)] = pl.read_parquet(out).sort(keys)
            assert rows == files[type(reading)].height > 0
        assert_frame_equal(files[Workbench], files[Lake])
