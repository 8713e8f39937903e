"""Where errors end: people read what to do, the log keeps what happened."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import ParamSpec

import streamlit as st

from app import data
from app.components import ways
from app.components.words import plain
from pipeline.errors import InvalidInputError, NotFoundError, UnavailableError
from pipeline.store.explained import AWAY

log = logging.getLogger(__name__)
P = ParamSpec("P")


@contextmanager
def explained(*, briefly: bool = False) -> Iterator[None]:
    """Draw what is wrong in place of what was asked for; `briefly` where it is one part of many on a page."""
    try:
        yield
    except UnavailableError as error:
        reason = str(error.__cause__).partition("\n")[0]  # each part says so every two seconds: a line is enough
        log.warning("a page could not be drawn", extra={"action": "page_unavailable", "reason": reason})
        if briefly:
            st.caption(f":red[✕] {error}")
            _until_back(error)  # sooner than a part that is drawn once a minute
            return
        with st.container(border=True):
            st.markdown("##### :red[✕] The store is away")
            st.markdown(str(error))
            st.caption("Nothing is lost: the workers keep what they find. The page comes back by itself.")
            st.button("Try again", key=f"retry-{id(error)}")
        _until_back(error)
    except NotFoundError as error:
        said = str(error)
        st.warning(f"{plain(said[:1].upper() + said[1:])}.", icon=":material/search_off:")
        if not briefly:
            ways.back()
    except InvalidInputError as error:  # an address that somebody wrote: our own pages ask for nothing of the kind
        said = "; ".join(problem.message for problem in error.problems)
        st.warning(f"{plain(said)}.", icon=":material/link_off:")


def _until_back(error: UnavailableError) -> None:
    """Run the page again once the store answers; one that answers and is slow would only be asked for more."""
    if str(error) == AWAY:
        _look([])


@st.fragment(run_every=2)
def _look(drawn: list[bool]) -> None:
    if not drawn:  # in the run that has just failed
        drawn.append(True)
        return
    with suppress(UnavailableError):
        data.counts()
        st.rerun()


def live(every_s: float) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """A part of a page that draws itself anew every so many seconds, and says so when it cannot."""

    def wrap(draw: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(draw)
        def drawn(*args: P.args, **kwargs: P.kwargs) -> None:
            with explained(briefly=True):
                draw(*args, **kwargs)

        return st.fragment(run_every=every_s)(drawn)

    return wrap
