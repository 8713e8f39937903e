"""What the log says has a name from one closed list, and everything on the list is said by somebody."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline.actions import ACTIONS

ROOT = Path(__file__).parents[2]
ROOMS = ("app", "pipeline", "workers")
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}


class Line(NamedTuple):
    """A call that logs, and the names that its `action` may have; none where it has no action."""

    where: str
    actions: list[str]


def lines() -> Iterator[Line]:
    for room in ROOMS:
        for file in sorted((ROOT / room).rglob("*.py")):
            nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
            named = {name: value for node in nodes if isinstance(node, ast.Assign) for name, value in assigned(node)}
            for node in nodes:
                if isinstance(node, ast.Call) and is_log(node.func):
                    yield Line(f"{file.relative_to(ROOT)}:{node.lineno}", list(actions_of(node, named)))


def assigned(node: ast.Assign) -> Iterator[tuple[str, ast.expr]]:
    yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))


def is_log(function: ast.expr) -> bool:
    return (
        isinstance(function, ast.Attribute)
        and function.attr in LEVELS
        and isinstance(function.value, ast.Name)
        and function.value.id in {"log", "logging"}
    )


def actions_of(call: ast.Call, named: Mapping[str, ast.expr]) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
            for key, value in zip(keyword.value.keys, keyword.value.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "action":
                    yield from words(named.get(value.id, value) if isinstance(value, ast.Name) else value)


def words(value: ast.expr) -> Iterator[str]:
    """The strings that an expression may become: a constant, or one of two."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        yield from words(value.body)
        yield from words(value.orelse)


def test_every_line_in_the_log_names_an_action_of_the_vocabulary() -> None:
    nameless = [line.where for line in lines() if not line.actions]
    assert nameless == [], 'give each of these extra={"action": "…"}'
    unknown = {name: line.where for line in lines() for name in line.actions if name not in ACTIONS}
    assert unknown == {}, "describe each of these in pipeline/actions.py"


def test_every_action_of_the_vocabulary_is_said_by_somebody() -> None:
    said = {name for line in lines() for name in line.actions}
    assert ACTIONS.keys() - said == set(), "nobody says these: remove them from pipeline/actions.py"


def test_an_action_is_a_word_and_its_meaning_one_sentence() -> None:
    assert list(ACTIONS) == sorted(ACTIONS)
    for name, meaning in ACTIONS.items():
        assert name.replace("_", "").isalpha()
        assert name == name.lower()
        assert meaning
        assert "\n" not in meaning
        assert len(meaning) <= 120
