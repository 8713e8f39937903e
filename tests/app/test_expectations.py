"""What is expected of an answer, in the form of a site: a line each, with problems at their fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app import data
from app.components import expect_form
from pipeline.declared import ExpectIn
from pipeline.store.sites import get_site
from tests.app.conftest import Workbench
from tests.harness import writing

Said = Callable[[AppTest], str]
EVERYTHING: dict[str, Any] = {
    "status": ["200"],
    "body_contains": ["Welcome", '"quoted"', "two\nlines", " spaced "],
    "body_absent": ["Fatal"],
    "body_matches": [r"order \d+", " x"],
    "json": ['$.status == "ok"', "$.items length >= 3"],
    "header": ["server != nginx"],
    "final_url": "https://shop.example.com/home*",
    "min_bytes": 10,
    "max_bytes": 9_000,
    "max_latency_ms": 800.0,
    "tls_days": 14,
}


def expected(workbench: Workbench, key: str) -> dict[str, Any]:
    with writing(workbench.dsn) as connection:
        return get_site(connection, key).expect


def settings(workbench: Workbench) -> AppTest:
    app = workbench.open("site", site="shop")
    return app.button(key="edit").click().run()


def add(workbench: Workbench, **expect: str) -> AppTest:
    """Add a site by the form, in which so much is typed of what it expects."""
    app = workbench.open("sites")
    app.button(key="open-add").click().run()
    app.text_input(key="site-url").set_value("https://example.com/health")
    for part, typed in expect.items():
        field = app.text_area if part in expect_form.LINES else app.text_input
        field(key=f"site-expect_{part}").set_value(typed)
    return app.button(key="site-submit").click().run()


def test_a_site_is_added_with_what_it_expects(workbench: Workbench) -> None:
    app = add(
        workbench,
        body_contains='Welcome\n\n  back \n"a\\nb"',
        json='$.status == "ok"\n$.error absent',
        header="server != nginx",
        final_url="https://example.com/*",
        max_latency_ms="800",
        tls_days="14",
    )
    assert not app.exception
    assert expected(workbench, "example-com-health") == {
        "status": ["200-399"],
        "body_contains": ["Welcome", "back", "a\nb"],
        "json": ['$.status == "ok"', "$.error absent"],
        "header": ["server != nginx"],
        "final_url": "https://example.com/*",
        "max_latency_ms": 800.0,
        "tls_days": 14,
    }


def test_what_cannot_be_judged_is_told_at_its_field_with_its_line(workbench: Workbench, said: Said) -> None:
    app = add(
        workbench,
        json="$.a exists\nstatus == 1",
        body_matches="(",
        min_bytes="5",
        max_bytes="4",
        max_latency_ms="soon",
    )
    words = said(app).replace("\\", "")
    assert "✕ line 2: a path begins with $: write $.status" in words
    assert "✕ line 1: this is no regular expression" in words
    assert "✕ max_bytes (4) is below min_bytes (5)" in words
    assert "✕ must be a number" in words
    assert app.text_area(key="site-expect_json").value == "$.a exists\nstatus == 1"  # what was typed stays


def test_the_form_shows_all_that_a_site_expects_and_keeps_it(workbench: Workbench) -> None:
    workbench.add("shop")
    data.change_site("shop", {"expect": EVERYTHING})
    app = settings(workbench)
    assert app.text_area(key="site-expect_body_contains").value == 'Welcome\n"\\"quoted\\""\n"two\\nlines"\n" spaced "'
    app.text_area(key="site-expect_body_absent").set_value("Fatal\nPanic")
    app.button(key="site-submit").click().run()
    assert not app.exception
    assert expected(workbench, "shop") == EVERYTHING | {"body_absent": ["Fatal", "Panic"]}


def test_a_part_that_is_emptied_expects_nothing(workbench: Workbench) -> None:
    workbench.add("shop")
    data.change_site("shop", {"expect": {"json": ["$.a exists"], "max_bytes": 0, "final_url": "https://a.example"}})
    app = settings(workbench)
    assert app.text_input(key="site-expect_max_bytes").value == "0"
    app.text_area(key="site-expect_json").set_value("")
    app.text_input(key="site-expect_max_bytes").set_value("")
    app.text_input(key="site-expect_final_url").set_value("")
    app.button(key="site-submit").click().run()
    assert expected(workbench, "shop") == {"status": ["200-399"]}


def test_no_part_is_hidden() -> None:
    shown = {name.removeprefix("expect_") for name in expect_form.FIELDS}
    assert shown | {"status"} == {field.alias or name for name, field in ExpectIn.model_fields.items()}


@pytest.mark.parametrize("text", ["a", '"', '"a"', " a", "a\nb", "\\n", '"a" and "b"', "\ttab", "a\r\nb", "ü\u2028x"])
def test_any_text_comes_back_from_its_line(text: str) -> None:
    assert expect_form._lines("body_contains", expect_form._written(text)) == [text]
