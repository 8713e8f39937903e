"""A declared file is read as it is meant, or every problem in it is told with its line."""

from __future__ import annotations

import json
import time
from textwrap import dedent

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline import declared_file
from pipeline.declared import Declared
from pipeline.declared_file import DEEPEST, LARGEST_FILE, MOST_NODES, read_declared, read_lines
from pipeline.errors import InvalidInputError

GOOD = """\
# ours
regions:
  - key: eu
    name: Europe
sites:
  - key: web
    url: https://example.com
    interval_s: 30
    headers: {X-Token: "1"}
    expect:
      status: [200, 300-399]
  - key: api
    url: https://api.example.com
    regions: [eu]
"""


@pytest.fixture(params=["C", "Python"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both loaders have to say the same."""
    if request.param == "C":
        assert hasattr(yaml, "CSafeLoader")
    else:
        monkeypatch.setattr(declared_file, "LOADER", yaml.SafeLoader)


def problems(text: str | bytes) -> list[tuple[int | None, str, str]]:
    source = dedent(text) if isinstance(text, str) else text
    with pytest.raises(InvalidInputError) as refused:
        read_declared(source)
    return [(problem.line, problem.field, problem.message) for problem in refused.value.problems]


def places(text: str | bytes) -> list[tuple[int | None, str]]:
    return [(line, field) for line, field, _ in problems(text)]


def test_a_file_is_read() -> None:
    found = read_declared(GOOD)
    assert [region.name for region in found.regions] == ["Europe"]
    assert [site.key for site in found.sites] == ["web", "api"]
    assert found.sites[0].expect.status == ["200", "300-399"]
    assert found.sites[1].regions == ["eu"]


def test_bytes_with_a_mark_and_windows_lines_are_read_alike() -> None:
    assert read_declared(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode()) == read_declared(GOOD)


def test_every_field_has_its_line() -> None:
    lines = read_lines(GOOD)
    assert lines["regions[0].name"] == 4
    assert lines["sites[0]"] == 6
    assert lines["sites[0].headers.X-Token"] == 9
    assert lines["sites[0].expect.status[1]"] == 11
    assert lines["sites[1].regions"] == 14


def test_every_problem_is_told_with_its_line() -> None:
    text = """\
        sites:
          - key: web
            url: example.com
            intervall: 30
          - url: https://example.com
            interval_s: soon
        region: []
        """
    assert places(text) == [
        (3, "sites[0].url"),
        (4, "sites[0].intervall"),
        (5, "sites[1].key"),
        (6, "sites[1].interval_s"),
        (7, "region"),
    ]


def test_a_field_that_is_missing_has_the_line_of_what_should_hold_it() -> None:
    assert places("sites:\n\n  - key: a\n    url: https://a.example\n  - key: b\n") == [(5, "sites[1].url")]


def test_a_header_with_a_dot_in_its_name_has_its_line() -> None:
    text = "sites:\n- key: a\n  url: https://a.example\n  headers:\n    X.Y: 1\n"
    assert places(text) == [(5, "sites[0].headers.X.Y")]


def test_a_rule_over_several_fields_has_the_line_of_its_site() -> None:
    text = "sites:\n- key: a\n  url: https://a.example\n  interval_s: 5\n  timeout_s: 6\n"
    assert places(text) == [(2, "sites[0]")]


def test_a_key_that_is_there_twice_is_a_problem_and_not_a_silent_choice() -> None:
    text = "sites:\n- key: a\n  url: https://a.example\n  key: b\nsites: []\n"
    assert [(line, message) for line, _, message in problems(text)] == [
        (4, "'key' is there twice"),
        (5, "'sites' is there twice"),
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("sites:\n  - key: a\n url: b\n", 3),
        ("sites:\n\t- key: a\n", 2),
        ("sites: [\n", 2),
        ("a: b: c\n", 1),
        ("sites: []\n---\nsites: []\n", 2),
        ("sites:\n- *nobody\n", 2),
        ("sites: !!python/object:os.system {}\n", 1),
        ("sites:\n- key: !!python/name:os.system\n", 2),
        ('sites:\n- "\x07"\n', 2),
        ("sites:\n- key: 'a\n", 3),
        ("%YAML 9.9\n---\na: 1\n", 1),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(text: str, line: int) -> None:
    found = problems(text)
    assert line in [place for place, *_ in found]
    assert all("\n" not in message for *_, message in found)


@pytest.mark.parametrize("text", ["", "# nothing\n", "null", "- key: a\n", "hello", "5", "2026-01-01"])
def test_a_file_that_declares_nothing_is_refused(text: str) -> None:
    assert "nothing is declared" in problems(text)[0][2]


def test_empty_lists_are_fine() -> None:
    assert read_declared("sites: []\n") == Declared()


def test_what_yaml_makes_of_bare_words_is_refused_where_a_text_is_meant() -> None:
    text = """\
        sites:
          - key: no
            url: https://a.example
            name: 2026-01-31
            headers: {Accept: 1, 5: a}
        """
    assert sorted(places(text)) == [(5, "sites[0].headers.5")]
    assert sorted(places(text.replace(", 5: a", ""))) == [
        (2, "sites[0].key"),
        (4, "sites[0].name"),
        (5, "sites[0].headers.Accept"),
    ]


@pytest.mark.parametrize(
    "value", ["9" * 5_000, "2026-13-45", "!!int soon", "!!float ''", "!!timestamp x", "!!bool x", "!!binary é"]
)
def test_a_value_that_cannot_be_read_is_a_problem_and_not_a_crash(value: str) -> None:
    assert (3, "sites[0].interval_s") in places(f"sites:\n- key: a\n  interval_s: {value}\n")


def test_anchors_and_merges_save_writing() -> None:
    found = read_declared("""\
sites:
  - &web
    key: a
    url: https://a.example
    interval_s: 30
    tags: &tags [shop]
  - <<: *web
    key: b
    url: https://b.example
  - {<<: [{timeout_s: 3}, *web], key: c, url: "https://c.example", tags: *tags}
""")
    assert [(site.key, site.interval_s, site.timeout_s, site.tags) for site in found.sites] == [
        ("a", 30, 10.0, ["shop"]),
        ("b", 30, 10.0, ["shop"]),
        ("c", 30, 3.0, ["shop"]),
    ]


def test_what_an_item_says_itself_counts_wherever_the_merge_stands() -> None:
    text = "sites:\n- &a {key: a, url: 'https://a.example', interval_s: 5}\n- key: b\n  url: x\n  <<: *a\n"
    assert places(text) == [(4, "sites[1].url")]


def test_only_a_mapping_can_be_merged() -> None:
    assert places("sites:\n- <<: [1]\n  key: a\n") == [(2, "sites[0]")]


@pytest.mark.parametrize("levels", [9, 15])
def test_an_alias_bomb_is_refused_at_once(levels: int) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for n in range(1, levels):
        bomb += f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n"
    began = time.perf_counter()
    assert "aliases make this too large" in problems(bomb)[0][2]
    assert time.perf_counter() - began < 20


def test_a_merge_bomb_is_refused_at_once() -> None:
    bomb = "a0: &a0 {x: 1}\n"
    for n in range(1, 12):
        bomb += f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n"
    assert "aliases make this too large" in problems(bomb)[0][2]


def test_an_alias_of_itself_is_refused() -> None:
    assert problems("sites: &a [*a]\n")
    assert problems("sites: &a {b: *a}\n")
    assert problems("a: &a\n  <<: *a\n")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[{a: "])
def test_deep_nesting_is_refused_before_it_overflows_a_stack(opening: str) -> None:
    assert problems(opening * 100_000)
    assert problems("sites: " + "[" * DEEPEST + "]" * DEEPEST)


def test_a_file_too_large_is_refused_unread() -> None:
    assert "10 MiB" in problems("#" * (LARGEST_FILE + 1))[0][2]


def test_text_that_is_no_utf8_is_told_with_its_line() -> None:
    [(line, _, message)] = problems(b"sites:\n- key: \xff\n")
    assert (line, "UTF-8" in message) == (2, True)


def test_json_is_read_as_json() -> None:
    found = read_declared(
        json.dumps({"sites": [{"key": "a", "url": "https://a.example", "name": "\U0001f600\u2028!"}]})
    )
    assert found.sites[0].name == "\U0001f600\u2028!"
    assert read_declared('{\n\t"sites": [{"key": "a", "url": "https:\\/\\/a.example", "timeout_s": 1e1}]}').sites


def test_json_has_lines_too() -> None:
    text = '{\n "sites": [\n  {"key": "a",\n   "url": "nope"}\n ]\n}'
    assert places(text) == [(4, "sites[0].url")]


def test_a_key_that_is_there_twice_in_json_is_a_problem() -> None:
    assert places('{"sites": [],\n "sites": []}') == [(2, "sites")]


def test_a_thousand_sites_are_read_in_a_moment() -> None:
    text = "sites:\n" + "".join(f"- key: s{n}\n  url: https://s{n}.example\n  tags: [a, b]\n" for n in range(1_000))
    assert len(read_declared(text).sites) == 1_000
    assert MOST_NODES > 20 * 1_000


@given(st.text(max_size=200))
def test_whatever_is_in_a_file_is_read_or_refused_and_never_crashes(text: str) -> None:
    try:
        assert isinstance(read_declared(text), Declared)
    except InvalidInputError as error:
        assert error.problems  # noqa: PT017 - either is right


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=20,
    )
)
def test_whatever_shape_is_declared_is_judged_the_same_in_yaml_and_json(data: object) -> None:
    sent = {"sites": [data], "regions": data}
    in_json, in_yaml = places(json.dumps(sent)), places(yaml.safe_dump(sent))
    assert sorted(field for _, field in in_json) == sorted(field for _, field in in_yaml)
