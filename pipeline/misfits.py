"""Data that fits no model: what is wrong with it, a problem a field, in our words rather than pydantic's."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.applicable import MisplacedError
from pipeline.errors import InvalidInputError, Problem

M = TypeVar("M", bound=BaseModel)
# The field that is named where a rule is over several of a model.
RULED = {"SiteIn": "timeout_s", "RegionIn": "max_probers"}


class MisfitError(InvalidInputError):
    """Data that fits no model; of a whole file's, some entries may."""

    def __init__(self, problems: list[Problem], data: object) -> None:
        super().__init__(problems)
        self._data = data

    def fitting(self, kind: Literal["regions", "sites"], model: type[M]) -> dict[str, M]:
        """The entries that fit on their own, by their places: `sites[2].`."""
        found = {}
        for position, entry in enumerate(self._entries(kind)):
            with suppress(ValidationError):
                found[f"{kind}[{position}]."] = model.model_validate(entry)
        return found

    def keys(self, kind: Literal["regions", "sites"]) -> set[str]:
        """The keys of all entries."""
        return {
            str(entry["key"]).strip() for entry in self._entries(kind) if isinstance(entry, dict) and "key" in entry
        }

    def _entries(self, kind: str) -> list[Any]:
        entries = self._data.get(kind) if isinstance(self._data, Mapping) else None
        return entries if isinstance(entries, list) else []


def problems_of(error: ValidationError) -> list[Problem]:
    return [problem for each in error.errors() for problem in _problems(each, getattr(error, "title", ""))]


def _problems(error: Any, title: str) -> list[Problem]:
    path = _path(error["loc"])
    cause = error.get("ctx", {}).get("error")
    if isinstance(cause, MisplacedError):
        return [Problem(f"{path}.{field}" if path else field, message) for field, message in cause.misplaced]
    return [Problem(path or RULED.get(title, "input"), _message(error))]


def _path(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


_NUMBER, _WHOLE, _YES_NO = "must be a number", "must be a whole number", "must be true or false"
_ONE_OF, _FIELDS = "must be {expected}", "must be fields with their values"
MESSAGES = {
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "greater_than": "must be more than {gt}",
    "int_parsing": _WHOLE,
    "int_type": _WHOLE,
    "int_from_float": _WHOLE,
    "int_parsing_size": _WHOLE,
    "float_parsing": _NUMBER,
    "float_type": _NUMBER,
    "finite_number": _NUMBER,
    "bool_parsing": _YES_NO,
    "bool_type": _YES_NO,
    "string_type": "must be text",
    "string_too_long": "must have {max_length} characters or fewer",
    "too_long": "must have {max_length} entries or fewer",
    "too_short": "must have {min_length} entries or more",
    "literal_error": _ONE_OF,
    "enum": _ONE_OF,
    "list_type": "must be a list",
    "dict_type": "must be names with their values",
    "model_type": _FIELDS,
    "model_attributes_type": _FIELDS,
}


def _message(error: Any) -> str:
    match error["type"]:
        case "extra_forbidden":
            return "there is no such field"
        case "missing":
            return "this field is needed"
        case "string_pattern_mismatch":
            return "use a-z, 0-9 and -, up to 63 characters, and begin with a letter or digit"
        case "value_error":
            return str(error["ctx"]["error"])
        case kind if template := MESSAGES.get(kind):
            limits = error.get("ctx", {}).items()
            return template.format_map({n: int(v) if isinstance(v, float) and v.is_integer() else v for n, v in limits})
        case _:
            message = str(error["msg"])
            return message[:1].lower() + message[1:]
