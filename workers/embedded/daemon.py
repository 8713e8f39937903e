"""One server process of ours: started through `workers/launch.py`, so that it never outlives us."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import UnavailableError
from workers.embedded.identity import SAME, Identity, launched

LOG_LIMIT_BYTES = 10_000_000  # one older log is kept, so 20 MB a server
POLL_S = 0.01
SAY_EVERY_S = 5.0
TAIL_LINES = 8


@dataclass(frozen=True, slots=True)
class Claim:
    """A data dir that is ours. Servers inherit the lock's descriptor, so the lock is free once all are gone."""

    data_dir: Path
    lock: int

    def log(self, name: str) -> Path:
        return self.data_dir / "logs" / f"{name.lower()}.log"


@dataclass
class Daemon:
    """A server by its command line; `stop_signal` is also what it gets when we are killed."""

    name: str
    command: Sequence[str]
    folder: Path
    claim: Claim
    stop_signal: signal.Signals
    identity: Identity = SAME
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def log(self) -> Path:
        return self.claim.log(self.name)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise UnavailableError(f"{self.name} has not been started")
        return self._process.pid

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 (our own command line)
                launched(self.command, self.folder, self.stop_signal, self.identity),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                pass_fds=(self.claim.lock,),
                process_group=0,  # a terminal's Ctrl-C is for us alone, we stop our servers in order
                umask=0o077,
            )

    def wait_until(self, ready: Callable[[], bool], say: Callable[[str], None]) -> None:
        """Wait as long as it lives: recovery after a crash may take minutes, and giving up would not shorten it."""
        began = said = time.monotonic()
        while not ready():
            if not self._lives_for(POLL_S):
                raise UnavailableError(f"{self.name} did not start. The end of {self.log}:\n{tail(self.log)}")
            now = time.monotonic()
            if now - said >= SAY_EVERY_S:
                said = now
                say(f"{self.name} is still starting after {now - began:.0f} s: {tail(self.log, 1)}")

    def stop(self, *, patience_s: float, then: signal.Signals = signal.SIGKILL) -> None:
        """Ask, wait for `patience_s`, insist with `then`, and kill at last. Does nothing when it isn't running."""
        if self._process is None:
            return
        for signum in (self.stop_signal, then, signal.SIGKILL):
            self._process.send_signal(signum)
            if not self._lives_for(patience_s):
                return
        self._process.wait()

    def _lives_for(self, seconds: float) -> bool:
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return True
        return False


def run_once(daemon: Daemon, command: Sequence[str], script: str = "") -> None:
    """Run a command as the daemon would be run, to its end, with `script` as its input."""
    with daemon.log.open("ab") as log:
        done = subprocess.run(  # noqa: S603 (our own command line)
            launched(command, daemon.folder, signal.SIGTERM, daemon.identity),
            input=script.encode(),
            stdout=log,
            stderr=log,
            env=environment(),
            pass_fds=(daemon.claim.lock,),
            process_group=0,
            umask=0o077,
            check=False,
        )
    if done.returncode != 0:
        raise UnavailableError(f"{daemon.name} could not be set up. The end of {daemon.log}:\n{tail(daemon.log)}")


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log, its end being what a person needs to see."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        text = file.read().decode(errors="replace").strip()
    return "\n".join(text.splitlines()[-lines:])


def environment() -> dict[str, str]:
    """Next to nothing: a PGPORT or a locale of the caller's must not change the servers."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
