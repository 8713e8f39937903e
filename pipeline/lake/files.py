"""Where a lake lies, and how a file gets there whole: a local folder, or a bucket that speaks S3.

pyarrow's file systems write, polars' own object store reads (it prunes row groups and columns there). Both came with
us already, so an S3 lake costs no further library. Credentials and endpoint come from the environment, by the names
that every S3 tool knows: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pipeline.errors import UnavailableError

if TYPE_CHECKING:
    import polars as pl
    from pyarrow.fs import FileSystem

S3 = "s3://"
PART = ".part"  # what is not whole yet: no engine that looks for *.parquet finds it


class LakeRoot(Struct, frozen=True):
    """The folder or the `s3://bucket/prefix` that everything lies below."""

    url: str

    @classmethod
    def of(cls, where: str | Path) -> LakeRoot:
        text = str(where)
        return cls(text.rstrip("/") if text.startswith(S3) else str(Path(text).expanduser().resolve()))

    def __str__(self) -> str:
        return self.url

    @property
    def remote(self) -> bool:
        return self.url.startswith(S3)

    def path(self, relative: str) -> str:
        """A file below it, as polars, DuckDB and pandas take it."""
        return f"{self.url}/{relative}"

    def options(self) -> dict[str, str] | None:
        """What polars needs to read there."""
        if not self.remote:
            return None
        endpoint = _endpoint()
        found = {"aws_region": _region()}
        if endpoint is not None:
            found["aws_endpoint_url"] = endpoint
            found["aws_allow_http"] = str(endpoint.startswith("http://")).lower()
        return found

    def filesystem(self) -> FileSystem:
        """What pyarrow writes with."""
        from pyarrow import fs

        if not self.remote:
            return fs.LocalFileSystem()
        scheme, _, host = (_endpoint() or "").rpartition("://")
        more = {"endpoint_override": host, "scheme": scheme or "https"} if host else {}
        return fs.S3FileSystem(region=_region(), connect_timeout=10, request_timeout=60, **more)

    def inside(self, relative: str) -> str:
        """A file below it, as pyarrow's file system takes it."""
        return self.path(relative).removeprefix(S3)

    def size(self, relative: str) -> int | None:
        """Bytes of a file; None where it is not there. Errors: UnavailableError."""
        with self.reached():
            info = self.filesystem().get_file_info(self.inside(relative))
        return info.size if info.is_file else None

    def read(self, relative: str, types: pl.Schema | None = None) -> pl.LazyFrame:
        """A Parquet file, as a lazy frame. With its types nobody needs to look at it to plan a query."""
        import polars as pl

        return pl.scan_parquet(
            self.path(relative), storage_options=self.options(), hive_partitioning=False, schema=types
        )

    @contextmanager
    def writing(self, relative: str) -> Iterator[Any]:
        """A file to write, below its name with `.part`: `publish` gives it its own. Errors: UnavailableError."""
        with self.reached():
            files = self.filesystem()
            part = self.inside(relative) + PART
            if not self.remote:
                files.create_dir(part.rpartition("/")[0], recursive=True)
            with files.open_output_stream(part) as sink:
                yield sink

    def publish(self, relative: str) -> None:
        """Give what was written its name, in the place of what had it. It is on the disk before it is seen."""
        final = self.inside(relative)
        with self.reached():
            if not self.remote:
                _sync(Path(final + PART))
            self.filesystem().move(final + PART, final)
            if not self.remote:
                _sync(Path(final).parent)

    def days(self) -> list[date]:
        """The UTC days that have ticks in it, in order. Errors: UnavailableError."""
        from pyarrow import fs

        with self.reached():
            chosen = fs.FileSelector(self.inside("ticks"), allow_not_found=True, recursive=True)
            paths = [info.path for info in self.filesystem().get_file_info(chosen) if info.is_file]
        names = {path.split("/")[-2] for path in paths if path.endswith(".parquet")}
        return sorted(date.fromisoformat(name.removeprefix("date=")) for name in names if name.startswith("date="))

    @contextmanager
    def reached(self) -> Iterator[None]:
        """What goes wrong with the place, in words. Errors: UnavailableError."""
        try:
            yield
        except OSError as error:
            way_out = "its endpoint and credentials are AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY"
            hint = way_out if self.remote else "see that the folder is there, and has room"
            raise UnavailableError(
                f"The lake at {self.url} cannot be used: {error}. BETTERSTACK_LAKE names it; {hint}."
            ) from error


def of_day(day: date) -> str:
    """The file of a UTC day's ticks, below the root."""
    return f"ticks/date={day.isoformat()}/ticks.parquet"


def _sync(path: Path) -> None:
    """Onto the disk, for good: what Postgres is about to forget must survive the power going."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def _region() -> str:
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
