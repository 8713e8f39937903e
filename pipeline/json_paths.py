"""Paths into a JSON document (RFC 9535), as far as a stranger's document may be searched: in linear time. Pure.

A library reads the words and we walk, since the document is hostile: each value is looked at once a segment, and all
of it costs no more than `LOOKED_AT` values. So a bracket holds one selector, `..` comes once, what a filter compares is
one value, and there is no `match` or `search` (their regular expressions may take forever).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Any

from jsonpath import JSONPathEnvironment
from jsonpath.exceptions import JSONPathError
from jsonpath.filter import BaseExpression, FilterQuery
from jsonpath.path import JSONPath
from jsonpath.segments import JSONPathRecursiveDescentSegment, JSONPathSegment
from jsonpath.selectors import (
    Filter,
    FilterContext,
    IndexSelector,
    JSONPathSelector,
    NameSelector,
    SliceSelector,
    WildcardSelector,
)

LOOKED_AT = 50_000  # values for one path, some 0.4 s in the worst case: a status document has hundreds
KEPT = 1024  # read paths; some 3 KB each
LONGEST, DEEPEST = 1_000, 50  # characters of a path; parentheses and negations in it, which are read by recursion


class PathError(ValueError):
    """A path that cannot be read, with advice; or a document that has too much in it to be searched."""


class _Environment(JSONPathEnvironment):
    """The functions of the standard that take no regular expression."""

    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        for name in ("match", "search"):
            del self.function_extensions[name]


_ENVIRONMENT = _Environment(strict=True, filter_caching=False)


@functools.lru_cache(maxsize=KEPT)
def read_path(text: str) -> JSONPath:
    """The path that a text says. Errors: PathError with advice."""
    if len(text) > LONGEST:
        raise PathError(f"this path has more than {LONGEST} characters")
    if text.count("(") + text.count("!") + text.count("[") > DEEPEST:
        raise PathError(f"{_cut(text)} has more than {DEEPEST} brackets and negations in it")
    try:
        path = _ENVIRONMENT.compile(text)
    except (JSONPathError, ValueError, ArithmeticError) as error:
        raise PathError(f"{_cut(text)} is no path ({_reason(error)}): write one like $.items[0].name") from None
    if not isinstance(path, JSONPath):
        raise PathError(f"{_cut(text)} is more than one path: write each on its own")
    _judge(path)
    return path


def select(path: JSONPath, document: Any) -> list[Any]:
    """The values at a path, in order. Errors: PathError where the document has too much in it."""
    budget = _Budget()
    found: Iterable[Any] = [document]
    for segment in path.segments:
        found = _step(segment, found, document, budget)
    try:
        return list(found)
    except RecursionError:
        raise PathError("the document is nested too deeply to look for this") from None


class _Budget:
    """Counts the values that were looked at."""

    def __init__(self) -> None:
        self._left = LOOKED_AT

    def spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise PathError(f"there are more than {LOOKED_AT} values to look through")


def _step(segment: JSONPathSegment, nodes: Iterable[Any], root: Any, budget: _Budget) -> Iterator[Any]:
    selector = segment.selectors[0]
    deep = isinstance(segment, JSONPathRecursiveDescentSegment)
    for node in nodes:
        for each in _descendants(node, budget) if deep else (node,):
            yield from _selected(selector, each, root, budget)


def _descendants(node: Any, budget: _Budget) -> Iterator[Any]:
    """The value and all in it that may hold others, parents first; by a stack, since it may be deep."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        budget.spend()
        yield each
        waiting += [child for child in reversed(list(_children(each))) if isinstance(child, dict | list)]


def _selected(selector: JSONPathSelector, node: Any, root: Any, budget: _Budget) -> Iterable[Any]:
    budget.spend()
    match selector:
        case NameSelector():
            return (node[selector.name],) if isinstance(node, dict) and selector.name in node else ()
        case IndexSelector():
            return (node[selector.index],) if isinstance(node, list) and _reaches(node, selector.index) else ()
        case SliceSelector():
            sliced = isinstance(node, list) and selector.slice.step != 0
            return _counted(node[selector.slice], budget) if sliced else ()
        case WildcardSelector():
            return _counted(_children(node), budget)
    assert isinstance(selector, Filter)
    return _filtered(selector, node, root, budget)


def _filtered(selector: Filter, node: Any, root: Any, budget: _Budget) -> Iterator[Any]:
    for child in _counted(_children(node), budget):
        if selector.expression.evaluate(FilterContext(env=_ENVIRONMENT, current=child, root=root)):
            yield child


def _reaches(nodes: list[Any], index: int) -> bool:
    return -len(nodes) <= index < len(nodes)


def _children(node: Any) -> Iterable[Any]:
    return node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _counted(nodes: Iterable[Any], budget: _Budget) -> Iterator[Any]:
    for node in nodes:
        budget.spend()
        yield node


def _judge(path: JSONPath) -> None:
    """Errors: PathError for what could take longer than the document is long."""
    for segment in path.segments:
        if len(segment.selectors) > 1:
            raise PathError("write one name, number or filter between [ and ]; for several, write several conditions")
        for selector in segment.selectors:
            if isinstance(selector, Filter):
                _judge_filter(selector.expression)
    if sum(isinstance(segment, JSONPathRecursiveDescentSegment) for segment in path.segments) > 1:
        raise PathError("write .. once in a path, and names for the rest")


def _judge_filter(expression: BaseExpression) -> None:
    if isinstance(expression, FilterQuery):
        if not expression.path.singular_query():
            raise PathError("a filter compares single values: write ?@.name or ?@.items[0], without *, .. and ? in it")
        return
    for child in expression.children():
        _judge_filter(child)


def _reason(error: Exception) -> str:
    """The first line of what the library says; the others draw arrows."""
    return next(iter(str(error).splitlines()), type(error).__name__)[:100]


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:59]}…"
