"""What the libraries made stays: looking for garbage then means looking at the living only.

Streamlit collects all garbage after each run of a script, also of a live part. With the pages' libraries loaded it
walks through 250 000 objects for that: 80 ms of CPU, where the refresh itself takes 5 to 20.
"""

from __future__ import annotations

import gc
import sys
import threading

_turn = threading.Lock()
_seen = 0


def libraries() -> None:
    """Take what is there out of all later collections, once after every run that loaded something."""
    global _seen  # noqa: PLW0603 - one process, one heap
    with _turn:
        if len(sys.modules) > _seen:
            gc.collect()
            gc.freeze()
            _seen = len(sys.modules)
