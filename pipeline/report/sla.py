"""The SLA report: notebook 2 with a site (or tag), a period, a time zone and a policy in it, as HTML or as .ipynb."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Literal

from msgspec import Struct

from pipeline.analysis.policies import policy_of
from pipeline.errors import WorkbenchError
from pipeline.report import html, ipynb
from pipeline.report.figures import keys_of
from pipeline.report.percent import Cell, cells, filled
from pipeline.report.periods import period_of
from pipeline.report.running import run
from pipeline.workbench import Workbench

Format = Literal["html", "ipynb"]
SOURCE = "02_sla_report.py"


class Wanted(Struct, frozen=True):
    """What somebody wants a report of. Without site and tag it is about all sites; without a month, about this one."""

    site: str = ""
    tag: str = ""
    month: str = ""
    tz: str = "UTC"
    policy: str = "default"

    @property
    def parameters(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in self.__struct_fields__}

    @property
    def about(self) -> str:
        """What it is about, in a word or two."""
        return self.site or (f"tag {self.tag}" if self.tag else "all sites")

    @property
    def file_name(self) -> str:
        """What a file of it is called, without how it ends."""
        words = [self.site or self.tag or "all", self.month.replace("/", "_to_") or "this-month"]
        return "-".join(["sla", *words])


def source() -> list[Cell]:
    """The notebook's cells. Errors: WorkbenchError where the notebooks were not installed."""
    path = Path(__file__).parents[2] / "notebooks" / SOURCE
    try:
        return cells(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WorkbenchError(f"the notebook of this report is missing: {path}") from None


def refuse(up: Workbench, wanted: Wanted, now: datetime) -> None:
    """Say what is wrong before anything is run. Errors: NotFoundError, InvalidInputError."""
    policy_of(wanted.policy)
    period_of(wanted.month, wanted.tz, now)
    keys_of(up, wanted.site, wanted.tag)


def notebook(wanted: Wanted) -> str:
    """The .ipynb with its parameters, for Jupyter or papermill: nothing of it has been run."""
    return ipynb.written(filled(source(), wanted.parameters))


def report(wanted: Wanted, format_: Format = "html") -> str:
    """Run the notebook on the workbench that the settings name.

    Errors: as `refuse`; WorkbenchError where HTML is wanted and vl-convert is missing.
    """
    if format_ == "html":
        html.refuse()
    ran = run(filled(source(), wanted.parameters))
    return ipynb.written(ran) if format_ == "ipynb" else html.written(ran, f"Uptime of {wanted.about}")


def write(out: Path, make: Callable[[], str]) -> None:
    """Write a whole file or none. Errors: OSError."""
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.write_text(make(), encoding="utf-8")
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
