"""What people promise, from a form, the API or a command line, judged field by field."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.declared import Key, Text, judge_zone
from pipeline.objectives import LONGEST_DAYS, Objective

Policy = Literal["default", "strict"]


class ObjectiveIn(BaseModel):
    """A share of good time over a window, for a site or for all sites with a tag."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)

    key: Key
    name: Text = Field("", max_length=100, description="what people read; the key when empty")
    site: Text | None = Field(None, description="key of the site that it is about")
    tag: Text | None = Field(None, max_length=50, description="or the tag: it is then about the mean of all with it")
    target: float = Field(description="the share of good time that is promised, such as 0.999")
    window_days: int | None = Field(
        30, ge=1, le=LONGEST_DAYS, description="days of a window that ends now; null for the calendar month"
    )
    policy: Policy = Field("default", description="default: down spends the budget; strict: degraded, too")
    tz: Text = Field("UTC", description="time zone in which a calendar month begins")

    @field_validator("target")
    @classmethod
    def _is_a_share(cls, value: float) -> float:
        if 1 < value < 100:
            raise ValueError(f"write it as a share: {value / 100:g} for {value:g} %")
        if not math.isfinite(value) or not 0 < value < 1:
            raise ValueError("must be more than 0 and less than 1: nobody can promise all of the time")
        return value

    @field_validator("tz")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        return judge_zone(value)

    @model_validator(mode="after")
    def _is_about_one_thing(self) -> ObjectiveIn:
        self.name, self.site, self.tag = self.name or self.key, self.site or None, self.tag or None
        if (self.site is None) == (self.tag is None):
            raise ValueError("name either a site or a tag that it is about")
        return self


def objective_fields(objective: Objective) -> dict[str, object]:
    """An objective in the terms of its declaration."""
    return {name: getattr(objective, name) for name in ObjectiveIn.model_fields}
