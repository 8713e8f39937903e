"""What a report says beside its charts: Markdown with values in it, and tables for people. Jupyter shows both, too."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import polars as pl

from pipeline.analysis.claims import NOTHING

_SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&@/])")
Write = Callable[[Any], str]


class Markdown:
    """Text that is shown as Markdown. What somebody else wrote goes in by `plain`."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


class Table:
    """A frame as a plain table: no types, no cut rows; each column by its heading, written as people read it."""

    def __init__(self, frame: pl.DataFrame, columns: Mapping[str, tuple[str, Write]]) -> None:
        self.headings = [heading for heading, _ in columns.values()]
        self.rows = [
            [NOTHING if row[name] is None else write(row[name]) for name, (_, write) in columns.items()]
            for row in frame.iter_rows(named=True)
        ]

    def __repr__(self) -> str:
        return "\n".join("\t".join(row) for row in [self.headings, *self.rows])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(each)}</th>" for each in self.headings)
        rows = ["<tr>" + "".join(f"<td>{escape(each)}</td>" for each in row) + "</tr>" for row in self.rows]
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def plain(text: str) -> str:
    """Text that somebody else wrote, for Markdown: shown as it is, never a link, a picture or a tag."""
    return _SPECIAL.sub(r"\\\1", text.replace("\n", " "))
