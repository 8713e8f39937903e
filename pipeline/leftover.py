"""Which lines of a text are left when what could be taken of it was taken: as text, to be mended and taken next."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from msgspec import Struct

from pipeline.csv_foreign import headerless
from pipeline.csv_sites import read_header
from pipeline.understood import TOO_MANY, Form, Understood


class Leftover(Struct, frozen=True):
    """`text` stands for `lines` lines that were not taken; with them a table's header, or it could not be read."""

    text: str = ""
    lines: int = 0


def leftover(text: str, understood: Understood) -> Leftover:
    """What of the text `understood` has problems with. A declared file is taken as a whole, so nothing of it is."""
    if not understood.problems or understood.form is Form.DECLARED:
        return Leftover()
    if understood.form is Form.SITEMAP:  # its pages have no lines
        pages = list(dict.fromkeys(problem.field for problem in understood.problems))
        return Leftover("\n".join(pages), len(pages))
    return _of_table(text, understood) if understood.form is Form.TABLE else _of_lines(text, understood)


def _of_lines(text: str, understood: Understood) -> Leftover:
    end = _end(understood)
    pieces: dict[int, list[str]] = {}
    for problem in understood.problems:
        if problem.line and problem.field and problem.line < end:
            pieces.setdefault(problem.line, []).append(problem.field)
    left = []
    for number, line in enumerate(text.splitlines(), start=1):
        if number >= end and line.strip():
            left.append(line)
        elif number in pieces:  # of several on a line those that are wrong
            left.append(" ".join(dict.fromkeys(pieces[number])))
    return Leftover("\n".join(left), len(left))


def _of_table(text: str, understood: Understood) -> Leftover:
    header = read_header(text) or headerless(text)
    wrong = {problem.line for problem in understood.problems}
    if header is None or "url" not in header.fields:
        return Leftover(text, len(text.splitlines()))
    end, first, left = _end(understood), "", []
    for begins, row in _rows(text, header.delimiter):
        if not row.strip():
            continue
        if not first and not header.bare:
            first = row
        elif begins in wrong or begins >= end:
            left.append(row)
    lines = left if header.bare else [first, *left]
    return Leftover("\n".join(lines), len(left)) if left else Leftover()


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, str]]:
    """Each row as it is written, which may be several lines, with its first line's number."""
    lines = text.splitlines()
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    begins = 0
    try:
        for _ in reader:
            yield begins + 1, "\n".join(lines[begins : reader.line_num])
            begins = reader.line_num
    except csv.Error:  # from here on nothing can be read
        yield begins + 1, "\n".join(lines[begins:])


def _end(understood: Understood) -> float:
    """The line from which on nothing is taken, since it is too much at once."""
    ends = (problem.line for problem in understood.problems if problem.message == TOO_MANY and problem.line)
    return min(ends, default=float("inf"))
