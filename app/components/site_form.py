"""The form of a site, for adding one and for changing one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app.components import expect_form, fields, problems, request_form
from pipeline.declared import SiteIn
from pipeline.vocabulary import Region, Site

FIELDS = ("url", "name", "key", "interval_s", "timeout_s", "regions", "tags", "method", "expect",
          "confirmations", "spacing_s", "max_redirects", *expect_form.FIELDS, *request_form.FIELDS)  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


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
        fields.text(
            form,
            "url",
            "URL",
            given,
            placeholder="https://example.com/health",
            help_="Or tcp://host:port, up where it takes connections, or tls://host:port, where its certificate holds.",
        )
        left, right = st.columns(2)
        with left:
            fields.text(form, "name", "Name", given, placeholder="what people read")
            fields.number(form, "interval_s", "Check every, in seconds", given, step=10)
        with right:
            fields.text(
                form,
                "key",
                "Key",
                given,
                placeholder="made from the URL",
                disabled=site is not None,
                help_="Its short name in URLs, exports and notebooks. It stays as it is.",
            )
            fields.number(
                form, "timeout_s", "Give up after, in seconds", given, step=1.0, placeholder="10, or the interval"
            )
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
            args=(form, save),
        )


def _advanced(form: str, given: dict[str, Any]) -> None:
    left, right = st.columns(2)
    with left:
        st.selectbox("Method", METHODS, METHODS.index(given["method"]), key=f"{form}-method")
        problems.under(form, "method")
        fields.number(form, "confirmations", "Confirm a failure, times", given, step=1)
    with right:
        fields.text(form, "expect", "Expected status", given, help_="Statuses and ranges: 200-299, 404")
        fields.number(form, "spacing_s", "Seconds between confirmations", given, step=1.0)
    fields.number(form, "max_redirects", "Follow redirects, at most", given, step=1)
    expect_form.draw(form, given)
    request_form.draw(form, given)


def _has_advanced_problem(form: str) -> bool:
    shown = ("method", "expect", "confirmations", "spacing_s", "max_redirects")
    advanced = {*shown, *expect_form.FIELDS, *request_form.FIELDS}
    return any(field in advanced for field, _ in st.session_state.get(f"problems-{form}", []))


def site_values(site: Site | None) -> dict[str, Any]:
    """What the form's fields show at first."""
    if site is None:
        default = {name: field.default for name, field in SiteIn.model_fields.items()}
        names = ("interval_s", "confirmations", "spacing_s", "max_redirects", "method")
        texts = {"url": "", "name": "", "key": "", "expect": "200-399"}
        empty: dict[str, Any] = {"timeout_s": None, "regions": [], "tags": []}
        parts = expect_form.values(None) | request_form.values(None)
        return {name: default[name] for name in names} | texts | empty | parts
    plain = ("url", "name", "key", "interval_s", "timeout_s", "confirmations", "spacing_s", "max_redirects", "method")
    return {name: getattr(site, name) for name in plain} | {
        "regions": site.regions or [],
        "tags": site.tags,
        "expect": ", ".join(site.expect.get("status", ["200-399"])),
        **expect_form.values(site),
        **request_form.values(site),
    }


def read_fields(form: str) -> dict[str, Any]:
    """What was typed, in the terms of `SiteIn`."""
    return fields_of({field: st.session_state.get(f"{form}-{field}") for field in FIELDS})


def shown_fields(site: Site) -> dict[str, Any]:
    """What the form of a site says as long as nobody has typed anything, in the same terms."""
    return fields_of(site_values(site))


def fields_of(typed: dict[str, Any]) -> dict[str, Any]:
    """What the form's fields hold, in the terms of `SiteIn`."""
    read_below = ("expect", "regions", *expect_form.FIELDS, *request_form.FIELDS)
    found = {name: value for name, value in typed.items() if name not in read_below}
    found |= request_form.read(typed)
    found["regions"] = typed["regions"] or None
    status = [part.strip() for part in (typed["expect"] or "").split(",") if part.strip()]
    found["expect"] = {"status": status} | expect_form.read(typed)
    if found["timeout_s"] is None:
        del found["timeout_s"]
    return found


def _submit(form: str, save: Callable[[dict[str, Any]], None]) -> None:
    problems.attempt(form, lambda: save(read_fields(form)))
