"""Exports as answers: what the export writes into a file is sent while it is being written.

A thread writes, the answer reads, a short queue is between them: however long the range and slow the reader, memory
holds a few pieces. The first piece is waited for, so that whatever is wrong from the start still gets its own status;
later on only a cut connection can tell that a file is not whole, and that is what the client sees.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from queue import Full, Queue
from typing import BinaryIO, Literal, cast

from fastapi.responses import StreamingResponse
from sqlalchemy import Engine

from pipeline.errors import UnavailableError
from pipeline.exports import What, export, suffix
from pipeline.store.explained import explained
from pipeline.workbench import Workbench

Format = Literal["json", "csv", "parquet", "jsonl", "openmetrics"]
File = Literal["csv", "parquet", "jsonl", "openmetrics"]
TYPES: dict[str, str] = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "jsonl": "application/x-ndjson",
    "openmetrics": "application/openmetrics-text; version=2.0.0; charset=utf-8",
}
PIECES = 8  # of at most some megabytes
PATIENCE_S = 60.0  # for a reader that takes nothing; its export then gives its thread and connection back
AT_ONCE = threading.BoundedSemaphore(4)  # each has two connections and a core


class GoneError(Exception):
    """Nobody reads any more."""


def download(
    database: Engine,
    what: What,
    format_: File,
    *,
    now: datetime,
    since: datetime,
    until: datetime,
    sites: list[str] | None,
    regions: list[str] | None,
    name: str,
) -> StreamingResponse:
    """The export as an attachment. Errors: NotFoundError, InvalidInputError, UnavailableError."""

    def run(out: BinaryIO) -> None:
        with explained(), workbench(database, now) as frames:
            export(frames, out, what=what, format=format_, since=since, until=until, sites=sites, regions=regions)

    headers = {"Content-Disposition": f'attachment; filename="{name}.{suffix(format_)}"'}
    return StreamingResponse(streamed(run), media_type=TYPES[format_], headers=headers)


def workbench(database: Engine, now: datetime) -> Workbench:
    """The analysis API on the engine's database, as of now. Close it."""
    return Workbench(database.url.render_as_string(hide_password=False), clock=lambda: now)


def streamed(run: Callable[[BinaryIO], None]) -> Iterator[bytes]:
    """What `run` writes, piece by piece. What it raises before the first piece is raised here and now."""
    if not AT_ONCE.acquire(blocking=False):
        raise UnavailableError("Several exports are running already. Try again when they are done.")
    pipe = _Pipe()

    def write() -> None:
        try:
            run(cast("BinaryIO", pipe))
            pipe.put(None)
        except GoneError:
            pass
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is made
            pipe.give_up(error)
        finally:
            AT_ONCE.release()

    threading.Thread(target=write, name="export", daemon=True).start()
    first = pipe.take()
    return _rest(pipe, first)


def _rest(pipe: _Pipe, piece: bytes | None) -> Iterator[bytes]:
    try:
        while piece is not None:
            yield piece
            piece = pipe.take()
    finally:
        pipe.close_reader()


class _Pipe:
    """As much of a file as writers of CSV and Parquet ask for, with a queue behind it."""

    closed = False

    def __init__(self) -> None:
        self._queue: Queue[bytes | BaseException | None] = Queue(PIECES)
        self._gone = threading.Event()
        self._written = 0

    def write(self, data: bytes) -> int:
        piece = bytes(data)
        if piece:
            self.put(piece)
            self._written += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Every piece is on its way already."""

    def close(self) -> None:
        """The end is told by `put(None)`, once the export is whole."""

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def put(self, piece: bytes | BaseException | None) -> None:
        try:
            self._queue.put(piece, timeout=PATIENCE_S)
        except Full:
            self._gone.set()
        if self._gone.is_set():
            raise GoneError

    def give_up(self, error: BaseException) -> None:
        try:
            self.put(error)
        except GoneError:
            return

    def take(self) -> bytes | None:
        piece = self._queue.get()
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def close_reader(self) -> None:
        """Let the writer go, who may be waiting for room."""
        self._gone.set()
        while not self._queue.empty():
            self._queue.get_nowait()
