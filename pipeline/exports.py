"""Exports: what was measured as a file, in pieces, so that memory does not grow with the range."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal

import polars as pl

from pipeline.errors import InvalidInputError, Problem
from pipeline.frames import ROLLUPS, SITE_SPANS, SPANS, TICKS, Frame, schema
from pipeline.moments import Moment
from pipeline.reading import Reading
from pipeline.writers import SUFFIXES, WRITERS, Format, Write

What = Literal["ticks", "rollups", "spans", "verdicts"]
FRAMES: dict[str, Frame] = {"ticks": TICKS, "rollups": ROLLUPS, "spans": SPANS, "verdicts": SITE_SPANS}
SPANS_AT_ONCE = 50  # sites
Progress = Callable[[float, int], None]


def export(
    reading: Reading,
    out: Path | BinaryIO,
    *,
    what: What = "ticks",
    format: Format = "csv",  # noqa: A002 - the word people use
    since: Moment = "-7d",
    until: Moment | None = None,
    sites: Collection[str] | None = None,
    regions: Collection[str] | None = None,
    progress: Progress = lambda _share, _rows: None,
) -> int:
    """Write the rows of [since, until) and return how many. A path holds all of them or is not there.

    `ticks` are every attempt, `rollups` hours by site and region, `spans` what each region saw from when to when, and
    `verdicts` what their vote made of it. Columns are those of the frame, words in place of enums; in CSV and JSON
    lines times are ISO 8601 in UTC; in CSV lists are separated by spaces, and text that a spreadsheet would run as a
    formula begins with an apostrophe. `openmetrics` holds the rollups' latency as Prometheus native histograms.
    `progress` is told the share that is done, from 0 to 1, and the rows so far.
    Errors: NotFoundError, InvalidInputError.
    """
    refuse(what, format)
    pieces = _frames(reading, what, format, since, until, sites, regions)
    with _target(out) as file, WRITERS[format](file, pl.DataFrame(schema=schema(FRAMES[what]))) as write:
        return _written(pieces, write, progress)


def refuse(what: str, format_: str) -> None:
    """Say no to what there is not. Errors: InvalidInputError."""
    if what not in FRAMES or format_ not in WRITERS:
        raise InvalidInputError([Problem("what, format", f"export {_or(FRAMES)}, as {_or(WRITERS)}")])
    if format_ == "openmetrics" and what != "rollups":
        raise InvalidInputError([Problem("format", "openmetrics holds latency histograms: export rollups")])


def _written(pieces: Iterator[tuple[float, pl.DataFrame]], write: Write, progress: Progress) -> int:
    rows = 0
    for share, frame in pieces:
        if frame.height:
            write(frame)
            rows += frame.height
        progress(share, rows)
    return rows


def _frames(
    reading: Reading,
    what: What,
    format_: Format,
    since: Moment,
    until: Moment | None,
    sites: Collection[str] | None,
    regions: Collection[str] | None,
) -> Iterator[tuple[float, pl.DataFrame]]:
    """Pieces of the export, each with the share of it that is done after it."""
    if what in ("ticks", "rollups") and format_ != "openmetrics":
        window = reading.window(since, until)
        if what == "ticks":
            return _by_time(reading.tick_batches(sites, *window, regions), "scheduled_at", window)
        return _by_time(reading.rollup_batches("1h", ("site", "region"), *window, sites, regions), "at", window)
    return _by_site(reading, what, *reading.window(since, until), sites, regions)


def _by_time(
    frames: Iterator[pl.DataFrame], at: str, window: tuple[datetime, datetime]
) -> Iterator[tuple[float, pl.DataFrame]]:
    """Pieces that come in the order of their days."""
    since, until = window
    whole = (until - since).total_seconds() or 1.0
    share = 0.0
    for frame in frames:
        newest = frame[at].max() if frame.height else None
        if isinstance(newest, datetime):
            share = min(max((newest - since).total_seconds() / whole, share), 1.0)
        yield share, frame


def _by_site(
    reading: Reading,
    what: What,
    since: datetime,
    until: datetime,
    sites: Collection[str] | None,
    regions: Collection[str] | None,
) -> Iterator[tuple[float, pl.DataFrame]]:
    """Pieces of some sites over the whole range: a series' rows stand together, in the order of time."""
    keys = reading.keys(sites)
    for start in range(0, len(keys), SPANS_AT_ONCE):
        some = keys[start : start + SPANS_AT_ONCE]
        if what == "rollups":
            parts = [reading.rollup("1h", ("site", "region"), since, until, [key], regions).collect() for key in some]
            frame = pl.concat([part.sort("region", "at") for part in parts])
        else:
            level: Literal["region", "global"] = "region" if what == "spans" else "global"
            found = reading.spans(some, since, until, regions, level=level)
            frame = found.sort("site", *(["region"] if what == "spans" else []), "since").collect()
        yield (start + len(some)) / len(keys), frame


def suffix(format_: Format) -> str:
    """How a file of that format ends, without the dot."""
    return SUFFIXES[format_]


def _or(words: Collection[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}"


@contextmanager
def _target(out: Path | BinaryIO) -> Iterator[BinaryIO]:
    if not isinstance(out, Path):
        yield out
        return
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
