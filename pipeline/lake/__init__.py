"""The Parquet archive as such, without a server: where it lies, what a day's file holds, and how it is read.

`files` knows folder and bucket, `ticks` the columns, `day` how a day is written and checked, `exact` quantiles over
many days, and `alone` is the Lake that `pipeline.connect` gives for a folder or URL. What Postgres has to do with it
is in `pipeline.store`: `lake` archives and drops, `cold` and `lake_reads` read what is dropped.
"""
