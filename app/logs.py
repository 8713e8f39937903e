"""Streamlit's lines go where ours go, in the form of ours.

It gives each of its loggers, and uvicorn's, a handler and a format of its own, also those that come later; a log for
machines would have lines in it that are none of its objects.
"""

from __future__ import annotations

import logging

from streamlit import logger as theirs


def take_over() -> None:
    """From now on, what Streamlit logs goes to the root logger. Levels stay Streamlit's."""
    theirs.setup_formatter = _through_root  # called for each new logger, and for all when an option changes
    theirs.update_formatter()


def _through_root(logger: logging.Logger) -> None:
    own = getattr(logger, "streamlit_console_handler", None)
    if own is not None:
        logger.removeHandler(own)
    logger.propagate = True
