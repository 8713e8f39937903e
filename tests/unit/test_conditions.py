"""A condition says of a value what a person means by it, and says what to write where it cannot be read."""

from __future__ import annotations

import re
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.conditions import SHOWN, header_condition, json_condition, show
from pipeline.json_paths import LOOKED_AT, PathError, read_path, select

DOCUMENT: dict[str, Any] = {
    "status": "ok",
    "version": "2.10.1",
    "queue": 17,
    "load": 0.5,
    "ready": True,
    "nothing": None,
    "tags": ["eu", "web", 3],
    "items": [{"name": "a", "up": True}, {"name": "b c", "up": True}, {"name": "d", "up": False}],
    "a b": {"c.d": 1},
    "nested": {"list": [[1], [2, 3]]},
}
Values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=10,
)


def failure(condition: str, document: Any = DOCUMENT) -> str | None:
    read = json_condition(condition)
    return read.failure(read.select(document))


def header_failure(condition: str, *values: str) -> str | None:
    return header_condition(condition).failure(values)


@pytest.mark.parametrize(
    "condition",
    [
        '$.status == "ok"',
        "$.status == ok",
        '$.status=="ok"',
        '$.status != "down"',
        "$.queue < 100",
        "$.queue <= 17",
        "$.queue>16.5",
        "$.queue >= 17.0",
        "$.queue == 17.0",
        "$.ready == true",
        "$.nothing == null",
        "$.nothing exists",
        "$.error absent",
        "$.items length >= 3",
        "$.status length == 2",
        "$ length > 5",
        "$.tags contains eu",
        "$.tags contains 3",
        '$.version contains "10"',
        "$.version contains 10",
        "$ contains status",
        '$.version < "3"',
        "$['a b']['c.d'] == 1",
        '$.items[?@.name == "b c"].up == true',
        "$.items[?@.name == 'd' && !@.down].up == false",
        "$.items[-1].name == d",
        "$.items[0:2].up == true",
        "$..list[0] exists",
        "$.items[?length(@.name) > 1].name == b c",
        "$.nested.list == [[1], [2, 3]]",
        '$.items[0] == {"up": true, "name": "a"}',
    ],
)
def test_it_holds(condition: str) -> None:
    assert failure(condition) is None


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ('$.status == "down"', '$.status is "ok", expected == "down"'),
        ("$.queue > 20", "$.queue is 17, expected > 20"),
        ("$.missing == 1", "$.missing is not there, expected == 1"),
        ("$.missing exists", "$.missing is not there"),
        ("$.missing contains x", '$.missing is not there, expected to contain "x"'),
        ("$.status absent", '$.status is there ("ok"), expected absent'),
        ("$.items length > 3", "$.items has length 3, expected > 3"),
        ("$.queue length > 3", "$.queue is 17, which has no length"),
        ("$.tags contains us", '$.tags is ["eu","web",3], expected to contain "us"'),
        ("$.ready == 1", "$.ready is true, expected == 1"),
        ("$.queue == true", "$.queue is 17, expected == true"),
        ('$.queue == "17"', '$.queue is 17, expected == "17"'),
        ('$.queue < "2"', '$.queue is 17, expected < "2"'),
        ("$.status < 3", '$.status is "ok", expected < 3'),
        ("$.queue contains 1", "$.queue is 17, expected to contain 1"),
    ],
)
def test_where_it_does_not_hold_it_says_what_is_there(condition: str, sentence: str) -> None:
    assert failure(condition) == sentence


def test_of_several_values_all_have_to_be_equal_and_one_has_to_contain() -> None:
    assert failure("$.items[*].up == true") == "one of 3 at $.items[*].up is false, expected == true"
    assert failure("$.items[0:2].up == true") is None
    assert failure("$.items[*].name contains c") is None
    assert failure("$.items[*].name contains z") == 'one of 3 at $.items[*].name is "a", expected to contain "z"'
    assert failure("$.items[*].name length > 0") is None


def test_not_equal_means_that_none_is_equal_also_where_there_is_nothing() -> None:
    assert failure("$.items[*].name != d") == 'one of 3 at $.items[*].name is "d", expected != "d"'
    assert failure("$.missing != x") is None
    assert header_failure("server != nginx") is None


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        ("content-type contains json", ["application/json; charset=utf-8"]),
        ("Content-Type == text/html; charset=utf-8", ["text/html; charset=utf-8"]),
        ("x-cache exists", [""]),
        ("x-cache absent", []),
        ("server != nginx", ["Apache"]),
        ("content-length > 10", ["200"]),
        ("content-length == 200", ["200"]),
        ('x-version == "2"', ["2"]),
        ("x-ok == true", ["true"]),
        ("vary contains accept", ["cookie", "accept"]),
        ("x-list contains 5", ["4, 5"]),
        ("etag length > 2", ['"abc"']),
    ],
)
def test_it_holds_of_a_header(condition: str, values: list[str]) -> None:
    assert header_failure(condition, *values) is None


