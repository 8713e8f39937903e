"""What every role needs at its edges: a log, a way to be told to stop, and an end when its supervisor ends.

Standard library only and two light modules of ours, so that a prober pays nothing for it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from json import dumps
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType
from typing import Self

from pipeline.errors import WorkbenchError
from workers.launch import set_parent_death_signal

log = logging.getLogger("lifecycle")

SUPERVISOR_PID = "BETTERSTACK_SUPERVISOR_PID"
ALIVE_EVERY_S = 2.0
ORPHAN_GRACE_S = 5.0  # an orphan may drain for this long; its servers are going down at the same time

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_CHATTY = ("httpx", "httpcore", "apscheduler", "alembic", "uvicorn.access")  # one line a check, a beat or a request
_STANDARD_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime", "action"}


class Stop:
    """Set once, by a signal or by hand; everybody who waits wakes up.

    A signal handler runs in the main thread between two bytecodes, possibly inside `threading.Event.wait`,
    whose lock it would then wait for, forever. `SimpleQueue.put` is reentrant, so the news travels through one.
    """

    def __init__(self) -> None:
        self._set = False
        self._news: SimpleQueue[None] = SimpleQueue()

    @classmethod
    def on_signals(cls) -> Self:
        """A stop that SIGTERM and SIGINT set. Call it in the main thread."""
        stop = cls()

        def handle(_signum: int, _frame: FrameType | None) -> None:
            stop.set()

        for signum in _STOP_SIGNALS:
            signal.signal(signum, handle)
        return stop

    def set(self) -> None:
        self._set = True
        self._news.put(None)

    def is_set(self) -> bool:
        return self._set

    def __bool__(self) -> bool:
        return self._set

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until set, `seconds` at most; True when set."""
        if self._set:
            return True
        try:
            self._news.get(timeout=None if seconds is None else max(seconds, 0.0))
        except Empty:
            return self._set
        self._news.put(None)  # for the next one who waits
        return True


def stop_event() -> asyncio.Event:
    """An event of the running loop that SIGTERM and SIGINT set."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in _STOP_SIGNALS:
        loop.add_signal_handler(signum, event.set)
    return event


class AliveFile:
    """A file that a role touches while its loop turns, so that a container's health check needs no Python.

    It says that the loop turns, not that Postgres or Redis answer: a restart of ours would not cure them.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._touched = 0.0

    def touch(self) -> None:
        if self.path is None or time.monotonic() - self._touched < ALIVE_EVERY_S:
            return
        self._touched = time.monotonic()
        try:
            self.path.touch()
        except OSError as error:
            log.warning("cannot touch the alive file", extra={"action": "alive_file_refused", "error": str(error)})


ALIVE = AliveFile()
stay_alive = ALIVE.touch


def exit_on_signals() -> None:
    """End as told on SIGTERM and SIGINT: for a role whose server drains by itself and then passes the signal on."""

    def leave(_signum: int, _frame: FrameType | None) -> None:
        sys.exit(0)

    for signum in _STOP_SIGNALS:
        signal.signal(signum, leave)


def die_with_parent() -> None:
    """End when the supervisor that started us ends, even by kill -9; do nothing for a role started by hand.

    The kernel's parent-death signal comes at once. The thread covers what it cannot: a supervisor that died before
    we asked for the signal, a system without it, and a role that never finishes draining.
    """
    supervisor = os.environ.get(SUPERVISOR_PID)
    if supervisor is None:
        return
    set_parent_death_signal(signal.SIGTERM)
    threading.Thread(target=_end_without, args=(int(supervisor),), name="parent watch", daemon=True).start()


def _end_without(supervisor: int) -> None:
    while os.getppid() == supervisor:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ORPHAN_GRACE_S)
    os._exit(1)


def configure_logging(role: str, *, json: bool, level: str) -> None:
    """Send everything to stderr: `HH:MM:SS role message key=value`, or one JSON object a line."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter(role) if json else ConsoleFormatter(role))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def lifetime(version: str, *, json: bool) -> Iterator[None]:
    """Log that a role begins and that it ends. For machines, what nobody caught becomes a line as well."""
    if json:
        threading.excepthook = _log_thread_death
    log.info("role started", extra={"action": "role_started", "version": version})
    try:
        yield
    except SystemExit as end:
        if end.code not in (0, None):
            raise
    except Exception as error:
        if not json:
            raise
        expected = isinstance(error, WorkbenchError)  # then its message says all
        log.critical(str(error) or repr(error), exc_info=not expected, extra={"action": "role_failed"})
        sys.exit(1)
    log.info("role stopped", extra={"action": "role_stopped", "version": version})


def _log_thread_death(death: threading.ExceptHookArgs) -> None:
    trace = (death.exc_type, death.exc_value or death.exc_type(), death.exc_traceback)
    log.critical("a thread broke", exc_info=trace, extra={"action": "thread_broke"})


class ConsoleFormatter(logging.Formatter):
    """For eyes: local time, the level only where it is worth a look, extras as key=value."""

    def __init__(self, role: str) -> None:
        super().__init__(datefmt="%H:%M:%S")
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        level = [record.levelname] if record.levelno >= logging.WARNING else []
        extras = [f"{key}={value}" for key, value in _extras(record).items()]
        line = " ".join([self.formatTime(record, self.datefmt), self._role, *level, record.getMessage(), *extras])
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """For machines: one object a line; `action` names the event, so that nobody parses sentences."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "role": self._role,
            "level": record.levelname,
            "logger": record.name,
            "action": getattr(record, "action", None),
            "message": record.getMessage(),
            **_extras(record),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return dumps(entry, default=str)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD_FIELDS}
