"""A report's parts that need no store: percent sources, periods, what is written of a notebook."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import altair as alt
import nbformat
import polars as pl
import pytest

from pipeline.errors import InvalidInputError
from pipeline.report import html, ipynb
from pipeline.report.figures import verdict
from pipeline.report.percent import INJECTED, Cell, cells, filled
from pipeline.report.periods import last_month, period_of
from pipeline.report.running import HTML, MARKDOWN, TEXT, VEGA_LITE, run
from pipeline.report.shown import Table, plain
from pipeline.report.sla import Wanted, notebook

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SOURCE = """\
# ---
# jupyter: {}
# ---

# %% tags=["parameters"]
site = ""

# %% [markdown]
# # A title
#
# Text.

# %%
print(site)
site.upper()
"""


def test_a_percent_source_is_read_in_cells_with_their_tags() -> None:
    assert cells(SOURCE) == [
        Cell("code", 'site = ""', ("parameters",)),
        Cell("markdown", "# A title\n\nText."),
        Cell("code", "print(site)\nsite.upper()"),
    ]


def test_parameters_are_set_after_their_defaults_whatever_is_in_them() -> None:
    nasty = 'a"; import os #\n'
    whole = filled(cells(SOURCE), {"site": nasty})
    assert whole[1].tags == (INJECTED,)
    assert [output.data for output in run(whole)[-1].outputs] == [nasty + "\n", repr(nasty.upper())]


def test_a_cell_shows_what_it_prints_and_its_last_value_in_its_richest_form() -> None:
    made = """
import altair as alt, polars as pl
from pipeline.report.shown import Markdown
chart = alt.Chart(pl.DataFrame({"a": [1]})).mark_point().encode(x="a")
"""
    shows = ["print('said')\nchart", "chart + chart", "Markdown('**bold**')", "pl.DataFrame({'a': [1]})", "x = 1"]
    ran = run([Cell("code", made), *(Cell("code", text) for text in shows)])[1:]
    kinds = [[output.kind for output in each.outputs] for each in ran]
    assert kinds == [[TEXT, VEGA_LITE], [VEGA_LITE], [MARKDOWN], [HTML], []]


def test_a_month_is_that_of_its_time_zone() -> None:
    period = period_of("2026-10", "Europe/Berlin", NOW)
    assert (period.since, period.until) == (
        datetime(2026, 9, 30, 22, tzinfo=UTC),
        datetime(2026, 10, 31, 23, tzinfo=UTC),
    )
    assert period.label == "October 2026"
    assert not period.so_far(NOW)
    assert period_of("", "UTC", NOW).so_far(NOW)


def test_days_are_named_from_the_first_to_the_last() -> None:
    period = period_of("2026-10-05/2026-10-18", "UTC", NOW)
    assert (period.until - period.since).days == 14
    assert last_month("UTC", NOW) == "2026-10"
    assert last_month("Pacific/Kiritimati", datetime(2026, 11, 30, 12, tzinfo=UTC)) == "2026-11"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("2026-13", "no month"),
        ("October", "no month"),
        ("2026-1", "no month"),
        ("2026-10-05", "no month"),
        ("2026-10-05/2026-10-01", "ends before"),
        ("2026-12", "not begun"),
        ("0001-01", "not a time"),
        ("9999-12", "no month"),
        ("9000-12", "not a time"),
        ("2020-01-01/2026-01-01", "longer than 400 days"),
    ],
)
def test_what_is_no_period_is_refused_with_what_to_write(said: str, told: str) -> None:
    with pytest.raises(InvalidInputError, match=told):
        period_of(said, "UTC", NOW)


def test_a_time_zone_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no time zone"):
        period_of("2026-10", "Mars/Olympus", NOW)


@pytest.mark.parametrize(
    ("uptime", "low", "high", "told"),
    [
        (0.9995, 0.9992, 0.9996, "kept"),
        (0.9995, 0.98, 0.9996, "kept, as far as is known"),
        (0.99, 0.98, 0.9996, "missed, unless the unknown time was up"),
        (0.99, 0.98, 0.995, "missed"),
        (None, None, None, "nothing is known"),
    ],
)
def test_a_promise_is_kept_or_missed_or_depends_on_what_nobody_knows(
    uptime: float | None, low: float | None, high: float | None, told: str
) -> None:
    assert verdict(0.999, {"uptime": uptime, "low": low, "high": high}) == told


def test_a_page_asks_nobody_for_anything_whatever_a_name_holds() -> None:
    name = '<script src="https://evil.example/x.js"></script> ![](https://evil.example/p.png) [x](https://evil.example)'
    frame = pl.DataFrame({"site": [name]})
    ran = run(
        [
            Cell("code", "from pipeline.report.shown import Markdown, Table, plain\nimport polars as pl"),
            Cell("code", f"Markdown('# ' + plain({name!r}))"),
            Cell("code", f"Table(pl.DataFrame({{'site': [{name!r}]}}), {{'site': ('site', str)}})"),
            Cell("code", f"Markdown({name!r})"),
        ]
    )
    page = html.written(ran, name)
    assert Table(frame, {"site": ("site", str)}).rows == [[name]]
    assert "<script" not in page
    assert "<img" not in page
    assert re.findall(r' src="|<link|url\(', page) == []
    assert "default-src 'none'" in page


def test_markdown_shows_what_somebody_wrote_as_it_is() -> None:
    assert plain("[a](b) *c*") == r"\[a\]\(b\) \*c\*"


def test_charts_are_drawn_into_the_page_with_their_description() -> None:
    chart = alt.Chart(pl.DataFrame({"a": [1, 2]})).mark_point().encode(x="a").properties(description='two "dots"')
    drawn = html.svg(chart.to_dict())
    assert drawn.startswith("<svg")
    assert 'aria-label="two &quot;dots&quot;"' in drawn
    assert not re.search(r"(?:src|href)=", drawn)


def test_the_notebook_of_a_report_is_one_that_jupyter_reads() -> None:
    document = notebook(Wanted(site="shop", month="2026-10", tz="Europe/Berlin"))
    read = nbformat.reads(document, as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(read)
    tags = [cell["metadata"].get("tags", []) for cell in json.loads(document)["cells"]]
    assert tags.index(["parameters"]) + 1 == tags.index(["injected-parameters"])
    assert "month = '2026-10'" in document
    assert ipynb.written([Cell("code", "1")]).count("execution_count") == 1
