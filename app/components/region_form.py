"""The form of a region, for adding one and for changing one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.components import problems
from pipeline.vocabulary import Region

FIELDS = ("key", "name", "managed", "source_address", "proxy", "resolvers")


def region_form(form: str, *, region: Region | None, save: Callable[[dict[str, Any]], None]) -> None:
    """Draw the form; a click on its button calls `save` with the fields of `RegionIn`."""
    network = region.network if region else None
    with st.form(form, border=False):
        problems.elsewhere(form, FIELDS)
        st.text_input(
            "Key",
            region.key if region else "",
            key=f"{form}-key",
            placeholder="eu-west",
            disabled=region is not None,
            help="Its short name in URLs, exports and streams. It stays as it is.",
        )
        problems.under(form, "key")
        st.text_input("Name", region.name if region else "", key=f"{form}-name", placeholder="Frankfurt, Hetzner")
        problems.under(form, "name")
        st.toggle(
            "Probed by this workbench",
            region.managed if region else True,
            key=f"{form}-managed",
            help="Off where you run `betterstack prober` for it on another machine.",
        )
        problems.under(form, "managed")
        with st.expander("How its requests leave", expanded=network is not None and network != type(network)()):
            source = network.source_address if network else None
            st.text_input("Source address", source or "", key=f"{form}-source_address", placeholder="192.0.2.10")
            problems.under(form, "source_address")
            proxy = network.proxy if network else None
            st.text_input("Proxy", proxy or "", key=f"{form}-proxy", placeholder="http://host:port")
            problems.under(form, "proxy")
            resolvers = "\n".join(network.resolvers) if network else ""
            st.text_area(
                "DNS servers, one a line", resolvers, key=f"{form}-resolvers", placeholder="9.9.9.9", height=80
            )
            problems.under(form, "resolvers")
        label = "Save" if region else "Add region"
        st.form_submit_button(label, type="primary", key=f"{form}-submit", on_click=_submit, args=(form, save))


def read_fields(form: str) -> dict[str, Any]:
    """What was typed, in the terms of `RegionIn`."""
    typed = {field: st.session_state.get(f"{form}-{field}") for field in FIELDS}
    typed["resolvers"] = [line.strip() for line in (typed["resolvers"] or "").splitlines() if line.strip()]
    return typed | {name: typed[name] or None for name in ("source_address", "proxy")}


def _submit(form: str, save: Callable[[dict[str, Any]], None]) -> None:
    problems.attempt(form, lambda: save(read_fields(form)))
