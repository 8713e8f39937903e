"""The dialogs about objectives: add, edit, remove."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data
from app.components import dialogs, flash, meanwhile, problems
from app.components.objective_form import objective_form, shown_fields
from app.components.words import plain

FORM = "objective-form"


def open_add() -> None:
    problems.forget(FORM)
    dialogs.open_("objective-add")


def open_edit(key: str) -> None:
    problems.forget(FORM)
    dialogs.open_("objective-edit", key=key)


def open_delete(key: str) -> None:
    problems.forget("objective-delete")
    dialogs.open_("objective-delete", key=key)


def draw_open() -> None:
    """Draw the dialog that is open, if one is."""
    name, about = dialogs.current()
    match name:
        case "objective-add":
            _add()
        case "objective-edit":
            _edit(about["key"])
        case "objective-delete":
            _delete(about["key"])


@dialogs.dialog("Add an objective")
def _add() -> None:
    st.caption("What was measured already counts: its budget is there at once.")
    objective_form(FORM, objective=None, save=_save_new)


@dialogs.dialog("Objective")
def _edit(key: str) -> None:
    objective = dialogs.began_with("objective", lambda: data.objective(key))
    dialogs.began_with("base", lambda: meanwhile.open_with(FORM, shown_fields(objective)))
    objective_form(FORM, objective=objective, save=lambda fields: _save_changed(key, fields))


@dialogs.dialog("Remove")
def _delete(key: str) -> None:
    st.markdown(f"Take the promise **{plain(key)}** back?")
    st.caption("Nobody is told of its budget any more. What was told stays in the history.")
    problems.elsewhere("objective-delete", ())
    with st.container(horizontal=True):
        st.button("Remove", type="primary", key="objective-delete-yes", on_click=_delete_now, args=(key,))
        st.button("Keep", key="objective-delete-no", on_click=dialogs.close)


def _save_new(fields: dict[str, Any]) -> None:
    objective = data.add_objective(fields)
    flash.say(f"{plain(objective.name)} promises {objective.promise}.")
    dialogs.close()


def _save_changed(key: str, fields: dict[str, Any]) -> None:
    changed = meanwhile.changed(FORM, fields)
    objective = data.change_objective(key, changed, lambda now: meanwhile.check(FORM, fields, shown_fields(now)))
    flash.say(f"{plain(objective.name)} promises {objective.promise}.")
    dialogs.close()


def _delete_now(key: str) -> None:
    if problems.attempt("objective-delete", lambda: data.delete_objective(key)):
        flash.say(f"{plain(key)} is removed.")
        dialogs.close()
