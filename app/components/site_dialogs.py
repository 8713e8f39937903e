"""The dialogs about sites: add one, paste many, edit, delete. Both pages of sites use them."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import data
from app.components import dialogs, first_run, flash, meanwhile, problems
from app.components.box import Store
from app.components.paste import paste_box
from app.components.site_form import shown_fields, site_form
from app.components.words import plain
from pipeline.understood import Understood

FORM = "site"


def open_add() -> None:
    problems.forget(FORM)
    dialogs.open_("add")


def open_paste() -> None:
    problems.forget("many")
    dialogs.open_("paste")


def open_edit(key: str) -> None:
    problems.forget(FORM)
    dialogs.open_("edit", key=key)


def open_delete(keys: list[str]) -> None:
    dialogs.open_("delete", keys=keys)


def draw_open() -> None:
    """Draw the dialog that is open, if one is."""
    name, about = dialogs.current()
    match name:
        case "add":
            _add()
        case "paste":
            _paste()
        case "edit":
            _edit(about["key"])
        case "delete":
            _delete(about["keys"])


@dialogs.dialog("Add a site", width="medium")
def _add() -> None:
    site_form(FORM, site=None, regions=data.all_regions(), tags=list(data.tags()), save=_save_new)


@dialogs.dialog("Paste many", width="medium")
def _paste() -> None:
    store = Store(data.known, data.read_sitemap, _save_many)
    paste_box("many", regions=data.all_regions(), store=store, tags=list(data.tags()), height=180)


@dialogs.dialog("Settings", width="medium")
def _edit(key: str) -> None:
    site = dialogs.began_with("site", lambda: data.site(key))
    dialogs.began_with("base", lambda: meanwhile.open_with(FORM, shown_fields(site)))
    site_form(
        FORM,
        site=site,
        regions=data.all_regions(),
        tags=list(data.tags()),
        save=lambda fields: _save_changed(key, fields),
    )


@dialogs.dialog("Delete")
def _delete(keys: list[str]) -> None:
    named = ", ".join(f"**{plain(key)}**" for key in keys[:10]) + (
        f" and {len(keys) - 10} more" if len(keys) > 10 else ""
    )
    st.markdown(f"Stop checking {named}?")
    st.caption("Nothing is checked any more from now on. What was recorded stays in exports and notebooks.")
    problems.elsewhere("delete", ())
    with st.container(horizontal=True):
        label = "Delete" if len(keys) == 1 else f"Delete {len(keys)} sites"
        st.button(label, type="primary", key="delete-yes", on_click=_delete_now, args=(keys,))
        st.button("Keep", key="delete-no", on_click=dialogs.close)


def _save_new(fields: dict[str, Any]) -> None:
    site = data.add_site(fields)
    first_run.watch([site.key])
    flash.say(f"{plain(site.name)} is added; its first check is on its way.")
    dialogs.close()


def _save_many(understood: Understood, left: int) -> None:
    first_run.add(understood, left)
    if not left:  # else it stays open with what is to be mended
        dialogs.close()


def _save_changed(key: str, fields: dict[str, Any]) -> None:
    changed = meanwhile.changed(FORM, fields)
    site = data.change_site(key, changed, lambda now: meanwhile.check(FORM, fields, shown_fields(now)))
    flash.say(f"{plain(site.name)} is saved.")
    dialogs.close()


def _delete_now(keys: list[str]) -> None:
    if problems.attempt("delete", lambda: data.delete(keys)):
        st.session_state["deleted"] = keys  # for a page about one of them
        flash.say(f"{plain(keys[0])} is deleted." if len(keys) == 1 else f"{len(keys)} sites are deleted.")
        dialogs.close()
