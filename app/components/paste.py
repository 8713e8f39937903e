"""Paste many: what was understood is shown before anything is added."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from urllib.parse import urlsplit

import streamlit as st
from msgspec import Struct

from app.components import problems
from app.components.words import INTERVALS, every, plain, verbatim
from pipeline.declared import SiteIn, parse
from pipeline.errors import InvalidInputError, Problem
from pipeline.store.sites import suggest_key
from pipeline.vocabulary import Region

MOST = 5_000  # lines at once; more is a file for `betterstack apply`
SHOWN = 8


# URLs -> (those that are watched already, by their site's key; every key that is taken)
Known = Callable[[Collection[str]], tuple[dict[str, str], set[str]]]


class Bad(Struct, frozen=True):
    """A line that cannot be used, and why."""

    line: int
    text: str
    reason: str


class Understood(Struct, frozen=True):
    """What pasted lines mean. `known` is (line, URL, key that watches it already, or "" where it repeats a line)."""

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
            seen[url] = ""
    return understood


def _site(
    url: str, taken: Collection[str], interval_s: int, regions: Sequence[str] | None, tags: Sequence[str]
) -> SiteIn:
    judged = parse(SiteIn, {"key": "site", "url": url, "interval_s": interval_s, "regions": regions, "tags": tags})
    parts = urlsplit(judged.url)
    name = f"{parts.netloc}{parts.path.rstrip('/')}"[:200]
    return judged.model_copy(update={"key": _free_key(judged.url, taken), "name": name})


def _free_key(url: str, taken: Collection[str]) -> str:
    """As `suggest_key`, which looks at every key given: of thousands only those that begin alike matter."""
    plainest = suggest_key(url, ())
    if plainest not in taken:
        return plainest
    return suggest_key(url, {key for key in taken if key.startswith(plainest)})


def paste_box(
    form: str,
    *,
    regions: Sequence[Region],
    known: Known,
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
    )
    left, right = st.columns([2, 3])
    left.selectbox("Check", list(INTERVALS), 2, format_func=every, key=f"{form}-interval")
    right.multiselect(
        "From", [r.key for r in regions], key=f"{form}-regions", placeholder="All regions, also those added later"
    )
    understood = _understood(form, known)
    problems.elsewhere(form, ())
    if understood != Understood([], [], []):
        preview(understood)
    st.session_state[f"{form}-shown"] = st.session_state[f"{form}-text"]
    count = len(understood.new)
    # Never disabled: a click takes the text that was typed last along, so one click is enough.
    st.button(
        f"{button}: {count} {'site' if count == 1 else 'sites'}" if count else button,
        type="primary",
        key=f"{form}-add",
        on_click=_add,
        args=(form, known, add),
    )


def _understood(form: str, known: Known) -> Understood:
    text = st.session_state.get(f"{form}-text") or ""
    watched, taken = known([url for _, url in urls_of(text)]) if text.strip() else ({}, set())
    return understand(
        text,
        watched=watched,
        taken=taken,
        interval_s=st.session_state[f"{form}-interval"],
        regions=st.session_state[f"{form}-regions"] or None,
    )


def preview(understood: Understood) -> None:
    """What was understood, in words: counts first, then the lines that need a look."""
    counts = [f":green[●] **{len(understood.new)}** new"]
    if understood.known:
        counts.append(f":gray[◌] **{len(understood.known)}** there already")
    if understood.bad:
        counts.append(f":red[✕] **{len(understood.bad)}** not usable")
    st.markdown(" &ensp; ".join(counts))
    lines = [f":red[✕] line {b.line} {verbatim(b.text[:80])} :gray[{plain(b.reason)}]" for b in understood.bad]
    lines += [f":gray[◌] line {n} {verbatim(url[:80])} :gray[{_known(key)}]" for n, url, key in understood.known]
    lines += [f":green[●] {verbatim(site.url[:80])} :gray[as {plain(site.key)}]" for site in understood.new]
    more = f"  \n:gray[… and {len(lines) - SHOWN} more lines]" if len(lines) > SHOWN else ""
    if lines:
        st.markdown("  \n".join(lines[:SHOWN]) + more)


def _known(key: str) -> str:
    return f"is watched already as {plain(key)}" if key else "repeats a line above"


def _add(form: str, known: Known, add: Callable[[list[SiteIn]], None]) -> None:
    def act() -> None:
        understood = _understood(form, known)
        seen = st.session_state.get(f"{form}-shown") == st.session_state.get(f"{form}-text")
        if understood.bad and not seen:
            return  # whoever pasted sees first which lines are not taken
        if not understood.new:
            raise InvalidInputError([Problem("", "there is no new URL here: write at least one, each on its own line")])
        add(understood.new)
        st.session_state.pop(f"{form}-text", None)

    problems.attempt(form, act)
