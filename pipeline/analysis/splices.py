"""What changed within a window of a day goes into the day's spans, without looking at the rest of the day.

The first and the last hour of a window have not changed (or are the day's): what crosses the window's ends goes on
there in the state that it had. A day that cannot be told from its window alone is named, to be made from scratch.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from pipeline.analysis.spans import SERIES, merged

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
KEY = ("at", *SERIES)


def windows_of(touched: pl.DataFrame) -> pl.DataFrame:
    """[at, *SERIES, begins, ends] of changed hours [at, *SERIES]: by UTC day, an hour more on either side.

    The series of a site share a window, since they vote together.
    """
    hours = touched.with_columns(day=pl.col("at").dt.truncate("1d"))
    together = hours.group_by("day", "site_id").agg(first=pl.col("at").min(), last=pl.col("at").max())
    series = hours.select("day", *SERIES).unique()
    return (
        series.join(together, on=("day", "site_id"))
        .select(
            *SERIES,
            at="day",
            begins=pl.max_horizontal("day", pl.col("first") - HOUR),
            ends=pl.min_horizontal(pl.col("day") + DAY, pl.col("last") + 2 * HOUR),
        )
        .select(*KEY, "begins", "ends")
    )


def spliced_regions(
    stored: pl.DataFrame, old: pl.DataFrame, new: pl.DataFrame, windows: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that take the place of `stored`, and the series-days [at, *SERIES] that have to be made from scratch.

    `stored` [at, *SERIES, state, since, until, last_at, checks] are the day's spans that reach into a window, `old` and
    `new` the window's own: as it was, and as it is.
    """
    columns = stored.columns
    around = stored.join(windows, on=KEY)
    left, right = around.filter(pl.col("since") < pl.col("begins")), around.filter(pl.col("until") > pl.col("ends"))
    through = left.join(right, on=[*KEY, "since"], how="semi")
    first = old.select(*KEY, begins="since", inside="checks")
    last = old.select(*KEY, ends="until", inside="checks")
    # What a crossing span has outside is what it had less what it had inside.
    before = left.join(first, on=[*KEY, "begins"], how="left").with_columns(until="begins")
    after = right.join(last, on=[*KEY, "ends"], how="left").with_columns(since="ends")
    halves = through.select(KEY).with_columns(both=pl.lit(value=True))
    after = after.join(halves, on=KEY, how="left").with_columns(
        inside=pl.when(pl.col("both").is_not_null()).then("checks").otherwise("inside")
    )
    outside = [part.with_columns(checks=pl.col("checks") - pl.col("inside")) for part in (before, after)]
    # One span through the window: how much of it is before and how much after is known only together.
    whole = new.join(windows, on=KEY).filter(pl.col("since") == pl.col("begins"), pl.col("until") == pl.col("ends"))
    torn = through.join(whole, on=[*KEY, "state"], how="anti")
    lost = [part.filter(pl.col("inside").is_null()) for part in outside]
    scratch = pl.concat([part.select(KEY) for part in (torn, *lost)]).unique()
    parts = pl.concat([part.select(columns) for part in (*outside, new)]).join(scratch, on=KEY, how="anti")
    return merged(parts.sort(*KEY, "since"), KEY).select(columns), scratch


def spliced_votes(stored: pl.DataFrame, new: pl.DataFrame, windows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same of a site's spans: `windows` are [at, site_id, begins, ends], `new` are votes within them."""
    key = ("at", "site_id")
    around = stored.join(windows, on=key)
    first = around.filter(pl.col("since") <= pl.col("begins"), pl.col("begins") < pl.col("until"))
    last = around.filter(pl.col("since") < pl.col("ends"), pl.col("ends") <= pl.col("until"))
    begins = ("down", "known", "regions", "began_after")
    renamed = [pl.col(name).alias(f"{name}_was") for name in begins]
    head = first.select(*key, "state", *renamed, since="begins", since_was="since")
    tail = last.select(*key, "state", until="ends", until_was="until", ended_after_was="ended_after")
    rows = (
        new.with_columns(fresh=pl.lit(value=True))
        .join(head, on=[*key, "state", "since"], how="left")
        .join(tail, on=[*key, "state", "until"], how="left")
    )
    within = rows.join(windows, on=key)
    headless = within.filter(
        pl.col("since") == pl.col("begins"), pl.col("since_was").is_null(), pl.col("begins") > pl.col("at")
    )
    endless = within.filter(
        pl.col("until") == pl.col("ends"), pl.col("until_was").is_null(), pl.col("ends") < pl.col("at") + DAY
    )
    # What is stored reaches into the window, and the window does not meet it: it was never voted on, or has ended.
    unmet = [
        part.join(rows.filter(pl.col(f"{name}_was").is_not_null()), on=key, how="anti")
        for part, name in ((first, "since"), (last, "until"))
    ]
    never = windows.join(stored, on=key, how="anti").filter(
        (pl.col("begins") > pl.col("at")) | (pl.col("ends") < pl.col("at") + DAY)
    )
    scratch = pl.concat([part.select(key) for part in (headless, endless, *unmet, never)]).unique()
    kept = pl.col("since_was").is_not_null()
    found = rows.with_columns(
        *(pl.when(kept).then(f"{name}_was").otherwise(name).alias(name) for name in begins),
        since=pl.col("since_was").fill_null(pl.col("since")),
        until=pl.col("until_was").fill_null(pl.col("until")),
        ended_after=pl.when(pl.col("until_was").is_not_null()).then("ended_after_was").otherwise("ended_after"),
    )
    return found.join(scratch, on=key, how="anti").select(stored.columns).sort(*key, "since"), scratch
