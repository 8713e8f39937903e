"""The data dictionary: every published frame's columns with type, unit and meaning, made from `pipeline.frames`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from msgspec import Struct

from pipeline import answers, frames
from pipeline.errors import NotFoundError
from pipeline.frames import Frame

DICTIONARY: Mapping[str, Frame] = {
    "ticks": frames.TICKS,
    "hours": frames.HOURS,
    "rollups": frames.ROLLUPS,
    "uptime": answers.UPTIME,
    "exact": answers.EXACT,
    "account": answers.ACCOUNT,
    "waterfall": answers.WATERFALL,
    "outages": answers.OUTAGES,
    "reliability": answers.RELIABILITY,
    "apdex": answers.APDEX,
    "spans": frames.SPANS,
    "site_spans": frames.SITE_SPANS,
    "periods": frames.PERIODS,
    "sites": frames.SITES,
    "regions": frames.REGIONS,
    "transitions": frames.TRANSITIONS,
    "snapshots": frames.SNAPSHOTS,
    "fleet_samples": frames.FLEET_SAMPLES,
    "decisions": frames.DECISIONS,
    "slo": answers.SLO,
    "budget": answers.BUDGET,
    "forecast": answers.FORECAST,
    "burn": answers.BURN,
    "medians": answers.MEDIANS,
    "changes": answers.CHANGES,
    "anomalies": answers.ANOMALIES,
    "explained": answers.EXPLAINED,
    "together": answers.TOGETHER,
    "shared": answers.SHARED,
    "compared": answers.COMPARED,
}


class Entry(Struct, frozen=True):
    """A column of a frame, in words."""

    frame: str
    column: str
    type: str
    unit: str | None
    about: str


def entries(frames: Collection[str] = ()) -> list[Entry]:
    """Every column of the named frames, of all where none is named, in their order. Errors: NotFoundError."""
    for name in frames:
        if name not in DICTIONARY:
            near = get_close_matches(name, DICTIONARY, n=3) or sorted(DICTIONARY)
            raise NotFoundError(f"there is no frame {name!r}; there are: {', '.join(near)}")
    return [
        Entry(name, column, str(described.dtype), described.unit, described.about)
        for name in frames or DICTIONARY
        for column, described in DICTIONARY[name].items()
    ]


def markdown(frames: Collection[str] = ()) -> str:
    """The same as Markdown: a heading and a table a frame. Errors: NotFoundError."""
    return "\n".join(_lines(entries(frames)))


def _lines(columns: list[Entry]) -> Iterator[str]:
    frame = ""
    for each in columns:
        if each.frame != frame:
            frame = each.frame
            yield from (f"\n## {frame}\n", "| column | type | unit | meaning |", "| --- | --- | --- | --- |")
        yield f"| `{each.column}` | {_short(each.type)} | {each.unit or ''} | {each.about.replace('|', '/')} |"


def _short(dtype: str) -> str:
    """A type as people read it: an enum's words are told where they mean something."""
    return "Enum" if dtype.startswith("Enum(") else dtype.replace("|", "/")
