"""When an hour counts, and how much: opening hours and a user's own traffic.

An outage at four in the morning is not one at noon. Opening hours leave the rest of the week out; weights let every
hour count as much as somebody says, from a CSV of theirs: by hour of the week, or by the very hour.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta
from math import isfinite

import polars as pl
from msgspec import Struct

from pipeline.analysis.cuts import cut_at, local_hours, reach, steps
from pipeline.calendar import zone
from pipeline.errors import InvalidInputError, Problem
from pipeline.frames import TIME

HOURS_OF_WEEK = 168
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOUR = timedelta(hours=1)


class BusinessHours(Struct, frozen=True):
    """Weekdays (0 is Monday) and local times [opens, closes); closing at 00:00 is midnight at the end of the day."""

    tz: str = "UTC"
    days: tuple[int, ...] = (0, 1, 2, 3, 4)
    opens: time = time(9)
    closes: time = time(17)

    def windows(self, since: datetime, until: datetime) -> pl.DataFrame:
        """[since, until]: when it is open, in UTC, in [since, until) and somewhat around it."""
        where = zone(self.tz)
        found = []
        for start in steps(since, until, "1d", self.tz):
            day = start.astimezone(where).date()
            if day.weekday() in self.days:
                last = day if self.closes > self.opens else day + timedelta(days=1)
                opened = datetime.combine(day, self.opens, tzinfo=where).astimezone(UTC)
                found.append((opened, datetime.combine(last, self.closes, tzinfo=where).astimezone(UTC)))
        return pl.DataFrame(found, schema={"since": TIME, "until": TIME}, orient="row")


class Weights(Struct, frozen=True):
    """How much an hour counts: `week`, by hour of the local week from Monday 00:00, or `at`, by the hour it begins."""

    tz: str = "UTC"
    week: tuple[float, ...] = ()
    at: tuple[tuple[datetime, float], ...] = ()


def within_hours(frame: pl.DataFrame, hours: BusinessHours) -> pl.DataFrame:
    """What of the rows [since, until, …] lies in opening hours."""
    if frame.is_empty():
        return frame
    windows = hours.windows(*reach(frame))
    pieces = cut_at(frame, pl.concat([windows["since"], windows["until"]]))
    opens, closes = windows["since"].sort(), windows["until"].sort()
    opened = opens.search_sorted(pieces["since"], side="right")
    closed = closes.search_sorted(pieces["since"], side="right")
    return pieces.filter(opened > closed)


def weighed(frame: pl.DataFrame, weights: Weights) -> pl.DataFrame:
    """The rows [since, until, …] cut at the hours, with `weight`. Errors: InvalidInputError where an hour has none."""
    if frame.is_empty():
        return frame.with_columns(weight=pl.lit(None, pl.Float64))
    since, until = reach(frame)
    if weights.week:
        where = zone(weights.tz)
        pieces = cut_at(frame, pl.Series(local_hours(since, until, where), dtype=TIME))
        local = pl.col("since").dt.convert_time_zone(weights.tz)
        hour = (local.dt.weekday().cast(pl.Int64) - 1) * 24 + local.dt.hour()
        return pieces.with_columns(weight=pl.lit(pl.Series(weights.week, dtype=pl.Float64)).gather(hour))
    pieces = cut_at(frame, pl.Series(local_hours(since, until, zone("UTC")), dtype=TIME))
    told = pl.DataFrame(weights.at, schema={"_hour": TIME, "weight": pl.Float64}, orient="row")
    found = pieces.with_columns(_hour=pl.col("since").dt.truncate("1h")).join(
        told, on="_hour", how="left", maintain_order="left"
    )
    missing = found.filter(pl.col("weight").is_null())["_hour"].unique().sort()
    if len(missing):
        raise InvalidInputError(
            [
                Problem(
                    "weights",
                    f"no weight for {len(missing)} hours of this time, the first at {missing[0]:%F %H:%M} UTC",
                )
            ]
        )
    return found.drop("_hour")


def read_weights(lines: Iterable[str], tz: str = "UTC") -> Weights:
    """Weights of a CSV with a header: `hour,weight` or `time,weight`. Errors: InvalidInputError, naming the lines.

    `hour` is 0 to 167 from Monday 00:00, or as in `mon 14`; all 168 have to be there. `time` is ISO 8601 with its
    offset (without one it is in `tz`); what falls into one hour is added up. A weight is a number from 0 up: requests,
    visitors, money; only the proportions matter.
    """
    zone(tz)
    rows = csv.DictReader(lines)
    names = [name.strip().lower() for name in rows.fieldnames or ()]
    kind = next((name for name in ("hour", "time") if name in names), None)
    if kind is None or "weight" not in names:
        raise InvalidInputError(
            [
                Problem(
                    "weights", f"the header has to be hour,weight or time,weight, and is {','.join(names) or 'empty'}"
                )
            ]
        )
    problems: list[Problem] = []
    found: dict[int | datetime, float] = {}
    for row in rows:
        plain = {
            (name or "").strip().lower(): (text or "").strip() for name, text in row.items() if isinstance(text, str)
        }
        try:
            key = _hour_of_week(plain.get(kind, "")) if kind == "hour" else _hour(plain.get(kind, ""), tz)
            weight = _weight(plain.get("weight", ""))
        except ValueError as error:
            problems.append(Problem("weights", str(error), rows.line_num))
            continue
        if kind == "hour" and key in found:
            problems.append(Problem("weights", f"hour {plain[kind]} is there twice", rows.line_num))
        found[key] = found.get(key, 0.0) + weight
    problems += _whole(found, kind) if not problems else []
    if problems:
        raise InvalidInputError(problems)
    if kind == "hour":
        return Weights(tz, week=tuple(weight for _, weight in sorted(_numbered(found).items())))
    return Weights(tz, at=tuple(sorted((at, weight) for at, weight in found.items() if isinstance(at, datetime))))


def _numbered(found: Mapping[int | datetime, float]) -> dict[int, float]:
    return {hour: weight for hour, weight in found.items() if isinstance(hour, int)}


def _whole(found: Mapping[int | datetime, float], kind: str) -> list[Problem]:
    """What is wrong with the rows together."""
    if not any(found.values()):
        return [Problem("weights", "there is no weight above 0")]
    missing = sorted(set(range(HOURS_OF_WEEK)) - set(found)) if kind == "hour" else []
    if missing:
        day, hour = divmod(missing[0], 24)
        return [
            Problem("weights", f"{len(missing)} of the week's 168 hours are missing, the first is {DAYS[day]} {hour}")
        ]
    return []


def _hour_of_week(text: str) -> int:
    word, _, rest = text.lower().partition(" ")
    day, number = (DAYS.index(word[:3]), rest) if word[:3] in DAYS else (None, text)
    hour, limit = int(number) if number.strip().isdigit() else -1, HOURS_OF_WEEK if day is None else 24
    if not 0 <= hour < limit:
        raise ValueError(f"{text!r} is no hour of the week: write 0 to 167, or as in mon 14")
    return hour if day is None else day * 24 + hour


def _hour(text: str, tz: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time: write it as in 2026-03-01T14:00+01:00") from None
    aware = at if at.tzinfo else at.replace(tzinfo=zone(tz))
    return aware.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = -1.0
    if weight < 0 or not isfinite(weight):
        raise ValueError(f"{text!r} is no weight: write a number from 0 up")
    return weight
