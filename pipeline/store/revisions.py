"""Which versions of the tables this code knows, by the names of its migrations; without loading a database driver."""

from __future__ import annotations

from pathlib import Path

MIGRATIONS = Path(__file__).with_name("migrations")


def known() -> frozenset[str]:
    """Every version that this code can migrate from."""
    return frozenset(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def head() -> str:
    """The newest of them."""
    return max(known())
