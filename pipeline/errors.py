"""What can go wrong for the person in front of us. Every message says what to do."""

from __future__ import annotations

from collections.abc import Sequence


class WorkbenchError(Exception):
    """Base of everything we raise on purpose."""


class NotFoundError(WorkbenchError):
    """Something was named that does not exist (any more)."""


class UnavailableError(WorkbenchError):
    """A server that we need cannot be reached; the message says which and how to start it."""


class Problem:
    """One thing wrong with one field: `field` is a path such as `sites[2].interval_s`."""

    def __init__(self, field: str, message: str, line: int | None = None) -> None:
        self.field = field
        self.message = message
        self.line = line

    def __str__(self) -> str:
        where = f"line {self.line}, {self.field}" if self.line else self.field
        return f"{where}: {self.message}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Problem) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.field, self.message, self.line))

    def __repr__(self) -> str:
        return f"Problem({self})"


class InvalidInputError(WorkbenchError):
    """What was sent cannot be used; `problems` names each field. Nothing was changed."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(map(str, self.problems)))
