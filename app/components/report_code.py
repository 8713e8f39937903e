"""The Python that makes what a report shows, and the command that writes it. Pure."""

from __future__ import annotations

import shlex

from pipeline.report.sla import Wanted


def _open(wanted: Wanted) -> str:
    named = {"site": wanted.site, "tag": wanted.tag}
    about = "".join(f", {name}={value!r}" for name, value in named.items() if value)
    return f"""\
from datetime import UTC, datetime

import pipeline
from pipeline import charts
from pipeline.report.figures import figures, keys_of
from pipeline.report.periods import period_of

up = pipeline.connect()
period = period_of({wanted.month!r}, {wanted.tz!r}, datetime.now(UTC))
found = figures(up, keys_of(up{about}), period, {wanted.policy!r})
"""


def days(wanted: Wanted) -> str:
    return f"{_open(wanted)}charts.shares(found.held)"


def outages(wanted: Wanted) -> str:
    return f"{_open(wanted)}found.outages"


def sites(wanted: Wanted) -> str:
    return f"{_open(wanted)}found.sites"


def command(wanted: Wanted) -> str:
    """The same report on a command line."""
    options = {"site": wanted.site, "tag": wanted.tag, "month": wanted.month, "tz": wanted.tz, "policy": wanted.policy}
    usual = {"tz": "UTC", "policy": "default"}
    told = [f"--{name} {shlex.quote(value)}" for name, value in options.items() if value and value != usual.get(name)]
    return " ".join(["betterstack report sla", *told, "--out", shlex.quote(f"{wanted.file_name}.html")])
