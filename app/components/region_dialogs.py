"""The dialogs about regions: add, edit, remove."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data
from app.components import dialogs, flash, meanwhile, problems
from app.components.region_form import region_form, shown_fields
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


@dialogs.dialog("Add a region")
def _add() -> None:
    st.caption("Sites that follow all regions are checked from it within seconds.")
    region_form(FORM, region=None, save=_save_new)


@dialogs.dialog("Region")
def _edit(key: str) -> None:
    region = dialogs.began_with("region", lambda: data.region(key))
    dialogs.began_with("base", lambda: meanwhile.open_with(FORM, shown_fields(region)))
    region_form(FORM, region=region, save=lambda fields: _save_changed(key, fields))


@dialogs.dialog("Remove")
def _delete(key: str) -> None:
    st.markdown(f"Stop checking from **{plain(key)}**?")
    st.caption("Its prober, its streams and its schedule end. What was recorded stays.")
    problems.elsewhere("region-delete", ())
    with st.container(horizontal=True):
        st.button("Remove", type="primary", key="region-delete-yes", on_click=_delete_now, args=(key,))
        st.button("Keep", key="region-delete-no", on_click=dialogs.close)


def _save_new(fields: dict[str, Any]) -> None:
    region = data.add_region(fields)
    flash.say(f"{plain(region.name)} is added; {_next_step(region)}.", to_do=not region.managed)
    dialogs.close()


def _save_changed(key: str, fields: dict[str, Any]) -> None:
    changed = meanwhile.changed(FORM, fields)
    region = data.change_region(key, changed, lambda now: meanwhile.check(FORM, fields, shown_fields(now)))
    elsewhere = "" if region.managed else f" Its probers are elsewhere: {_next_step(region)}."
    flash.say(f"{plain(region.name)} is saved.{elsewhere}", to_do=not region.managed)
    dialogs.close()


def _next_step(region: Region) -> str:
    if region.managed:
        return "its prober starts within seconds"
    return f"run `betterstack region join-command {region.key}` here, and what it prints there"


def _delete_now(key: str) -> None:
    if problems.attempt("region-delete", lambda: data.delete_region(key)):
        flash.say(f"{plain(key)} is removed.")
        dialogs.close()
