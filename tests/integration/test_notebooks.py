"""The notebooks run from top to bottom on a workbench with a day of ticks in it."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import jupytext
import psycopg
import pytest
from nbclient import NotebookClient

from pipeline.declared import RegionIn, SiteIn
from pipeline.store.engine import plain_dsn
from pipeline.store.regions import create_region
from pipeline.store.rollups import roll
from pipeline.store.sites import create_sites
from pipeline.store.ticks import ensure_partitions, store_ticks
from pipeline.vocabulary import Outcome, Phases, Tick
from tests.harness import writing

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9]*.py"))
REGIONS = {"eu-west": 28.0, "us-east": 95.0, "ap-south": 210.0}  # ms to the site
SITES = ("shop", "blog", "api")


@pytest.fixture(scope="module")
def told(dsn: str) -> str:
    """A day of checks a minute, slower around noon, with an outage, a blip of one region and a gap."""
    random, now = Random(1), datetime.now(UTC).replace(microsecond=0)
    since = now - timedelta(hours=24)
    with writing(dsn) as connection:
        regions = {key: create_region(connection, RegionIn(key=key), now=since, actor="test").id for key in REGIONS}
        wanted = [SiteIn(key=key, url=f"https://{key}.example", interval_s=60) for key in SITES]
        sites = [site.id for site in create_sites(connection, wanted, now=since, actor="test")]
    ticks = [
        tick
        for number, site in enumerate(sites)
        for key, region in regions.items()
        for minute in range(24 * 60)
        if not (key == "ap-south" and 600 <= minute < 660)
        for tick in [
            _tick(random, since + timedelta(minutes=minute), minute, site, region, REGIONS[key] * (1 + number / 3))
        ]
    ]
    with psycopg.connect(plain_dsn(dsn), autocommit=True, options="-c timezone=UTC") as connection:
        ensure_partitions(connection, [since.date(), now.date()])
        with connection.transaction():
            store_ticks(connection, ticks)
            roll(connection, before=datetime.max.replace(tzinfo=UTC))
    return dsn


def _tick(random: Random, at: datetime, minute: int, site: int, region: int, far_ms: float) -> Tick:
    down = (site == 1 and 840 <= minute < 852) or random.random() < 0.001
    busy = 1 + 0.5 * math.sin(minute / 1440 * 2 * math.pi) ** 2
    phases = Phases(
        random.uniform(1, 4), far_ms / 4, far_ms / 2, busy * random.lognormvariate(math.log(far_ms), 0.2), 1.5
    )
    spent = sum(
        part or 0 for part in (phases.dns_ms, phases.connect_ms, phases.tls_ms, phases.ttfb_ms, phases.transfer_ms)
    )
    return Tick(
        site,
        region,
        at,
        0,
        at,
        Outcome.STATUS if down else Outcome.OK,
        True,
        60,
        1,
        "test",
        phases=phases,
        latency_ms=spent,
        error_ms=0.1,
        status=503 if down else 200,
        ip="192.0.2.1",
        detail="503 where 200-399 was expected" if down else None,
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_shows_its_charts(path: Path, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BETTERSTACK_DATABASE_URL", told)
    notebook = jupytext.read(path)
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    charts = [output for output in outputs if output.get("data", {}).get("text/plain", "").startswith("alt.")]
    assert len(charts) >= 4
    assert all("vega" in chart["data"]["text/html"] for chart in charts)
    printed = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    assert "ticks from 3 regions" in printed
    assert "of the time is known" in printed
    complaints = [output for output in outputs if output.get("name") == "stderr"]
    assert complaints == []
