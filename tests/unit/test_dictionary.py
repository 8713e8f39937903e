"""The data dictionary is the frames', word for word."""

from __future__ import annotations

import pytest

from pipeline.dictionary import DICTIONARY, entries, markdown
from pipeline.errors import NotFoundError


def test_every_column_has_a_type_and_a_meaning() -> None:
    found = entries()
    assert {(each.frame, each.column) for each in found} == {(f, c) for f, frame in DICTIONARY.items() for c in frame}
    assert all(each.about.endswith(".") and each.type for each in found)


def test_markdown_has_a_table_a_frame() -> None:
    text = markdown(["ticks"])
    assert text.count("## ") == 1
    assert "| `latency_ms` | Float32 | ms | The whole attempt. |" in text


def test_an_unknown_frame_names_the_near_ones() -> None:
    with pytest.raises(NotFoundError, match="'tick'; there are: ticks"):
        entries(["tick"])
