"""The dialogs about regions: add, edit, remove."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data
from app.components import dialogs, flash, problems
from app.components.region_form import region_form
from app.components.words import plain
from pipeline.vocabulary import Region

FORM = "region"


def open_add() -> None:
    problems.forget(FORM)
    dialogs.open_("region-add")


def open_edit(key: str) -> None:
    problems.forget(FORM)
    dialogs.open_("region-edit", key=key)


def open_delete(key: str) -> None:
    problems.forget("region-delete")
    dialogs.open_("region-delete", key=key)


def draw_open() -> None:
    """Draw the dialog that is open, if one is."""
    name, about = dialogs.current()
    match name:
        case "region-add":
            _add()
        case "region-edit":
            _edit(about["key"])
        case "region-delete":
            _delete(about["key"])


@st.dialog("Add a region", on_dismiss=dialogs.close)
def _add() -> None:
    dialogs.leave_if_closed()
    st.caption("Sites that follow all regions are checked from it within seconds.")
    region_form(FORM, region=None, save=_save_new)


@st.dialog("Region", on_dismiss=dialogs.close)
def _edit(key: str) -> None:
    dialogs.leave_if_closed()
    region = next((region for region in data.all_regions() if region.key == key), None)
    region_form(FORM, region=region, save=lambda fields: _save_changed(key, fields))


@st.dialog("Remove", on_dismiss=dialogs.close)
def _delete(key: str) -> None:
    dialogs.leave_if_closed()
    st.markdown(f"Stop checking from **{plain(key)}**?")
    st.caption("Its prober, its streams and its schedule end. What was recorded stays.")
    problems.elsewhere("region-delete", ())
    with st.container(horizontal=True):
        st.button("Remove", type="primary", key="region-delete-yes", on_click=_delete_now, args=(key,))
        st.button("Keep", key="region-delete-no", on_click=dialogs.close)


def _save_new(fields: dict[str, Any]) -> None:
    region = data.add_region(fields)
    flash.say(f"{plain(region.name)} is added; {_next_step(region)}.")
    dialogs.close()


def _save_changed(key: str, fields: dict[str, Any]) -> None:
    region = data.change_region(key, fields)
    elsewhere = "" if region.managed else f" Its probers are elsewhere: {_next_step(region)}."
    flash.say(f"{plain(region.name)} is saved.{elsewhere}")
    dialogs.close()


def _next_step(region: Region) -> str:
    if region.managed:
        return "its prober starts within seconds"
    return f"run `betterstack region join-command {region.key}` here, and what it prints there"


def _delete_now(key: str) -> None:
    if problems.attempt("region-delete", lambda: data.delete_region(key)):
        flash.say(f"{plain(key)} is removed.")
        dialogs.close()
