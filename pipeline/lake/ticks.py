"""A day of ticks as a Parquet file: its columns, and how they become frame TICKS again.

Latencies are whole microseconds, which is the precision they are recorded with: as integers they take half the room
that the same numbers take as floats, and come back to the very Float32. `late_us` is when the attempt began, counted
from when it was due. Words are words, so that any engine reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from pipeline.frames import KIND, STATE, TICKS, TIME, decoded, schema, state_of
from pipeline.lake.files import LakeRoot
from pipeline.vocabulary import Kind, State
from pipeline.wanted import Names, Wanted

KEY = ("site_id", "region_id", "scheduled_at", "attempt")
MEASURED = ("dns", "connect", "tls", "ttfb", "transfer", "latency", "error")  # _ms in frames, _us in files
CODED = ("outcome", "kind", "clock", "source")

COLUMNS: dict[str, pl.DataType] = {
    "site": pl.String(),
    "region": pl.String(),
    "site_id": pl.Int32(),
    "region_id": pl.Int32(),
    "scheduled_at": TIME,
    "late_us": pl.Int64(),
    "attempt": pl.Int16(),
    "state": pl.String(),
    "outcome": pl.String(),
    "status": pl.Int16(),
    **{f"{name}_us": pl.Int64() for name in MEASURED},
    "clock": pl.String(),
    "trusted": pl.Boolean(),
    "ip": pl.String(),
    "bytes": pl.Int32(),
    "interval_s": pl.Int32(),
    "final": pl.Boolean(),
    "kind": pl.String(),
    "source": pl.String(),
    "prober": pl.String(),
    "revision": pl.Int32(),
    "detail": pl.String(),
}


def packed(stored: pl.DataFrame, names: Names) -> pl.DataFrame:
    """Rows of the table (codes, milliseconds) as the file holds them."""
    late = (pl.col("started_at") - pl.col("scheduled_at")).dt.total_microseconds()
    return stored.select(
        names.site().cast(pl.String),
        names.region().cast(pl.String),
        *(pl.col(name) for name in COLUMNS if name in stored.columns and name not in CODED),
        late.alias("late_us"),
        state_of().cast(pl.String),
        *(decoded(name).cast(pl.String) for name in CODED),
        *(_us(name) for name in MEASURED),
    ).select(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items())


def changed(stored: pl.DataFrame) -> int:
    """How many rows of the table have a number finer than a microsecond, which the file does not keep."""
    differs = [_ms(_us(name), name).ne_missing(pl.col(f"{name}_ms")) for name in MEASURED]
    return int(stored.select(pl.any_horizontal(differs).sum()).item())


def unpacked(rows: pl.LazyFrame, names: Names | None, columns: Sequence[str] = tuple(TICKS)) -> pl.LazyFrame:
    """Frame TICKS (these columns) of a file's rows. Keys by `names`, as they are now; without, as they were then."""
    made: dict[str, pl.Expr] = {
        "started_at": pl.col("scheduled_at") + pl.duration(microseconds="late_us"),
        **{f"{name}_ms": _ms(pl.col(f"{name}_us"), name) for name in MEASURED},
    }
    if names is not None:
        made |= {"site": names.site(), "region": names.region()}
    types = schema(TICKS, columns)
    return rows.select(made.get(name, pl.col(name)).cast(dtype).alias(name) for name, dtype in types.items())


def settled(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The final scheduled attempts as frame TICKS, what is asked of every one of them: without turning words into enums
    one by one, which costs more than to read them."""
    words = [state.value for state in (State.UP, State.DEGRADED, State.DOWN)]
    state = pl.lit(STATE.categories.to_list().index(State.UNKNOWN.value), pl.UInt8)
    for word in words:
        code = pl.lit(STATE.categories.to_list().index(word), pl.UInt8)
        state = pl.when(pl.col("state") == word).then(code).otherwise(state)
    return rows.filter("final", pl.col("kind") == Kind.SCHEDULED.value).select(
        "scheduled_at",
        "site_id",
        "region_id",
        "attempt",
        "interval_s",
        "trusted",
        "final",
        state=state.cat.to(STATE),
        latency_ms=_ms(pl.col("latency_us"), "latency"),
        kind=pl.lit(Kind.SCHEDULED.value, KIND),
    )


def rows_of(root: LakeRoot, relative: str) -> pl.LazyFrame:
    """A file's rows; nothing is read before they are collected."""
    return root.read(relative, pl.Schema(COLUMNS))


def chosen(rows: pl.LazyFrame, wanted: Wanted) -> pl.LazyFrame:
    """The rows wanted, by what the file's statistics tell apart."""
    found = rows.filter(pl.col("scheduled_at") >= wanted.since, pl.col("scheduled_at") < wanted.until)
    for column, numbers in (("site_id", wanted.site_ids), ("region_id", wanted.region_ids)):
        if numbers is not None:
            found = found.filter(pl.col(column).is_in(sorted(numbers)))
    return found


def read_whole(root: LakeRoot, rows: pl.LazyFrame, batch: int) -> Iterator[pl.DataFrame]:
    """A lazy frame over the lake's files, some rows at a time. Errors: UnavailableError."""
    with root.reached():
        try:
            yield from rows.collect_batches(chunk_size=batch)
        except pl.exceptions.ComputeError as error:
            raise OSError(str(error)) from error


def collected(root: LakeRoot, rows: pl.LazyFrame) -> pl.DataFrame:
    """A lazy frame over the lake's files, read. Errors: UnavailableError."""
    with root.reached():
        try:
            return rows.collect()
        except pl.exceptions.ComputeError as error:  # what an object store says comes as one
            raise OSError(str(error)) from error


def nothing() -> pl.LazyFrame:
    """A file without rows."""
    return pl.LazyFrame(schema=COLUMNS)


def _us(name: str) -> pl.Expr:
    whole = (pl.col(f"{name}_ms").cast(pl.Float64) * 1000).round()
    return pl.when(whole.is_finite()).then(whole).cast(pl.Int64).alias(f"{name}_us")


def _ms(us: pl.Expr, name: str) -> pl.Expr:
    return (us.cast(pl.Float64) / 1000).cast(pl.Float32).alias(f"{name}_ms")
