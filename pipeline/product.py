"""Which product this is, and of which version, as installed."""

from __future__ import annotations

from importlib import metadata

DISTRIBUTION = "betterstack-workbench"


def version() -> str:
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "0+unknown"  # the sources without an installation
