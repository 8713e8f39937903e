"""What was wrong with what somebody typed, shown at the field where it was typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import streamlit as st

from app.components.words import plain
from pipeline.errors import InvalidInputError, NotFoundError, Problem, UnavailableError

LABELS = {"timeout_s": "Give up after", "interval_s": "Check every"}
COUNTS = {"min_probers": "Probers at least", "max_probers": "Probers at most"}
_LIMITS = (
    (r"must be (\S+) or more", r"at least \1"),
    (r"must be (\S+) or less", r"at most \1"),
    (r"must be more than (\S+)", r"more than \1"),
)
WHOLE = ""  # problems of no field, or of one that the form does not show


def attempt(form: str, act: Callable[[], None]) -> bool:
    """Do it, and keep what is wrong with it for `under`. Returns whether it was done."""
    st.session_state.pop(_key(form), None)
    try:
        act()
    except InvalidInputError as error:
        st.session_state[_key(form)] = [(_field(p.field), _told(p)) for p in error.problems]
    except NotFoundError as error:
        st.session_state[_key(form)] = [(WHOLE, f"{str(error).partition(';')[0]} any more: it was deleted meanwhile")]
    except UnavailableError as error:
        st.session_state[_key(form)] = [(WHOLE, str(error))]
    else:
        return True
    return False


def under(form: str, field: str) -> None:
    """Say at this place what is wrong with `field`."""
    for name, message in st.session_state.get(_key(form), []):
        if name == field:
            st.markdown(f":red[✕ {plain(_worded(field, message))}]")


def elsewhere(form: str, shown: Iterable[str]) -> None:
    """Say what is wrong with fields that have no place of their own."""
    places = set(shown)
    for name, message in st.session_state.get(_key(form), []):
        if name not in places:
            said = plain(_worded(name, message))
            st.error(f"{plain(name)}: {said}" if name else said)


def forget(form: str) -> None:
    st.session_state.pop(_key(form), None)


def _key(form: str) -> str:
    return f"problems-{form}"


def _worded(field: str, message: str) -> str:
    """The message in the words of the form: limits of a time with their unit, and labels for the names of fields."""
    for pattern, words in _LIMITS if field.endswith("_s") else ():
        said, found = re.subn(f"^{pattern}$", words, message)
        if found:
            return f"{said} second" if said.endswith(" 1") else f"{said} seconds"
    message = re.sub(r"\b(min_probers|max_probers) \((\S+)\)", lambda m: f"“{COUNTS[m[1]]}” ({m[2]})", message)
    return re.sub(r"\b(timeout_s|interval_s) \((\S+)\)", lambda m: f"“{LABELS[m[1]]}” ({m[2]} s)", message)


def _field(path: str) -> str:
    """`sites[0].expect.status[1]` is the form's `expect`, `expect.json[0]` `expect_json`, `headers.X` `headers`."""
    first, *rest = re.split(r"[.\[]", re.sub(r"^sites\[\d+\]\.", "", path))
    return f"expect_{rest[0]}" if first == "expect" and rest and rest[0] != "status" else first


def _told(problem: Problem) -> str:
    """The message, with the line that it is about where a field has one a line."""
    line = re.search(r"\bexpect\.(?!status)\w+\[(\d+)\]$", problem.field)
    return f"line {int(line[1]) + 1}: {problem.message}" if line else problem.message
