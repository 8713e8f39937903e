"""The form of an objective, for adding one and for changing one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app import data
from app.components import problems
from pipeline.declared_objectives import objective_fields
from pipeline.errors import InvalidInputError, Problem
from pipeline.objectives import SPENDS, Objective, read_share, written_share

FIELDS = ("key", "name", "about", "target", "window", "tz", "policy")
MONTH = "the calendar month"
WINDOWS = (7, 28, 30, 90, 365)
POLICIES = {"default": "Down spends the budget", "strict": "Down and degraded spend it"}
USUAL = Objective(0, "", "", 0.999)


def objective_form(form: str, *, objective: Objective | None, save: Callable[[dict[str, Any]], None]) -> None:
    """Draw the form; a click on its button calls `save` with the fields of `ObjectiveIn`."""
    given = objective or USUAL
    with st.form(form, border=False):
        problems.elsewhere(form, (*FIELDS, "site", "tag", "window_days"))
        st.text_input(
            "Key",
            given.key,
            key=f"{form}-key",
            placeholder="shop-30d",
            disabled=objective is not None,
            help="Its short name in URLs and exports. It stays as it is.",
        )
        problems.under(form, "key")
        st.text_input("Name", given.name, key=f"{form}-name", placeholder="The shop, as sold")
        problems.under(form, "name")
        _pick(form, "about", "About", _subjects(given), _subject(given), "A tag stands for the mean of all its sites.")
        for field in ("site", "tag"):
            problems.under(form, field)
        st.text_input("Target", written_share(given.target), key=f"{form}-target", help="Such as 99.9 %.")
        problems.under(form, "target")
        _pick(
            form, "window", "Over", _windows(given), _window(given), "A window of days ends now and moves on with it."
        )
        problems.under(form, "window_days")
        st.text_input(
            "Time zone", given.tz, key=f"{form}-tz", help="In which a calendar month begins, such as Europe/Berlin."
        )
        problems.under(form, "tz")
        st.selectbox(
            "What spends it",
            list(SPENDS),
            list(SPENDS).index(given.policy),
            key=f"{form}-policy",
            format_func=lambda policy: POLICIES.get(policy, policy),
        )
        problems.under(form, "policy")
        label = "Save" if objective else "Add objective"
        st.form_submit_button(label, type="primary", key=f"{form}-submit", on_click=_submit, args=(form, save))


def _pick(form: str, field: str, label: str, options: Sequence[str], given: str | None, help_: str) -> None:
    index = options.index(given) if given in options else None
    st.selectbox(label, options, index, key=f"{form}-{field}", help=help_, placeholder="Pick one")


def _subject(objective: Objective) -> str | None:
    if objective.site is not None:
        return f"site {objective.site}"
    return None if objective.tag is None else f"tag {objective.tag}"


def _subjects(objective: Objective) -> list[str]:
    """Every site and tag; what an objective is about already stays there to be picked, even if it is gone."""
    there = [*(f"site {key}" for key in data.site_keys()), *(f"tag {tag}" for tag in data.tags())]
    own = _subject(objective)
    return there if own is None or own in there else [own, *there]


def _window(objective: Objective) -> str:
    return MONTH if objective.window_days is None else f"{objective.window_days} days"


def _windows(objective: Objective) -> list[str]:
    days = sorted({*WINDOWS, *([objective.window_days] if objective.window_days else [])})
    return [*(f"{each} days" for each in days), MONTH]


def read_fields(form: str) -> dict[str, Any]:
    """What was typed, in the terms of `ObjectiveIn`. Errors: InvalidInputError."""
    typed = {field: st.session_state.get(f"{form}-{field}") for field in FIELDS}
    kind, _, name = (typed["about"] or "").partition(" ")
    try:
        target = read_share(typed["target"] or "")
    except ValueError as error:
        raise InvalidInputError([Problem("target", str(error))]) from None
    return {
        **{field: typed[field] for field in ("key", "name", "tz", "policy")},
        "site": name if kind == "site" else None,
        "tag": name if kind == "tag" else None,
        "target": target,
        "window_days": None if typed["window"] == MONTH else int(str(typed["window"]).split()[0]),
    }


def shown_fields(objective: Objective) -> dict[str, Any]:
    """What the form says as long as nobody has typed anything, in the same terms."""
    return objective_fields(objective)


def _submit(form: str, save: Callable[[dict[str, Any]], None]) -> None:
    problems.attempt(form, lambda: save(read_fields(form)))
