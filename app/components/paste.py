"""One box: URLs, a sitemap, a table or our own file go in, what was understood is shown, one button watches it."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.components import eager, problems
from app.components.box import FIRST, Box, Store
from app.components.preview import preview
from app.components.words import INTERVALS, every, grouped, plain
from pipeline.sitemaps import Choice, choose
from pipeline.understood import Form, Pasted, Understood
from pipeline.vocabulary import Region

PLACEHOLDER = "https://example.com\nshop.example.com/health\nhttps://example.com/sitemap.xml"


def paste_box(
    form: str, *, regions: Sequence[Region], store: Store, tags: Sequence[str] | None = None, height: int = 150
) -> None:
    """Draw the box. `tags` are offered for all that is added, where they are given at all."""
    label = "URLs, the address of a sitemap, a CSV, or our YAML"
    eager.text_area(label, key=f"{form}-text", height=height, placeholder=PLACEHOLDER)
    box = Box(form, [region.key for region in regions], store)
    box.forget_old_problems()
    if url := box.fetch_asked():
        with st.spinner(f"Reading {plain(url[:80])}"):
            box.fetch(url)
    pasted = box.pasted()
    drawn_anew = box.get("interval") is None
    if pasted.form is not Form.DECLARED:  # which says all of this itself
        _defaults(form, box.regions, tags)
    if pasted.pages:
        _choice(form, pasted.pages)
    if pasted.pages or drawn_anew:
        pasted = box.pasted()  # as the fields above say
    understood = box.understood(pasted)
    _buttons(box, pasted, understood)
    box.seen()  # as soon as the button says how many there are: a click may come while the preview is being drawn
    problems.elsewhere(form, ())
    if pasted.form is Form.SITEMAP_URL:
        st.caption("This reads like the address of a sitemap. Read it, and choose among its pages.")
    else:
        preview(understood)


def _defaults(form: str, regions: Sequence[str], tags: Sequence[str] | None) -> None:
    places = st.columns([2, 3] if tags is None else [2, 2.5, 2.5])
    places[0].selectbox("Check", list(INTERVALS), 2, format_func=every, key=f"{form}-interval")
    places[1].multiselect("From", regions, key=f"{form}-regions", placeholder="All regions, also those added later")
    if tags is not None:
        places[2].multiselect(
            "Tags", tags, key=f"{form}-tags", accept_new_options=True, placeholder="Type a word and press Enter"
        )


def _choice(form: str, pages: list[str]) -> None:
    """Which of a sitemap's pages. The front page says whether a site is up; thousands more rarely say more."""
    counts = {choice: len(choose(pages, choice, FIRST)) for choice in Choice}
    front = counts[Choice.FRONT]
    labels = {
        Choice.FRONT: "The shortest address" if front == 1 else f"One a host: {grouped(front)}",
        Choice.SECTIONS: f"One a section: {grouped(counts[Choice.SECTIONS])}",
        Choice.FIRST: "The first …",
        Choice.ALL: f"All {grouped(counts[Choice.ALL])}",
    }
    offered = [choice for choice in Choice if choice is Choice.FRONT or counts[choice] > front]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            f"The sitemap names {grouped(len(pages))} {'page' if len(pages) == 1 else 'pages'}. Watch",
            offered,
            default=Choice.FRONT,
            required=True,
            format_func=labels.__getitem__,
            key=f"{form}-choice",
            wrap=True,
        )
        if st.session_state[f"{form}-choice"] is Choice.FIRST:
            st.number_input("How many", 1, len(pages), min(FIRST, len(pages)), key=f"{form}-first", width=130)


def _buttons(box: Box, pasted: Pasted, understood: Understood) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        # Never disabled: a click takes the text that was typed last along, so one click is enough.
        st.button(_label(pasted, understood), type="primary", key=f"{box.form}-add", on_click=box.act)
        if pasted.form is Form.SITEMAP_URL:
            st.button("Watch this address itself", key=f"{box.form}-itself", type="tertiary", on_click=box.watch_itself)
        with st.popover("Open a file", type="tertiary"):
            st.file_uploader(
                "URLs, CSV, YAML or a sitemap, up to 1 MB",
                key=f"{box.form}-file-{box.get('turn', 0)}",
                max_upload_size=1,
                on_change=box.take_file,
            )


def _label(pasted: Pasted, understood: Understood) -> str:
    if pasted.form is Form.SITEMAP_URL:
        return "Read the sitemap"
    count = len(understood.new)
    return f"Watch {grouped(count)} {'site' if count == 1 else 'sites'}" if count else "Watch"
