"""The part of a site's form about what is sent and how: headers, body, who we say we are, certificates, addresses.

Secrets are shown as `sealed:…`, made from what is stored without any key. Left so, a secret stays as it was.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.components import fields, problems
from pipeline.store.sites import site_fields
from pipeline.vocabulary import Site

FIELDS = ("headers", "body", "auth", "username", "secret", "client_certificate", "verify_tls", "family")
SIGN_INS = {"none": "Nobody", "basic": "A user with a password (basic)", "bearer": "A token (bearer)"}
FAMILIES = {"any": "Any address, the faster family first", "ipv4": "IPv4 only", "ipv6": "IPv6 only"}
STAYS = "It is kept sealed and not shown again: left as `sealed:…` it stays as it was, typed over it is replaced."
NEW: dict[str, Any] = {
    "headers": "",
    "body": "",
    "auth": "none",
    "username": "",
    "secret": "",
    "client_certificate": "",
    "verify_tls": True,
    "family": "any",
}


def draw(form: str, given: dict[str, Any]) -> None:
    """The fields; `given` holds what they show at first."""
    fields.area(
        form,
        "headers",
        "Headers",
        given,
        placeholder="Accept: application/json",
        help_=f"One a line, as Name: value. A value is a secret, but for such as Accept or User-Agent. {STAYS}",
    )
    fields.area(form, "body", "Body", given, help_=f"Sent along with POST, PUT, … {STAYS}")
    signs_in, user, secret = st.columns(3)
    with signs_in:
        kinds = list(SIGN_INS)
        st.selectbox(
            "Sign in as", kinds, kinds.index(given["auth"]), key=f"{form}-auth", format_func=SIGN_INS.__getitem__
        )
    with user:
        st.text_input("User", given["username"], key=f"{form}-username", help="Of basic only.")
    with secret:
        st.text_input("Password or token", given["secret"], key=f"{form}-secret", help=STAYS, autocomplete="off")
    problems.under(form, "auth")
    fields.area(
        form,
        "client_certificate",
        "Client certificate",
        given,
        placeholder="-----BEGIN CERTIFICATE-----",
        help_=f"PEM: the certificate, its chain, and its key without a pass phrase. {STAYS}",
    )
    left, right = st.columns(2)
    with left:
        families = list(FAMILIES)
        st.selectbox(
            "Addresses",
            families,
            families.index(given["family"]),
            key=f"{form}-family",
            format_func=FAMILIES.__getitem__,
        )
        problems.under(form, "family")
    with right:
        st.toggle(
            "Verify TLS",
            given["verify_tls"],
            key=f"{form}-verify_tls",
            help="Off: a certificate that is expired, self-signed or for another name is no failure.",
        )
        problems.under(form, "verify_tls")


def values(site: Site | None) -> dict[str, Any]:
    """What the fields show at first."""
    if site is None:
        return dict(NEW)
    seen = site_fields(site)
    auth = seen["auth"] or {}
    kind = "none" if not auth else "bearer" if "token" in auth else "basic"
    return {
        "headers": "\n".join(f"{name}: {value}" for name, value in seen["headers"].items()),
        "body": seen["body"],
        "auth": kind,
        "username": auth.get("username", ""),
        "secret": auth.get("password") or auth.get("token") or "",
        "client_certificate": seen["client_certificate"] or "",
        "verify_tls": seen["verify_tls"],
        "family": seen["family"],
    }


def read(typed: dict[str, Any]) -> dict[str, Any]:
    """What the fields hold, in the terms of `SiteIn`."""
    lines = [line.partition(":") for line in (typed["headers"] or "").splitlines() if line.strip()]
    return {
        "headers": {name.strip(): value.strip() for name, _, value in lines},
        "body": typed["body"] or "",
        "auth": _auth(typed["auth"], typed["username"] or "", typed["secret"] or ""),
        "client_certificate": typed["client_certificate"] or None,
        "verify_tls": typed["verify_tls"],
        "family": typed["family"],
    }


def _auth(kind: str, username: str, secret: str) -> dict[str, str] | None:
    if kind == "bearer":
        return {"token": secret.strip()}
    return {"username": username, "password": secret} if kind == "basic" else None
