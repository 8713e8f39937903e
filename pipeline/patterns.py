"""Regular expressions that take linear time (RE2), whatever text they are held against."""

from __future__ import annotations

from typing import Any

import re2

# Bytes that one expression may take, also while it searches. RE2 keeps 128 of them: 64 MB at the very most.
MEMORY = 512 * 1024
STEPS = 1_500  # of a compiled expression, \pL has 1 200: each may cost 10 ms for a body of 2 MiB made for it


def compiled(pattern: str) -> Any:
    """The expression, with `search(bytes)`; kept by the library. Errors: ValueError with advice."""
    options = re2.Options()
    options.max_mem = MEMORY
    options.never_capture = True
    options.log_errors = False
    try:
        found = re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f"this is no regular expression of RE2 ({_words(error)}){_advice(pattern)}") from None
    except UnicodeEncodeError:
        raise ValueError("there is half a character in it, which no text holds: take it out") from None
    if max(found.programsize, found.reverseprogramsize) > STEPS:
        raise ValueError("this expression is too large: write smaller numbers in { }, or several expressions")
    return found


def _words(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    reason, _, where = text.partition(": ")
    return f"{reason} in {where[:40]}" if where else reason


def _advice(pattern: str) -> str:
    if any(ahead in pattern for ahead in ("(?=", "(?!", "(?<=", "(?<!")):
        return ": it has no look-around; write what the text holds, or use body_absent"
    if any(f"\\{digit}" in pattern for digit in range(1, 10)):
        return ": it has no back-references"
    return ": see github.com/google/re2/wiki/Syntax"
