"""A declared file, YAML or JSON, as `Declared`; or every problem in it with its line and field.

YAML is read node by node instead of through a loader, since only nodes know their lines, a loader lets the last of
two equal keys win in silence, and aliases have to be counted before they are followed: nine lines can stand for a
billion entries.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from pipeline.declared import Declared, parse
from pipeline.errors import InvalidInputError, Problem

LARGEST_FILE = 10 << 20  # 10 MiB: ten times what the API takes in one request
MOST_NODES = 500_000  # some 20 000 sites, aliases followed
DEEPEST = 20  # a status inside expect inside a site needs 6
# The C loader reads some ten times faster; the package is complete without it.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MERGE = "tag:yaml.org,2002:merge"


def read_declared(source: str | bytes) -> Declared:
    """The file's text as Declared. Errors: InvalidInputError, its problems with lines where the text has them."""
    return read_with_lines(source)[0]


def read_with_lines(source: str | bytes) -> tuple[Declared, dict[str, int]]:
    """The same, and the line of each field by its path. Errors: as `read_declared`."""
    text = _text(source)
    as_json = _json(text)
    try:
        data, lines = _Reader(text).read()
    except InvalidInputError:
        if as_json is None:
            raise
        lines = {}  # JSON that YAML cannot read has no lines to tell
    try:
        return parse(Declared, _mapping(data if as_json is None else as_json)), lines
    except InvalidInputError as error:
        raise with_lines(error, lines) from None


def read_lines(source: str | bytes) -> dict[str, int]:
    """Path of a field -> its line, for problems that only the store finds (a key in use)."""
    try:
        return _Reader(_text(source)).read()[1]
    except InvalidInputError:
        return {}


def with_lines(error: InvalidInputError, lines: dict[str, int]) -> InvalidInputError:
    """The same problems, each with the line of its field or, where that is missing, of what should hold it."""
    return InvalidInputError([Problem(p.field, p.message, p.line or _line(p.field, lines)) for p in error.problems])


def _line(field: str, lines: dict[str, int]) -> int | None:
    while field and field not in lines:
        field = field[: max(field.rfind("."), field.rfind("["), 0)]
    return lines.get(field)


def _text(source: str | bytes) -> str:
    if len(source) > LARGEST_FILE:
        raise _problem(f"the file is larger than {LARGEST_FILE >> 20} MiB: split it")
    if isinstance(source, str):
        source = source.encode("utf-8", "replace")
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise _problem(f"byte {error.start} is no UTF-8: save the file as UTF-8", line) from None


def _json(text: str) -> Any:
    """The value of a JSON text, None for any other: YAML reads JSON's numbers and escapes differently."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except (json.JSONDecodeError, RecursionError, ValueError):
        return None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")  # the YAML reader says it with its line
    return found


def _mapping(data: Any) -> Any:
    if isinstance(data, dict):
        return data
    raise _problem("nothing is declared: write a list under `sites:` or `regions:`", 1)


def _problem(message: str, line: int | None = None, field: str = "file") -> InvalidInputError:
    return InvalidInputError([Problem(field, message, line)])


class _Reader:
    """One YAML document as plain data, with the line of every path in it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: dict[str, int] = {}
        self._left = MOST_NODES
        self._problems: list[Problem] = []

    def read(self) -> tuple[Any, dict[str, int]]:
        loader = None
        try:
            self._refuse_depth()
            loader = LOADER(self._text)
            self._loader = loader
            node = loader.get_single_node()
            data = None if node is None else self._value(node, "", 0)
        except yaml.MarkedYAMLError as error:
            raise _problem(_said(error), _line_of(error.problem_mark)) from None
        except yaml.YAMLError as error:  # a character that YAML does not allow; it has a position but no mark
            position = getattr(error, "position", None)
            line = None if position is None else self._text.count("\n", 0, position) + 1
            raise _problem(f"this is not YAML: {str(error).splitlines()[0]}", line) from None
        finally:
            if loader is not None:
                loader.dispose()
        if self._problems:
            raise InvalidInputError(self._problems)
        return data, self._lines

    def _refuse_depth(self) -> None:
        """Composing is recursive, in C as well: look at the flat events first."""
        depth = 0
        for event in yaml.parse(self._text, Loader=LOADER):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > DEEPEST:
                raise _problem("this is nested too deeply", _line_of(event.start_mark))

    def _value(self, node: yaml.Node, path: str, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > DEEPEST:
            raise _problem("aliases make this too large: write out less, or split the file", _line_of(node.start_mark))
        if isinstance(node, yaml.MappingNode):
            return self._entries(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return self._items(node, path, depth)
        return self._scalar(node, path)

    def _entries(self, node: yaml.MappingNode, path: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for source in self._merges(node, path):
            merged = self._value(source, path, depth + 1) | merged
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                continue
            key = self._scalar(key_node, path) if isinstance(key_node, yaml.ScalarNode) else None
            line = _line_of(key_node.start_mark)
            here = f"{path}.{key}" if path else str(key)
            if not isinstance(key, str):
                self._note(here, "a key is a word: put it in quotes", line)
            elif key in found:
                self._note(here, f"{key!r} is there twice", line)
            else:
                found[key] = self._value(value_node, here, depth + 1)
                self._lines[here] = line
        return merged | found

    def _merges(self, node: yaml.MappingNode, path: str) -> Iterator[yaml.MappingNode]:
        """What `<<:` names: one mapping or several, of which the first counts."""
        named = [value for key, value in node.value if key.tag == MERGE]
        for value in named:
            for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(source, yaml.MappingNode):
                    yield source
                else:
                    self._note(path or "file", "`<<` takes in a mapping: write *name", _line_of(source.start_mark))

    def _items(self, node: yaml.SequenceNode, path: str, depth: int) -> list[Any]:
        items = []
        for position, item in enumerate(node.value):
            here = f"{path}[{position}]"
            items.append(self._value(item, here, depth + 1))
            self._lines[here] = _line_of(item.start_mark)
        return items

    def _scalar(self, node: yaml.Node, path: str) -> Any:
        try:
            return self._loader.construct_object(node)
        except yaml.MarkedYAMLError as error:
            self._note(path or "file", _said(error), _line_of(node.start_mark))
        except (ValueError, LookupError, AttributeError, TypeError):
            # PyYAML's constructors stumble over a 13th month, 5 000 digits or an explicit tag on something else.
            message = f"{node.value[:40]!r} cannot be read: put it in quotes"
            self._note(path or "file", message, _line_of(node.start_mark))
        return None

    def _note(self, field: str, message: str, line: int) -> None:
        self._problems.append(Problem(field, message, line))


def _line_of(mark: Any) -> int:
    return int(mark.line) + 1 if mark is not None else 1


def _said(error: yaml.MarkedYAMLError) -> str:
    return f"this is not YAML: {error.problem or error.context}"
