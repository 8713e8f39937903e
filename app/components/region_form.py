"""The form of a region, for adding one and for changing one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from app.components import problems
from pipeline.declared import RegionIn
from pipeline.store.regions import region_fields
from pipeline.vocabulary import Region

FIELDS = ("key", "name", "managed", "min_probers", "max_probers", "source_address", "proxy", "resolvers", "references")
LISTS = ("resolvers", "references")  # one a line
USUAL = RegionIn(key="usual")


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
        _probers(form, region)
        with st.expander("How its requests leave", expanded=network is not None and network != type(network)()):
            source = network.source_address if network else None
            st.text_input("Source address", source or "", key=f"{form}-source_address", placeholder="192.0.2.10")
            problems.under(form, "source_address")
            proxy = region_fields(region)["proxy"] if region else None
            st.text_input("Proxy", proxy or "", key=f"{form}-proxy", placeholder="http://user:password@host:port")
            problems.under(form, "proxy")
            resolvers = "\n".join(network.resolvers) if network else ""
            st.text_area(
                "DNS servers, one a line", resolvers, key=f"{form}-resolvers", placeholder="9.9.9.9", height=80
            )
            problems.under(form, "resolvers")
            st.text_area(
                "Reference targets, one a line",
                "\n".join(network.references) if network else "",
                key=f"{form}-references",
                placeholder="9.9.9.9:443",
                height=80,
                help="host:port that answer whenever this region's own network is well. When a check fails and none of "
                "them answers, the check says nothing about its site. Without any, the other sites are asked.",
            )
            problems.under(form, "references")
        label = "Save" if region else "Add region"
        st.form_submit_button(label, type="primary", key=f"{form}-submit", on_click=_submit, args=(form, save))


def _probers(form: str, region: Region | None) -> None:
    """How many there may be where we run them; else what to do so that there are any."""
    if region is not None and not region.managed:
        st.caption(f"Its probers run elsewhere: run `betterstack region join-command {region.key}` here, and what it "
                   "prints on the other machine.")  # fmt: skip
    with st.container(horizontal=True):
        for field, label in (("min_probers", "Probers at least"), ("max_probers", "Probers at most")):
            with st.container():
                # No limits of the widget's own: `RegionIn` says what is wrong, in words, below.
                st.number_input(
                    label,
                    value=getattr(region or USUAL, field),
                    step=1,
                    key=f"{form}-{field}",
                    help="Processes of this workbench; they follow the load. Not used for probers elsewhere.",
                )
                problems.under(form, field)


def read_fields(form: str) -> dict[str, Any]:
    """What was typed, in the terms of `RegionIn`."""
    return _fields_of({field: st.session_state.get(f"{form}-{field}") for field in FIELDS})


def shown_fields(region: Region) -> dict[str, Any]:
    """What the form of a region says as long as nobody has typed anything, in the same terms."""
    seen = region_fields(region)
    return _fields_of({name: "\n".join(seen[name]) if name in LISTS else seen[name] for name in FIELDS})


def _fields_of(typed: dict[str, Any]) -> dict[str, Any]:
    """What the form's fields hold, in the terms of `RegionIn`."""
    lists = {name: [line.strip() for line in (typed[name] or "").splitlines() if line.strip()] for name in LISTS}
    return typed | lists | {name: typed[name] or None for name in ("source_address", "proxy")}


def _submit(form: str, save: Callable[[dict[str, Any]], None]) -> None:
    problems.attempt(form, lambda: save(read_fields(form)))
