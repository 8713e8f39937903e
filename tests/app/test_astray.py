"""Where there is nothing, a page says so and shows the way on; what was typed stays while one looks elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest
from starlette.responses import PlainTextResponse
from streamlit.testing.v1 import AppTest

from app.astray import Astray
from app.components.ways import astray
from tests.app.conftest import Workbench

PAGES = {"", "sites"}


@pytest.mark.parametrize("url", [None, "http://h/", "http://h/sites?x=1", "http://h/sites/", "http://h/a/b"])
def test_a_page_that_there_is_leads_nowhere_else(url: str | None) -> None:
    assert astray(url, PAGES) == ""


def test_an_address_of_no_page_is_known_as_one() -> None:
    assert astray("http://h/nope?x=1", PAGES) == "nope"
    assert astray("http://h/no%20pe/", PAGES) == "no pe"


@pytest.mark.parametrize(
    ("path", "instead"),
    [
        ("/a/b", "/nowhere?address=a%2Fb"),
        ("/site/", None),
        ("//evil.example/x", "/nowhere?address=evil.example%2Fx"),
        ("/sites", None),
        ("/api/v1/sites", None),
        ("/_stcore/health", None),
    ],
)
def test_a_browser_that_opens_what_is_deeper_than_a_page_is_sent_on(path: str, instead: str | None) -> None:
    transport = httpx.ASGITransport(Astray(PlainTextResponse("the frame")))

    async def ask(accept: str) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get(f"http://h{path}", headers={"accept": accept})

    assert asyncio.run(ask("text/html,*/*")).headers.get("location") == instead
    assert asyncio.run(ask("*/*")).text == "the frame"  # for a script


def test_a_site_that_is_gone_shows_the_way_to_the_others(workbench: Workbench, said: Callable[[AppTest], str]) -> None:
    words = said(workbench.open("site", site="nowhere"))
    assert "There is no site 'nowhere'." in words
    assert "Sites: find one by its name or URL" in words


def test_what_is_in_the_first_box_stays_while_one_looks_at_another_page(workbench: Workbench) -> None:
    def box(app: AppTest) -> str | None:
        return app.text_area(key="first-text").value

    now = workbench.open("now")
    now.text_area(key="first-text").input("https://a.example\nmore").run()
    now.switch_page("pages/regions.py").run()
    now.switch_page("pages/now.py").run()
    assert box(now) == "https://a.example\nmore"
    interval_s = now.selectbox(key="first-interval").value
    assert interval_s == 60
    assert list(now.dataframe[0].value["Checked"]) == ["every minute"]  # as the field says, drawn anew as it is
