"""The notebooks run from top to bottom on a part of the demo's history, and find what was planted in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jupytext
import papermill
import pytest
from msgspec.structs import replace
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from typer.testing import CliRunner

from pipeline.calendar import day_of
from pipeline.demo import cast, history
from pipeline.demo.stories import BLIND, DRIFT, POST_MORTEM, REGIONAL, Story, stories
from pipeline.store.demo import fill, install
from pipeline.store.session import session
from tests.harness import fresh_database, now, writing
from workers.cli import command_line
from workers.embedded import Servers

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
WEEKS, LONGER = 24, 42  # days: of all of the ten sites, and of the one whose story began before
DRIFTS = "demo-checkout"
Found = dict[str, Any]


@pytest.fixture(scope="module")
def demo(servers: Servers, template: str) -> Iterator[str]:
    """The demo without its fifty sites by market, and without the time before its stories."""
    with pytest.MonkeyPatch.context() as patch, fresh_database(servers, template) as dsn:
        patch.setattr(cast, "_MARKETS", ())
        history._everything.cache_clear()
        with writing(dsn) as connection:
            installed = install(connection, now=now(), port=1)
        with session(dsn, "demo", lock_timeout_ms=60_000) as filling:
            fill(filling, installed, newest=WEEKS)
            drifting = [one for one in installed.series if one.member.key == DRIFTS]
            fill(filling, replace(installed, series=drifting), newest=LONGER)
        history._everything.cache_clear()
        yield dsn


def story(name: str, number: int = 0) -> Story:
    return [each for each in stories(day_of(now())) if each.name == name][number]


def executed(name: str, dsn: str, monkeypatch: pytest.MonkeyPatch) -> tuple[NotebookNode, Found]:
    """The notebook after a kernel ran it, and what it found."""
    monkeypatch.setenv("BETTERSTACK_DATABASE_URL", dsn)
    [path] = NOTEBOOKS.glob(f"{name}.py")
    notebook = jupytext.read(path)
    if any("found" in cell.metadata.get("tags", []) for cell in notebook.cells):
        told = "import json; print(json.dumps(finding, default=str))"
        notebook.cells.append(new_code_cell(told))  # type: ignore[no-untyped-call]
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    complaints = [output for output in shown(notebook) if output.get("name") == "stderr"]
    assert complaints == []
    said = printed(notebook).splitlines()
    return notebook, json.loads(said[-1]) if said and said[-1].startswith("{") else {}


def shown(notebook: NotebookNode) -> list[Any]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def printed(notebook: NotebookNode) -> str:
    return "".join(output["text"] for output in shown(notebook) if output["output_type"] == "stream")


def charts(notebook: NotebookNode) -> list[Any]:
    found = [output for output in shown(notebook) if output.get("data", {}).get("text/plain", "").startswith("alt.")]
    assert all("vega" in chart["data"]["text/html"] for chart in found)
    return found


def near(found: str, told: datetime, *, minutes: float) -> bool:
    return abs(datetime.fromisoformat(found).astimezone(UTC) - told) <= timedelta(minutes=minutes)


def test_a_first_look_shows_ticks_charts_and_an_uptime_with_its_coverage(
    demo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook, _ = executed("01_first_look", demo, monkeypatch)
    assert len(charts(notebook)) >= 4
    assert "ticks from 4 regions" in printed(notebook)
    assert "of the time is known" in printed(notebook)


def test_the_report_takes_its_parameters_from_anybodys_papermill(
    demo: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BETTERSTACK_DATABASE_URL", demo)
    source = tmp_path / "report.ipynb"
    jupytext.write(jupytext.read(NOTEBOOKS / "02_sla_report.py"), source)
    outage = story(POST_MORTEM, 2)
    days = f"{outage.since - timedelta(days=2):%Y-%m-%d}/{outage.since:%Y-%m-%d}"
    asked = {"site": "demo-payments", "month": days, "tz": "Asia/Singapore", "policy": "kuma"}
    made = papermill.execute_notebook(source, None, parameters=asked, progress_bar=False, kernel_name="python3")
    words = "".join(output.get("data", {}).get("text/markdown", "") for output in shown(made))
    assert "# Payments API" in words
    assert "**kuma**" in words
    assert "1 outage by the vote" in words
    assert len(charts(made)) == 1


def test_the_report_is_one_file_that_asks_nobody_for_anything(
    demo: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BETTERSTACK_DATABASE_URL", demo)
    out = tmp_path / "report.html"
    words = ["--site", "demo-payments", "--month", f"{story(POST_MORTEM).since:%Y-%m}", "--tz", "America/New_York"]
    result = CliRunner().invoke(command_line(), ["report", "sla", *words, "--out", str(out)])
    assert result.exit_code == 0, result.output
    page = out.read_text()
    assert "Payments API" in page
    assert "1 h 42 min" in page
    assert "<svg" in page
    assert "missed" in page
    assert not re.findall(r"<script|<link|<iframe|@import|url\(", page)
    assert not re.findall(r"\s(?:src|href|xlink:href)=", page)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_post_mortem_finds_the_outage_its_warning_and_its_cause(demo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook, found = executed("03_post_mortem", demo, monkeypatch)
    slow, timeouts, bad_gateway = (story(POST_MORTEM, number) for number in range(3))
    assert near(found["warned_at"], slow.since, minutes=5)
    assert near(found["since"], timeouts.since, minutes=6)
    assert near(found["until"], bad_gateway.until, minutes=6)
    assert found["outcomes"] == ["timeout", "status"]
    assert found["slowest_phase"] == "ttfb"
    assert found["regions_first"] == sorted(timeouts.regions)
    assert found["left"][0] < 0
    assert len(charts(notebook)) >= 3


def test_a_slow_drift_is_found_within_a_day_of_its_deploy(demo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook, found = executed("04_latency_regressions", demo, monkeypatch)
    drift = story(DRIFT)
    assert found["site"] == DRIFTS
    assert found["others"] == []
    assert near(found["began"], drift.since, minutes=24 * 60)
    assert near(found["ended"], drift.until, minutes=6 * 60)
    assert found["phase"] == "ttfb"
    assert found["low_ms"] > 0
    assert len(charts(notebook)) >= 2


def test_a_far_region_a_blind_prober_and_a_shared_provider_are_told_apart(
    demo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook, found = executed("05_regions_and_correlation", demo, monkeypatch)
    regional, blind = story(REGIONAL), story(BLIND)
    assert (found["far"], found["blind"]) == (regional.regions[0], blind.regions[0])
    assert near(found["far_since"], regional.since, minutes=20)
    assert near(found["far_until"], regional.until, minutes=20)
    assert found["far_down"] == 0
    assert near(found["blind_since"], blind.since, minutes=6)
    hidden = (blind.until - blind.since).total_seconds()
    assert found["missing_s"] == pytest.approx(hidden, rel=0.1)
    assert found["group"] == ["demo-blog", "demo-careers", "demo-docs"]
    assert found["shares"][0] == "address"
    assert found["others"] == 0
    assert len(charts(notebook)) >= 3


def test_nine_policies_disagree_on_one_outage_and_the_notebook_says_why(
    demo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook, found = executed("06_how_uptime_lies", demo, monkeypatch)
    uptimes = found["policies"]
    assert len(uptimes) == 9
    assert uptimes["kuma"] < uptimes["datadog"] < uptimes["default"] < uptimes["grafana-uptime"] < 1
    assert uptimes["seed"] == 1
    assert found["steps_below"] == pytest.approx(found["difference_below"])
    assert found["sampled"][0]["least_s"] == found["sampled"][0]["most_s"]
    assert found["sampled"][-1]["unseen"] > 0, "a check every three hours can miss it"
    assert found["wider"] > 3
    assert found["blind"][0] == story(BLIND).regions[0]
    assert found["as_down"] == pytest.approx(found["known"])
    assert found["as_up"] == 1
    assert found["merged_off"] < 0.0109
    assert found["regions_off"] > 0.1
    assert len(charts(notebook)) >= 3
