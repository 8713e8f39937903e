"""The ways on from where there is nothing: an address of no page, a site that is gone."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote, urlsplit

import streamlit as st

from app.astray import ADDRESS
from app.components.words import plain

LONGEST = 100  # of what is repeated of an address


def back() -> None:
    """Links to where something is."""
    with st.container(horizontal=True, gap="medium"):
        st.page_link("pages/now.py", label="Now: what fails", width="content")
        st.page_link("pages/sites.py", label="Sites: find one by its name or URL", width="content")


def astray(url: str | None, known: Collection[str]) -> str:
    """The path of an address where it is that of no page; `known` are the paths of those that there are."""
    path = unquote(urlsplit(url or "").path.strip("/"))
    return "" if path in known or "/" in path else path


def nowhere(path: str) -> None:
    """What an address of no page shows, in place of the page *Now* under a wrong name."""
    st.title("There is no such page")
    address = st.query_params.get(ADDRESS, path)
    st.markdown(f"Nothing is at **/{plain(address[:LONGEST])}**. It may be mistyped, or from another version.")
    back()
