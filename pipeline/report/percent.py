"""A notebook as a percent source (jupytext's py:percent) in cells, and its parameters filled in. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

MARK = re.compile(r"^# %%(?P<rest>.*)$")
TAGS = re.compile(r"tags=(?P<tags>\[[^\]]*\])")
PARAMETERS, INJECTED = "parameters", "injected-parameters"  # papermill's own words


class Cell(Struct, frozen=True):
    """Markdown or code, without the marks of the percent format."""

    kind: Literal["markdown", "code"]
    text: str
    tags: tuple[str, ...] = ()


def cells(source: str) -> list[Cell]:
    """The cells in their order. What is before the first mark (the header) belongs to none."""
    return [cell for cell in _cells(source.splitlines()) if cell.text]


def _cells(lines: Sequence[str]) -> Iterator[Cell]:
    starts = [number for number, line in enumerate(lines) if MARK.match(line)]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        rest, body = lines[start].removeprefix("# %%"), lines[start + 1 : end]
        found = TAGS.search(rest)
        tags = tuple(json.loads(found["tags"])) if found else ()
        if "[markdown]" in rest:
            yield Cell("markdown", "\n".join(line.removeprefix("#").removeprefix(" ") for line in body).strip(), tags)
        else:
            yield Cell("code", "\n".join(body).strip(), tags)


def filled(notebook: Sequence[Cell], parameters: Mapping[str, str]) -> list[Cell]:
    """The notebook with a cell after its defaults that sets the parameters, as papermill does it."""
    told = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    place = next(number for number, cell in enumerate(notebook) if PARAMETERS in cell.tags)
    before = [replace(cell) for cell in notebook[: place + 1]]
    return [*before, Cell("code", told, (INJECTED,)), *notebook[place + 1 :]]