def test_a_header_that_is_no_number_is_not_less_than_one() -> None:
    assert header_failure("age < 10", "soon") == 'the header age is "soon", expected < 10'
    assert header_failure("age < 10", "1_0") == 'the header age is "1_0", expected < 10'
    assert header_failure("age < 10") == "the header age is not there, expected < 10"


@pytest.mark.parametrize(
    ("condition", "advice"),
    [
        ("", "a path begins with $"),
        ("status == 1", "write $.status"),
        ("$.a", "say what is expected"),
        ("$.a = 1", "write == for equal: $.a == 1"),
        ("$.a is 1", '"is" is no operator'),
        ("$.a ==", "the value is missing"),
        ("$.a == 'x'", "double quotes"),
        ('$.a == "x" and more', "nothing after it"),
        ("$.a == True", "write true"),
        ("$.a == {x}", "is no JSON"),
        ("$.a < true", "compares numbers or texts"),
        ("$.a length", "compare the length"),
        ("$.a length > x", "whole number"),
        ("$.a length contains 3", "whole number"),
        ("$.a exists 1", "exists stands alone"),
        ("$.a length exists", "exists stands alone"),
        ("$.a[ == 1", "not closed"),
        ("$.a['x] == 1", "not closed"),
        ("$.a. == 1", "is no path"),
        ("$.a == 1\n$.b == 2", "one line"),
        ("$..a..b == 1", "write .. once"),
        ("$['a', 'b'] == 1", "one name"),
        ("$[?match(@.a, 'x')] exists", "is no path"),
        ("$[?search(@.a, 'x')] exists", "is no path"),
        ("$[?@..a == 1] exists", "is no path"),
        ("$[?count(@.*) > 1] exists", "compares single values"),
        ("$[?@[?@.a]] exists", "compares single values"),
        ("$[?" + "(" * 60 + "@" + ")" * 60 + "] exists", "more than 50 brackets"),
        ("$[?" + "!" * 60 + "@.a] exists", "more than 50 brackets"),
        (f"${'.a' * 600} exists", "more than 1000 characters"),
    ],
)
def test_what_cannot_be_read_is_refused_with_advice(condition: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)) as caught:
        json_condition(condition)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("condition", "advice"),
    [
        ("", "names no header"),
        ("x: json", 'write == for the colon: x == "json"'),
        ('"x" exists', "names no header"),
        ("x json", "is no operator"),
        ("x = 1", "write == for equal"),
        ("x <", "the value is missing"),
    ],
)
def test_a_header_that_cannot_be_read_is_refused_with_advice(condition: str, advice: str) -> None:
    with pytest.raises(ValueError, match=re.escape(advice)):
        header_condition(condition)


def test_a_long_value_is_shortened_and_a_secret_taken_out_before() -> None:
    assert len(show("x" * 10_000_000)) <= SHOWN
    assert show(list(range(10_000))).endswith("…]")
    secret = "s" * 200
    assert show(f"token {secret} ok", lambda text: text.replace(secret, "•")) == '"token • ok"'


def test_a_document_with_too_much_in_it_is_looked_through_no_further() -> None:
    with pytest.raises(PathError, match="more than 50000"):
        select(read_path("$..a"), [[] for _ in range(LOOKED_AT + 1)])
    with pytest.raises(PathError, match="more than 50000"):
        select(read_path("$[?@.a]"), [0] * (LOOKED_AT + 1))


def test_a_deep_document_is_looked_through_to_its_bottom() -> None:
    deep: Any = {"a": 1}
    for _ in range(900):
        deep = [deep]
    assert failure("$..a == 1", deep) is None
    assert "nested" not in (failure("$ == 1", deep) or "")


def test_a_path_costs_no_more_than_the_document_is_long() -> None:
    began = time.perf_counter()
    wide = {"a": [{"b": [{"c": n} for n in range(100)]} for _ in range(100)]}
    assert failure("$..c >= 0", wide) is None
    assert failure("$.a[*].b[*].c >= 0", wide) is None
    assert time.perf_counter() - began < 5


@given(st.text(max_size=40))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    for written in (text, f"$.{text}", f"$.a {text}", f"$[{text}] exists", f"$.a == {text}"):
        with suppress(ValueError):
            json_condition(written)
        with suppress(ValueError):
            header_condition(written)


@settings(max_examples=300)
@given(
    Values,
    st.sampled_from(
        ["$", "$.a", "$..a", "$[0]", "$[*]", "$[?@.a == 1]", "$[?@ < 'b' || @.b]", "$[?$.a == @]", "$[-1:]"]
    ),
    st.sampled_from(["==", "!=", "<", ">=", "contains", "exists", "absent", "length >"]),
    Values,
)
def test_any_condition_on_any_document_holds_or_says_why_not(
    document: Any, path: str, operator: str, value: Any
) -> None:
    import msgspec

    written = "" if operator in ("exists", "absent") else msgspec.json.encode(value).decode()
    with suppress(ValueError):
        sentence = failure(f"{path} {operator} {written}", document)
        assert sentence is None or len(sentence) < 400
