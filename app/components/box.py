"""What is in a box for pasting, and what its buttons do. The session holds the text; all the rest follows from it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import streamlit as st
from msgspec import Struct
from msgspec.structs import replace

from app.components import problems
from pipeline.errors import InvalidInputError, Problem
from pipeline.leftover import leftover
from pipeline.sitemaps import Choice, Sitemap, choose, unpacked
from pipeline.understood import LARGEST, Defaults, Form, Pasted, Understood, of_pages, read, settle, text_of, urls_of

FIRST = 20  # pages of a sitemap, where somebody wants the first so many


class Store(Struct, frozen=True):
    """What a box asks and does outside of itself; `app.data` has it."""

    # URLs -> (those that are watched already, by their site's key; every key that is taken)
    known: Callable[[Collection[str]], tuple[dict[str, str], set[str]]]
    sitemap: Callable[[str], Sitemap]
    # Told as well how many lines were not taken, which stay in the box.
    add: Callable[[Understood, int], None]


class Box(Struct, frozen=True):
    """The box of one form; `regions` are the keys of those that there are."""

    form: str
    regions: list[str]
    store: Store

    def get(self, name: str, default: Any = None) -> Any:
        return st.session_state.get(f"{self.form}-{name}", default)

    def put(self, name: str, value: object) -> None:
        st.session_state[f"{self.form}-{name}"] = value

    # --- what it says -------------------------------------------------------------------------------------------------

    def defaults(self) -> Defaults:
        """What holds for a line that does not say it, as the fields under the box have it."""
        interval_s = self.get("interval") or Defaults().interval_s
        return Defaults(interval_s, tuple(self.get("regions") or ()) or None, tuple(self.get("tags") or ()))

    def pasted(self) -> Pasted:
        """The text as it is read; of a sitemap with its pages, once they are there, and of those the chosen ones."""
        found = read(self.get("text") or "", self.defaults())
        if found.sitemap and self.get("itself-url") == found.sitemap:
            return replace(found, form=Form.URLS, sitemap="")
        fetched = self.get("sitemap")
        if found.sitemap and fetched and fetched[0] == found.sitemap:
            sitemap: Sitemap = fetched[1]
            found = Pasted(Form.SITEMAP, notes=sitemap.notes, pages=sitemap.pages)
        if not found.pages:
            return found
        pages = choose(found.pages, self.get("choice") or Choice.FRONT, self.get("first") or FIRST)
        chosen = of_pages(pages, self.defaults())
        return replace(chosen, pages=found.pages, notes=found.notes + chosen.notes)

    def understood(self, pasted: Pasted) -> Understood:
        """The same, beside what is watched already."""
        watched, taken = self.store.known(urls_of(pasted)) if pasted.entries else ({}, set())
        return settle(pasted, watched=watched, taken=taken, known_regions=self.regions)

    def seen(self) -> None:
        """Remember that what is in the box now has been shown."""
        self.put("shown", self.get("text"))

    # --- what its buttons do ------------------------------------------------------------------------------------------

    def _attempt(self, act: Callable[[], None]) -> bool:
        """What goes wrong is about the text that is in the box then, and is told until that changes."""
        done = problems.attempt(self.form, act)
        self.put("told", self.get("text"))
        return done

    def forget_old_problems(self) -> None:
        if self.get("told") != self.get("text"):
            problems.forget(self.form)

    def act(self) -> None:
        """Add what is new, or ask for the pages of the sitemap that is named."""
        self._attempt(self._act)

    def _act(self) -> None:
        pasted = self.pasted()
        if pasted.form is Form.SITEMAP_URL:
            self.put("fetch", pasted.sitemap)
            return
        understood = self.understood(pasted)
        if understood.problems and self.get("shown") != self.get("text"):
            return  # whoever pasted sees first which lines are not taken
        if understood.problems and pasted.form is Form.DECLARED:
            raise _refused("a declared file is taken as a whole: mend the lines that are told here")
        if not understood.new:
            raise _refused("there is no new URL here: write at least one, each on its own line")
        left = leftover(self.get("text") or "", understood)
        self.store.add(understood, left.lines)
        for name in ("text", "sitemap", "itself-url", "shown"):
            st.session_state.pop(f"{self.form}-{name}", None)
        if left.lines:
            self.put("text", left.text)
            self.put("left", left.lines)

    def left(self) -> bool:
        """Whether the box holds lines that were not taken when others were."""
        return bool(self.get("text") and self.get("left"))

    def discard(self) -> None:
        """Empty the box."""
        for name in ("text", "left", "shown"):
            st.session_state.pop(f"{self.form}-{name}", None)
        problems.forget(self.form)

    def fetch_asked(self) -> str:
        """The sitemap that somebody asked to read, once."""
        return str(st.session_state.pop(f"{self.form}-fetch", ""))

    def fetch(self, url: str) -> None:
        """Read a sitemap, and keep its pages beside its URL."""
        self._attempt(lambda: self.put("sitemap", (url, self.store.sitemap(url))))

    def watch_itself(self) -> None:
        """Take the address of a sitemap as that of a site."""
        problems.forget(self.form)
        self.put("itself-url", self.pasted().sitemap)

    def take_file(self) -> None:
        """Put the text of the file that was uploaded into the box."""
        turn = self.get("turn", 0)
        file = self.get(f"file-{turn}")
        if file is not None:
            self._attempt(lambda: self.put("text", _text(file.getvalue())))
            self.put("turn", turn + 1)  # an empty uploader: the file is in the box now


def _text(data: bytes) -> str:
    text = text_of(unpacked(data))
    if len(text) > LARGEST:
        raise _refused("the file is larger than 1 MB: split it, or use `betterstack apply FILE`")
    if "\x00" in text:
        raise _refused("this is no text file: save the table as CSV, or paste its cells")
    return text


def _refused(message: str) -> InvalidInputError:
    return InvalidInputError([Problem("", message)])
