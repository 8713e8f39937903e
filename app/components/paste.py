"""Paste many: what was understood is shown before anything is added."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from urllib.parse import urlsplit

import streamlit as st
from msgspec import Struct

from app.components import problems
from app.components.words import INTERVALS, every, plain
from pipeline.declared import SiteIn, parse
from pipeline.errors import InvalidInputError
from pipeline.store.sites import suggest_key
from pipeline.vocabulary import Region

MOST = 5_000  # lines at once; more is a file for `betterstack apply`
SHOWN = 8


class Bad(Struct, frozen=True):
    """A line that cannot be used, and why."""

    line: int
    text: str
    reason: str


class Understood(Struct, frozen=True):
    """What pasted lines mean: sites to add, lines that are watched already (by key) or repeat another, bad lines."""

    new: list[SiteIn]
    known: list[tuple[int, str, str]]
    bad: list[Bad]


def urls_of(text: str) -> list[tuple[int, str]]:
    """(line number, URL) of every line that has something on it; `https://` is added where no scheme is written."""
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, line if "://" in line else f"https://{line}") for number, line in lines if line]


def understand(
    text: str,
    *,
    watched: Mapping[str, str],
    taken: Collection[str],
    interval_s: int,
    regions: Sequence[str] | None,
    tags: Sequence[str] = (),
) -> Understood:
    """Judge every line by the one definition of a site. `watched` is URL -> key of what is there already."""
    lines = urls_of(text)
    understood = Understood([], [], [Bad(n, url, f"only {MOST} lines at once") for n, url in lines[MOST:]])
    keys, seen = set(taken), dict(watched)
    for number, url in lines[:MOST]:
        if url in seen:
            understood.known.append((number, url, seen[url]))
            continue
        try:
            site = _site(url, keys, interval_s, regions, tags)
        except InvalidInputError as error:
            understood.bad.append(Bad(number, url, "; ".join(problem.message for problem in error.problems)))
        else:
            understood.new.append(site)
            keys.add(site.key)
            seen[url] = site.key
    return understood


def _site(
    url: str, taken: Collection[str], interval_s: int, regions: Sequence[str] | None, tags: Sequence[str]
) -> SiteIn:
    judged = parse(SiteIn, {"key": "site", "url": url, "interval_s": interval_s, "regions": regions, "tags": tags})
    parts = urlsplit(judged.url)
    name = f"{parts.netloc}{parts.path.rstrip('/')}"[:200]
    return judged.model_copy(update={"key": suggest_key(judged.url, _alike(taken)), "name": name})


def _alike(taken: Collection[str]) -> Collection[str]:
    return taken


def paste_box(
    form: str,
    *,
    regions: Sequence[Region],
    known: Callable[[Collection[str]], tuple[dict[str, str], set[str]]],
    add: Callable[[list[SiteIn]], None],
    button: str = "Start checking",
    height: int = 150,
) -> None:
    """The box, what it means, and the button that adds the sites that are new."""
    st.text_area(
        "URLs, one a line",
        key=f"{form}-text",
        height=height,
        placeholder="https://example.com\nhttps://api.example.com/health\nshop.example.com",
        live=True,
    )
    left, right = st.columns([2, 3])
    left.selectbox("Check", list(INTERVALS), 2, format_func=every, key=f"{form}-interval")
    right.multiselect(
        "From", [r.key for r in regions], key=f"{form}-regions", placeholder="All regions, also those added later"
    )
    text = st.session_state.get(f"{form}-text") or ""
    watched, taken = known([url for _, url in urls_of(text)]) if text.strip() else ({}, set())
    understood = understand(
        text,
        watched=watched,
        taken=taken,
        interval_s=st.session_state[f"{form}-interval"],
        regions=st.session_state[f"{form}-regions"] or None,
    )
    problems.elsewhere(form, ())
    if text.strip():
        preview(understood)
    count = len(understood.new)
    st.button(
        f"{button}: {count} {'site' if count == 1 else 'sites'}" if count else button,
        type="primary",
        key=f"{form}-add",
        disabled=not count,
        on_click=_add,
        args=(form, understood.new, add),
    )


def preview(understood: Understood) -> None:
    """What was understood, in words: counts first, then the lines that need a look."""
    counts = [f":green[●] **{len(understood.new)}** new"]
    if understood.known:
        counts.append(f":gray[◌] **{len(understood.known)}** there already")
    if understood.bad:
        counts.append(f":red[✕] **{len(understood.bad)}** not usable")
    st.markdown(" &ensp; ".join(counts))
    lines = [f":red[✕] line {b.line}: {plain(b.text[:80])} :gray[{plain(b.reason)}]" for b in understood.bad]
    lines += [f":gray[◌ line {n}: {plain(u[:80])} is watched as {plain(key)}]" for n, u, key in understood.known]
    lines += [f":green[●] {plain(site.url[:80])} :gray[as {plain(site.key)}]" for site in understood.new]
    more = f"  \n:gray[… and {len(lines) - SHOWN} more lines]" if len(lines) > SHOWN else ""
    if lines:
        st.markdown("  \n".join(lines[:SHOWN]) + more)


def _add(form: str, new: list[SiteIn], add: Callable[[list[SiteIn]], None]) -> None:
    if problems.attempt(form, lambda: add(new)):
        st.session_state.pop(f"{form}-text", None)
