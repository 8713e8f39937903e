"""Exact quantiles over a lake: some sites of a day at a time, as many at once as there are cores.

What is in memory does not grow with the days. By region alone, or over everything, a whole day is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import polars as pl

from pipeline.analysis import exact
from pipeline.answers import EXACT
from pipeline.frames import schema
from pipeline.lake.files import LakeRoot
from pipeline.lake.ticks import collected, settled
from pipeline.wanted import Names

WORKERS = pl.thread_pool_size()  # more take no less time, and more memory
AT_ONCE = 1_000_000  # ticks of a part, some 60 MB


def exact_in(root: LakeRoot, days: Iterable[pl.LazyFrame], every: str, by: Sequence[str], names: Names) -> pl.DataFrame:
    """Frame EXACT by `by` of the rows of files, a lazy frame a UTC day. Errors: UnavailableError, InvalidInputError."""
    numbered = {f"{name}_id": name for name in by}
    keys = {"site": names.site(), "region": names.region()}
    unique = all(len(set(known.values())) == len(known) for known in (names.sites, names.regions))
    parts = (
        (number, part)
        for number, day in enumerate(days)
        for part in (_parts(root, day) if unique and "site" in by else [day])
    )

    nothing = pl.DataFrame(schema=schema(EXACT, [name for name in EXACT if name not in keys or name in by]))

    def one(part: tuple[int, pl.LazyFrame]) -> tuple[int, pl.DataFrame]:
        number, rows = part[0], settled(part[1])
        if not unique:  # a key that was given to another site since is one key
            return number, exact(rows.with_columns(keys[name] for name in by), every, by)
        return number, exact(rows, every, list(numbered)).with_columns(keys[name] for name in by).select(
            nothing.columns
        )

    with root.reached(), ThreadPoolExecutor(WORKERS) as pool:
        try:
            of_days = groupby(pool.map(one, parts), key=lambda found: found[0])
            found = [pl.concat(each for _, each in of_day).sort("at", *by) for _, of_day in of_days]
        except pl.exceptions.ComputeError as error:  # what an object store says comes as one
            raise OSError(str(error)) from error
    return pl.concat([nothing, *found])


def _parts(root: LakeRoot, day: pl.LazyFrame) -> list[pl.LazyFrame]:
    """A day's rows, some sites each: files are sorted by site, so a part is read without most of the others."""
    counts = collected(root, day.group_by("site_id").agg(pl.len())).sort("site_id")
    numbered = counts.with_columns(part=pl.col("len").cast(pl.Int64).cum_sum() // AT_ONCE)
    ends = numbered.group_by("part", maintain_order=True).agg(
        first=pl.col("site_id").min(), last=pl.col("site_id").max()
    )
    return [day.filter(pl.col("site_id").is_between(first, last)) for _, first, last in ends.iter_rows()]
