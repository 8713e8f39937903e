"""Conditions on a JSON body or a header, one a string: `<where> <operator> <value>`. Pure.

    $.status == "ok"            $.items length >= 3         $.version exists          $.error absent
    $.tags contains "eu"        $.queue < 100               $.services[?@.name == "db"].up == true
    content-type contains json  x-cache exists              server != nginx

Operators are `== != < <= > >= contains exists absent`, and `length` before a comparison. Where is a JSONPath
(`pipeline.json_paths`) or the name of a header; a space within brackets or quotes belongs to it. A value is a JSON
literal; what is none is taken as text, up to the end of the line.

Where a path selects several values: `== < <= > >=` hold when there is one and all of them satisfy it, `!=` when none is
equal (nothing is not equal), `contains` when any contains it. What is null is there. Numbers are compared with numbers
and texts with texts, letter by letter.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from jsonpath.path import JSONPath

KEPT = 1024  # conditions read and kept, under 1 KB each without their path: the sites of one prober
SHOWN = 80  # letters of a value in a sentence …
LOOKED_AT = 20_000  # … and of what is looked through for secrets before it is shortened

TOKEN = re.compile(r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")  # RFC 9110: names of headers, and methods
_REST = re.compile(r"\s*(?P<length>length\b)?\s*(?P<operator>==|!=|<=|>=|<|>|[a-z]+\b|=)?\s*(?P<value>.*)", re.DOTALL)
OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "contains", "exists", "absent")
_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Condition(msgspec.Struct, frozen=True):
    """One condition: its subject in words, what is done with it, and the value it is held against.

    `path` is None for a header.
    """

    subject: str
    where: str
    operator: str
    value: Any = None
    length: bool = False
    path: Any = None

    def select(self, document: Any) -> list[Any]:
        """The values of a JSON document that the condition is about. Errors: `json_paths.PathError`."""
        from pipeline.json_paths import select

        path: JSONPath = self.path
        return select(path, document)

    def failure(self, nodes: Sequence[Any], shown: Callable[[Any], str] | None = None) -> str | None:
        """Why it does not hold of the values that were found, in a sentence that has them as `shown` writes them."""
        shown = shown or show
        if self.operator == "exists":
            return None if nodes else f"{self.subject} is not there"
        if self.operator == "absent":
            return f"{self.subject} is there ({shown(nodes[0])}), expected absent" if nodes else None
        if self.operator == "contains" and nodes:
            holds = any(self._holds(node) for node in nodes)
            bad = None if holds else nodes[0]
        else:
            holds = bool(nodes) or self.operator == "!="
            bad = None
            for node in nodes:
                if not self._holds(node):
                    holds, bad = False, node
                    break
        return None if holds else self._sentence(nodes, bad, shown)

    def _holds(self, node: Any) -> bool:
        if self.length:
            if not isinstance(node, str | list | dict):
                return False
            return _compares(len(node), self.operator, self.value)
        if self.operator == "contains":
            return _contains(node, self.value, header=self.path is None)
        if self.path is None:
            return _compares(_like(node, self.value), self.operator, self.value)
        return _compares(node, self.operator, self.value)

    def _sentence(self, nodes: Sequence[Any], bad: Any, shown: Callable[[Any], str]) -> str:
        verb = "to contain" if self.operator == "contains" else self.operator
        expected = f"expected {verb} {show(self.value)}"
        if not nodes:
            return f"{self.subject} is not there, {expected}"
        subject = self.subject if len(nodes) == 1 else f"one of {len(nodes)} at {self.subject}"
        if not self.length:
            return f"{subject} is {shown(bad)}, {expected}"
        if isinstance(bad, str | list | dict):
            return f"{subject} has length {len(bad)}, {expected}"
        return f"{subject} is {shown(bad)}, which has no length"


@functools.lru_cache(maxsize=KEPT)
def json_condition(text: str) -> Condition:
    """A condition on a JSON body. Errors: ValueError with advice."""
    text = text.strip()
    if not text.startswith("$"):
        first = text.split(maxsplit=1)[0] if text else "status"
        raise ValueError(f"a path begins with $: write $.{first[:60]} for the field of that name")
    end = _path_end(text)
    where = text[:end]
    from pipeline.json_paths import read_path

    return _read(where, where, text[end:], path=read_path(where))


@functools.lru_cache(maxsize=KEPT)
def header_condition(text: str) -> Condition:
    """A condition on a header. Errors: ValueError with advice."""
    text = text.strip()
    match = re.match(r"([^\s=<>!:]|!(?!=))+", text)
    where = match[0].lower() if match else ""
    rest = text[match.end() :] if match else text
    if not TOKEN.match(where):
        raise ValueError(f"{show(text)} names no header: write one like content-type contains json")
    if rest.startswith(":"):
        raise ValueError(f'write == for the colon: {where} == "{rest[1:].strip()[:60]}"')
    return _read(f"the header {where}", where, rest, path=None)


def show(value: Any, cut: Callable[[str], str] | None = None) -> str:
    """A value as JSON writes it, on one line and shortened; `cut` may take secrets out before."""
    if isinstance(value, str):
        value = value[:LOOKED_AT]
    try:
        written = msgspec.json.encode(value).decode()
    except (RecursionError, ValueError, TypeError):
        return "something that cannot be shown"
    text = written[:LOOKED_AT] if cut is None else cut(written[:LOOKED_AT])
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 2]}…{written[-1]}"


def _path_end(text: str) -> int:
    """Where the path ends: at the first space or operator outside brackets and quotes."""
    depth, quote, escaped = 0, "", False
    for position, letter in enumerate(text):
        if escaped:
            escaped = False
        elif quote:
            escaped = letter == "\\"
            quote = "" if letter == quote else quote
        elif depth and letter in "\"'":
            quote = letter
        elif letter in "[(":
            depth += 1
        elif letter in ")]":
            depth -= 1
        elif depth <= 0 and (letter.isspace() or letter in "=!<>"):
            return position
    if quote or depth > 0:
        raise ValueError(f"{show(text)} has a {'quote' if quote else 'bracket'} that is not closed")
    return len(text)


def _read(subject: str, where: str, rest: str, *, path: Any) -> Condition:
    if len(rest.splitlines()) > 1:
        raise ValueError("a condition is one line: write each on its own")
    match = _REST.fullmatch(rest)
    assert match is not None
    length, word, written = bool(match["length"]), match["operator"], match["value"].strip()
    if word not in OPERATORS:
        raise ValueError(_advice(where, word, written, length=length))
    if word in ("exists", "absent"):
        if written or length:
            raise ValueError(f"{word} stands alone: write {where} {word}")
        return Condition(subject, where, word, path=path)
    if not written:
        raise ValueError(f'the value is missing: write {where} {"length " if length else ""}{word} "…" or a number')
    value = _value(written, header=path is None)
    if length:
        if word == "contains" or not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"a length is compared with a whole number: write {where} length >= 3")
    elif word in _ORDERS and (not isinstance(value, int | float | str) or isinstance(value, bool)):
        raise ValueError(f"{word} compares numbers or texts, and {show(value)} is neither")
    elif word == "contains" and path is None and not isinstance(value, str):
        value = written
    return Condition(subject, where, word, value, length, path)


def _advice(where: str, word: str | None, written: str, *, length: bool) -> str:
    if word == "=":
        return f"write == for equal: {where} == {written[:60]}"
    if length:
        return f"compare the length with a number: write {where} length >= 3"
    known = ", ".join(OPERATORS)
    if word is None and not written:
        return f"say what is expected: write {where} exists, or one of {known}"
    return f"{show(word or written)} is no operator: write one of {known}"


def _value(written: str, *, header: bool) -> Any:
    try:
        value = msgspec.json.decode(written)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        pass
    else:
        # A header is text: of what JSON knows, only a quoted text and a number mean anything there.
        plain = isinstance(value, str | int | float) and not isinstance(value, bool)
        return value if plain or not header else written
    if written.startswith('"'):
        advice = 'close it, write \\" for a quote in it, and nothing after it'
        raise ValueError(f"{show(written)} begins with a quote and is no text: {advice}")
    if header:
        return written
    if written[0] in "[{'":
        raise ValueError(f'{show(written)} is no JSON: write texts in double quotes, such as "ok"')
    if written in ("True", "False", "None"):
        meant = "null" if written == "None" else written.lower()
        raise ValueError(f'write {meant}, or "{written}" for the text')
    return written


def _like(text: str, value: Any) -> Any:
    """A header's text as a number where a number is expected of it."""
    if isinstance(value, str):
        return text
    try:
        return float(text) if len(text) < 64 and "_" not in text else text
    except ValueError:
        return text


def _compares(left: Any, word: str, right: Any) -> bool:
    if word == "==":
        return _same(left, right)
    if word == "!=":
        return not _same(left, right)
    numbers = _is_number(left) and _is_number(right)
    if not numbers and not (isinstance(left, str) and isinstance(right, str)):
        return False
    return _ORDERS[word](left, right)


def _same(left: Any, right: Any) -> bool:
    """Equal as JSON means it: 1 is 1.0, but not true. As deep as `right`, which is ours."""
    if _is_number(left) and _is_number(right):
        return bool(left == right)
    if type(left) is not type(right):
        return False
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(left[name], right[name]) for name in right)
    return bool(left == right)


def _contains(node: Any, value: Any, *, header: bool) -> bool:
    if isinstance(node, str):
        return (value if isinstance(value, str) else show(value)) in node
    if header:
        return False
    if isinstance(node, list):
        return any(_same(each, value) for each in node)
    return isinstance(node, dict) and isinstance(value, str) and value in node


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
