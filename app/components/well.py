"""The banner for when our own parts are not well: then a quiet page would lie."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from app import data
from app.components.boundary import live
from app.components.words import ago, plain
from pipeline.health import Health
from pipeline.store.fleet import RegionFacts

CHECKING = ("tables", "regions", "pusher", "prober", "recorder")  # without these, states run out


def checks_run(health: Health) -> bool:
    """Whether states are kept up to date. Where they are not, nothing may be called well."""
    return all(part.ok for part in health.parts if part.name.split()[0] in CHECKING)


def banner(health: Health) -> None:
    """Nothing while all is well; else what is not, and what that means for what the page shows."""
    if health.ok:
        return
    wrong = [part for part in health.parts if not part.ok]
    said = "  \n".join(f"**{plain(part.name)}** {part.message}. {' '.join(part.todo[:1])}" for part in wrong)
    if not checks_run(health):
        title = "Our checks are not running as they should: what is no longer fresh is unknown, not up."
        st.error(f"**{title}**  \n{said}", icon=":material/warning:")
    else:
        st.warning(f"**Checks run, but a part of the workbench is not well.**  \n{said}", icon=":material/warning:")


@live(2)
def ours() -> None:
    """The banner on a page that draws itself but once: also while the store is away."""
    banner(data.health())


def unwatched(facts: Sequence[RegionFacts], now: datetime) -> None:
    """The regions from which nobody looks, though sites call for it: what they would see is not known."""
    for each in facts:
        if each.series == 0 or each.probers or each.region.managed:  # a managed one is in the banner above
            continue
        key = each.region.key
        st.warning(
            f"**Nobody probes from {plain(key)}: what its sites look like from there is unknown.**  \n"
            f"Its probers run elsewhere, and the last sign of life was {ago(each.seen_at, now)}. "
            f"`betterstack region join-command {key}` prints what to run there.",
            icon=":material/visibility_off:",
        )
