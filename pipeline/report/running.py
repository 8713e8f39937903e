"""Run a notebook's cells in this process, in a namespace of their own, and keep what each of them shows.

A cell shows what it prints and the value of its last line, in the richest form that the value knows: Vega-Lite of a
chart, HTML of a frame, Markdown, else text. Nothing of the process is redirected, so that an app with several threads
may run one.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Sequence
from functools import partial
from typing import Any

from msgspec import Struct

from pipeline.report.percent import Cell

VEGA_LITE = "application/vnd.vegalite.v6+json"
MARKDOWN, HTML, TEXT = "text/markdown", "text/html", "text/plain"


class Output(Struct, frozen=True):
    """What a cell shows: a kind (a media type) and that; of Vega-Lite a specification as a dict."""

    kind: str
    data: Any


class Ran(Struct, frozen=True):
    """A cell and what it showed."""

    cell: Cell
    outputs: tuple[Output, ...] = ()


def run(notebook: Sequence[Cell]) -> list[Ran]:
    """All cells from top to bottom. What a cell raises goes on to whoever called, and `up` is closed."""
    printed = io.StringIO()
    space: dict[str, Any] = {"__name__": "__notebook__", "print": partial(print, file=printed)}
    try:
        return _run(notebook, space, printed)
    finally:
        if up := space.get("up"):
            up.close()


def _run(notebook: Sequence[Cell], space: dict[str, Any], printed: io.StringIO) -> list[Ran]:
    ran = []
    for number, cell in enumerate(notebook, 1):
        if cell.kind == "markdown":
            ran.append(Ran(cell))
            continue
        value = _value(cell, number, space)
        outputs = [Output(TEXT, printed.getvalue())] if printed.getvalue() else []
        printed.seek(0)
        printed.truncate()
        if value is not None:
            outputs.append(shown(value))
        ran.append(Ran(cell, tuple(outputs)))
    return ran


def _value(cell: Cell, number: int, space: dict[str, Any]) -> object:
    """Run a cell; the value of its last line where that is an expression."""
    tree, name = ast.parse(cell.text), f"<cell {number}>"
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), space)  # noqa: S102 - a notebook of ours
    if last is None:
        return None
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), name, "eval"), space)  # noqa: S307 - the same


def shown(value: Any) -> Output:
    """A value in the richest form that it knows."""
    if hasattr(value, "to_dict") and hasattr(value, "configure_axis"):  # a chart, without loading Altair for others
        return Output(VEGA_LITE, value.to_dict())
    for kind, name in ((MARKDOWN, "_repr_markdown_"), (HTML, "_repr_html_")):
        if method := getattr(value, name, None):
            return Output(kind, method())
    return Output(TEXT, repr(value))
