"""What somebody typed on a page and did not send yet, kept while they look at another page.

Streamlit forgets what a widget holds as soon as a page is drawn without it. What is written anew in each run stays.
"""

from __future__ import annotations

import streamlit as st

FIRST_BOX = "first"  # the box on *Now*
_KEYS = (f"{FIRST_BOX}-text",)


def keep() -> None:
    """Call it in each run, before any widget is drawn."""
    for key in _KEYS:
        if key in st.session_state:
            st.session_state[key] = st.session_state[key]
