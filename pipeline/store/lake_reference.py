"""What a lake needs beside its ticks to be read without a server: sites, regions, what was called for, and periods.

Each is the latest state, one small Parquet file, replaced whole.
"""

from __future__ import annotations

import polars as pl
from psycopg import sql

from pipeline.frames import REGIONS, SITES, TIME, schema
from pipeline.lake.files import LakeRoot
from pipeline.store.scans import read
from pipeline.workbench import Workbench

DELETED = {"deleted_at": TIME}
REVISIONS = pl.Schema(
    {
        "id": pl.Int64(),
        "site_id": pl.Int32(),
        "region_id": pl.Int32(),
        "effective_at": TIME,
        "active": pl.Boolean(),
        "interval_s": pl.Int32(),
    }
)
PERIODS = pl.Schema(
    {
        "id": pl.Int64(),
        "kind": pl.String(),
        "site_id": pl.Int32(),
        "region_id": pl.Int32(),
        "since": TIME,
        "until": TIME,
        "reason": pl.String(),
        "actor": pl.String(),
    }
)
_GONE = {
    "sites": pl.Schema({"site": pl.String(), "site_id": pl.Int32(), "name": pl.String(), **DELETED}),
    "regions": pl.Schema({"region": pl.String(), "region_id": pl.Int32(), "name": pl.String(), **DELETED}),
}


def write_reference(dsn: str, root: LakeRoot) -> None:
    """Write sites, regions, revisions and periods as they are now. Errors: UnavailableError."""
    with Workbench(dsn) as bench:
        living = {"sites": bench.sites().select(list(SITES)), "regions": bench.regions().select(list(REGIONS))}
    for name, frame in living.items():
        _write(root, name, pl.concat([frame, _gone(dsn, name)], how="diagonal_relaxed"))
    _write(root, "revisions", read(dsn, _columns("revisions", REVISIONS), REVISIONS))
    periods = sql.SQL("{} where deleted_at is null").format(_columns("periods", PERIODS))
    _write(root, "periods", read(dsn, periods, PERIODS))


def _gone(dsn: str, table: str) -> pl.DataFrame:
    """Sites or regions that are no more: their ticks are still there, and so are their names."""
    kind = table.removesuffix("s")
    query = sql.SQL("select key as {}, id as {}, name, deleted_at from {} where deleted_at is not null").format(
        sql.Identifier(kind), sql.Identifier(f"{kind}_id"), sql.Identifier(table)
    )
    types = schema(SITES if kind == "site" else REGIONS, [kind])
    return read(dsn, query, _GONE[table]).cast({kind: types[kind]})


def _columns(table: str, types: pl.Schema) -> sql.Composed:
    return sql.SQL("select {} from {}").format(sql.SQL(", ").join(map(sql.Identifier, types)), sql.Identifier(table))


def _write(root: LakeRoot, name: str, frame: pl.DataFrame) -> None:
    whole = frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    with root.writing(f"{name}.parquet") as sink:
        whole.write_parquet(sink)
    root.publish(f"{name}.parquet")
