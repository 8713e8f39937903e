"""A scheduled export as people declare it: what, as what, how often, into which folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.declared import Key, Text, judge_zone
from pipeline.exports import FRAMES, What
from pipeline.writers import Format

Every = Literal["day", "week", "month"]


class ScheduledExportIn(BaseModel):
    """After each day, week (from Monday) or month of a time zone, a file of it in a folder."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    key: Key
    what: What = Field("verdicts", description=f"one of {', '.join(FRAMES)}")
    format: Format = "csv"
    every: Every = "day"
    tz: Text = Field("UTC", description="time zone whose days are meant")
    folder: Text = Field(min_length=1, description="where the files go, on the machine of the roller; a whole path")
    sites: list[Key] | None = Field(None, description="keys of sites; all when left out")
    regions: list[Key] | None = Field(None, description="keys of regions; all when left out")

    @field_validator("tz")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        return judge_zone(value)

    @field_validator("folder")
    @classmethod
    def _is_whole(cls, value: str) -> str:
        if not Path(value).is_absolute():
            raise ValueError("write a whole path, such as /var/lib/exports: the roller stands somewhere else")
        return value

    @model_validator(mode="after")
    def _fits(self) -> ScheduledExportIn:
        if self.format == "openmetrics" and self.what != "rollups":
            raise ValueError("openmetrics holds latency histograms: export rollups")
        return self
