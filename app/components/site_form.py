"""The form of a site, for adding one and for changing one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app.components import problems
from pipeline.declared import SiteIn
from pipeline.vocabulary import Region, Site

FIELDS = ("url", "name", "key", "interval_s", "timeout_s", "regions", "tags", "method", "expect", "headers",
          "confirmations", "spacing_s", "max_redirects")  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HIDDEN = "••••••"  # stands for a header's value: whoever sees the page need not see the secret


def site_form(
    form: str,
    *,
    site: Site | None,
    regions: Sequence[Region],
    tags: Sequence[str],
    save: Callable[[dict[str, Any]], None],
) -> None:
    """Draw the form; a click on its button reads it and calls `save` with the fields of `SiteIn`."""
    given = site_values(site)
    with st.form(form, border=False):
        problems.elsewhere(form, FIELDS)
        st.text_input("URL", given["url"], key=f"{form}-url", placeholder="https://example.com/health")
        problems.under(form, "url")
        left, right = st.columns(2)
        with left:
            st.text_input("Name", given["name"], key=f"{form}-name", placeholder="what people read")
            problems.under(form, "name")
            _number(form, "interval_s", "Check every, in seconds", given, step=10)
        with right:
            st.text_input(
                "Key",
                given["key"],
                key=f"{form}-key",
                placeholder="made from the URL",
                disabled=site is not None,
                help="Its short name in URLs, exports and notebooks. It stays as it is.",
            )
            problems.under(form, "key")
            _number(form, "timeout_s", "Give up after, in seconds", given, step=1.0, placeholder="10, or the interval")
        st.multiselect(
            "Regions",
            [region.key for region in regions],
            given["regions"],
            key=f"{form}-regions",
            placeholder="All regions, also those added later",
        )
        problems.under(form, "regions")
        st.multiselect(
            "Tags",
            sorted({*tags, *given["tags"]}),
            given["tags"],
            key=f"{form}-tags",
            accept_new_options=True,
            placeholder="Type a word and press Enter",
        )
        problems.under(form, "tags")
        with st.expander("Request, expected answer, confirmations", expanded=_has_advanced_problem(form)):
            _advanced(form, given)
        st.form_submit_button(
            "Save" if site else "Add site",
            type="primary",
            key=f"{form}-submit",
            on_click=_submit,
            args=(form, site, save),
        )


def _advanced(form: str, given: dict[str, Any]) -> None:
    left, right = st.columns(2)
    with left:
        st.selectbox("Method", METHODS, METHODS.index(given["method"]), key=f"{form}-method")
        problems.under(form, "method")
        _number(form, "confirmations", "Confirm a failure, times", given, step=1)
    with right:
        st.text_input(
            "Expected status", given["expect"], key=f"{form}-expect", help="Statuses and ranges: 200-299, 404"
        )
        problems.under(form, "expect")
        _number(form, "spacing_s", "Seconds between confirmations", given, step=1.0)
    _number(form, "max_redirects", "Follow redirects, at most", given, step=1)
    st.text_area(
        "Headers",
        given["headers"],
        key=f"{form}-headers",
        placeholder="Accept: application/json",
        height=90,
        help="One a line, as Name: value. Values are not shown again; a dotted one stays as it was.",
    )
    problems.under(form, "headers")


def _number(form: str, field: str, label: str, given: dict[str, Any], *, step: float, placeholder: str = "") -> None:
    """A number without limits of its own: what is allowed is said by the one definition, in its words."""
    st.number_input(label, value=given[field], step=step, key=f"{form}-{field}", placeholder=placeholder or None)
    problems.under(form, field)


def _has_advanced_problem(form: str) -> bool:
    advanced = {"method", "expect", "headers", "confirmations", "spacing_s", "max_redirects"}
    return any(field in advanced for field, _ in st.session_state.get(f"problems-{form}", []))


def site_values(site: Site | None) -> dict[str, Any]:
    """What the form's fields show at first."""
    if site is None:
        default = {name: field.default for name, field in SiteIn.model_fields.items()}
        names = ("interval_s", "confirmations", "spacing_s", "max_redirects", "method")
        texts = {"url": "", "name": "", "key": "", "expect": "200-399", "headers": ""}
        return {name: default[name] for name in names} | texts | {"timeout_s": None, "regions": [], "tags": []}
    plain = ("url", "name", "key", "interval_s", "timeout_s", "confirmations", "spacing_s", "max_redirects", "method")
    return {name: getattr(site, name) for name in plain} | {
        "regions": site.regions or [],
        "tags": site.tags,
        "expect": ", ".join(site.expect.get("status", ["200-399"])),
        "headers": "\n".join(f"{name}: {HIDDEN}" for name in site.headers),
    }


def read_fields(form: str, site: Site | None) -> dict[str, Any]:
    """What was typed, in the terms of `SiteIn`."""
    typed = {field: st.session_state.get(f"{form}-{field}") for field in FIELDS}
    fields = {name: value for name, value in typed.items() if name not in ("expect", "headers", "regions")}
    fields["regions"] = typed["regions"] or None
    fields["expect"] = {"status": [part.strip() for part in (typed["expect"] or "").split(",") if part.strip()]}
    fields["headers"] = read_headers(typed["headers"] or "", site.headers if site else {})
    if fields["timeout_s"] is None:
        del fields["timeout_s"]
    return fields


def read_headers(text: str, before: dict[str, str]) -> dict[str, str]:
    """`Name: value` by line; a hidden value is the one from before."""
    lines = [line.partition(":") for line in text.splitlines() if line.strip()]
    headers = {name.strip(): value.strip() for name, _, value in lines}
    return {name: before.get(name, value) if value == HIDDEN else value for name, value in headers.items()}


def _submit(form: str, site: Site | None, save: Callable[[dict[str, Any]], None]) -> None:
    problems.attempt(form, lambda: save(read_fields(form, site)))
