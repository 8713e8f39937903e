"""Checks as CSV or Parquet: our own export, or anybody's table with a time, a site and how it went.

Columns: `site` (a key), `scheduled_at` (ISO 8601 with a zone; `at`, `time` and `timestamp` mean the same), and
`outcome` (our words), or `state` (up, degraded, down), or `up` (true, false, 1, 0). Others are taken where they are
there: `latency_ms`, `status`, `detail`, `ip`, `attempt`, `final`, `interval_s`, `region`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import polars as pl

from pipeline.errors import InvalidInputError, Problem
from pipeline.frames import OUTCOME, TIME
from pipeline.imports.foreign import CHECKS, Foreign, Note, Watched
from pipeline.vocabulary import STATE_OF, Outcome, State

SOURCE = "import"
TIMES = ("scheduled_at", "at", "time", "timestamp")
DEFAULT_INTERVAL_S = 60
_OF_STATE = {
    State.UP.value: Outcome.OK.value,
    State.DEGRADED.value: Outcome.SLOW.value,
    State.DOWN.value: Outcome.FAILED.value,
    State.UNKNOWN.value: Outcome.WORKER_LOST.value,
}


def read(file: Path, *, region: str | None = None) -> list[Foreign]:
    """What the file holds, for each region that it names. `region` is that of rows that name none.

    Errors: InvalidInputError.
    """
    if not file.is_file():
        raise InvalidInputError([Problem("file", f"there is no file {file}")])
    rows = _typed(_scanned(file), region or SOURCE)
    try:
        series = (
            rows.group_by("site", "region")
            .agg(pl.col("interval_s").drop_nulls().last(), first=pl.col("scheduled_at").min(), n=pl.len())
            .sort("site", "region")
            .collect()
        )
    except pl.exceptions.PolarsError as error:
        raise InvalidInputError(
            [Problem("file", f"{file.name} cannot be read: {str(error).splitlines()[0]}")]
        ) from None
    unclear = rows.filter(pl.col("scheduled_at").is_null() | pl.col("outcome").is_null() | pl.col("site").is_null())
    lost = unclear.select(pl.len()).collect().item()
    notes = (
        [Note("", f"{lost} rows have no time, no site or no word for how it went that is known here")] if lost else []
    )
    found: dict[str, list[Watched]] = {}
    for site, name, interval_s, _, _ in series.drop_nulls("site").iter_rows():
        checks = partial(_checks, rows, site, name)
        found.setdefault(name, []).append(Watched(site, {}, interval_s or DEFAULT_INTERVAL_S, checks))
    return [
        Foreign(name, watched, notes if number == 0 else []) for number, (name, watched) in enumerate(found.items())
    ]


def _unreadable(error: pl.exceptions.PolarsError) -> InvalidInputError:
    return InvalidInputError([Problem("file", f"this cannot be read: {str(error).splitlines()[0]}")])


def _scanned(file: Path) -> pl.LazyFrame:
    if file.suffix == ".parquet":
        return pl.scan_parquet(file)
    return pl.scan_csv(file, infer_schema=False, null_values=[""])


def _typed(rows: pl.LazyFrame, region: str) -> pl.LazyFrame:
    try:
        columns = rows.collect_schema()
    except pl.exceptions.PolarsError as error:
        raise _unreadable(error) from None
    at = next((name for name in TIMES if name in columns), None)
    told = next((name for name in ("outcome", "state", "up") if name in columns), None)
    missing = [("site", "site" in columns), (" or ".join(TIMES), at), ("outcome, state or up", told)]
    if problems := [Problem("file", f"there is no column {name}") for name, there in missing if not there]:
        raise InvalidInputError(problems)
    assert at is not None
    assert told is not None
    own: dict[str, pl.Expr] = {
        "site": pl.col("site").cast(pl.String),
        "region": pl.col("region").cast(pl.String).fill_null(region) if "region" in columns else pl.lit(region),
        "scheduled_at": _time(at, columns[at]),
        "outcome": _outcome(told),
    }
    types = dict(CHECKS) | {"interval_s": pl.Int32()}
    defaults: dict[str, object] = {"attempt": 0, "final": True}
    for name, dtype in types.items():
        if name in own:
            continue
        there = name in columns
        given = _flag(name) if dtype == pl.Boolean() else pl.col(name).cast(dtype, strict=False)
        value = given if there else pl.lit(None, dtype)
        own[name] = value.fill_null(defaults[name]) if name in defaults else value
    return rows.select(**own)


def _time(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if isinstance(dtype, pl.Datetime):
        return (
            (column if dtype.time_zone else column.dt.replace_time_zone("UTC")).dt.convert_time_zone("UTC").cast(TIME)
        )
    return column.cast(pl.String).str.to_datetime(time_unit="us", time_zone="UTC", strict=False).cast(TIME)


def _outcome(told: str) -> pl.Expr:
    if told == "up":
        return (
            pl.when(_flag("up"))
            .then(pl.lit(Outcome.OK.value))
            .when(~_flag("up"))
            .then(pl.lit(Outcome.FAILED.value))
            .cast(OUTCOME)
        )
    words = pl.col(told).cast(pl.String).str.to_lowercase()
    if told == "state":
        words = words.replace_strict(_OF_STATE, default=None, return_dtype=pl.String)
    known = [outcome.value for outcome in STATE_OF]
    return pl.when(words.is_in(known)).then(words).cast(OUTCOME)


def _flag(name: str) -> pl.Expr:
    """A truth value, however it is written."""
    words = pl.col(name).cast(pl.String).str.to_lowercase()
    yes, no = ["true", "1", "t", "yes", "up"], ["false", "0", "f", "no", "down"]
    return pl.when(words.is_in(yes)).then(pl.lit(value=True)).when(words.is_in(no)).then(pl.lit(value=False))


def _checks(rows: pl.LazyFrame, site: str, region: str) -> Iterator[pl.DataFrame]:
    mine = rows.filter(pl.col("site") == site, pl.col("region") == region).drop_nulls(["scheduled_at", "outcome"])
    frame = mine.select(list(CHECKS)).sort("scheduled_at", "attempt").collect()
    whole = frame.unique(["scheduled_at", "attempt"], keep="last", maintain_order=True)
    yield from whole.iter_slices(100_000)
