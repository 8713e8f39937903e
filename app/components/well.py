"""The banner for when our own parts are not well: then a quiet page would lie."""

from __future__ import annotations

import streamlit as st

from app.components.words import plain
from pipeline.health import Health

CHECKING = ("tables", "pusher", "prober", "recorder")  # without these, states run out


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
