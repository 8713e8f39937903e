"""A real Postgres and a real Valkey from Python wheels, private to whoever starts them.

    with running(Path(".betterstack")) as servers:
        psycopg.connect(servers.database_url)

Nothing listens on TCP: a folder that only its owner may enter is the whole protection, and enough of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.settings import Settings
from workers.embedded import folder, identity, postgres, valkey
from workers.embedded.daemon import Daemon

REVIVE_EVERY_S = 1.0


@dataclass
class Servers:
    """Both servers, running; the URLs equal those of `Settings(data_dir=…)`."""

    database_url: str
    redis_url: str
    postgres: Daemon
    valkey: Daemon
    _revived_at: float = 0.0

    def revive(self) -> list[str]:
        """Start again what has died, without waiting for it; the names of those. Call it as often as you like."""
        dead = [daemon for daemon in (self.postgres, self.valkey) if not daemon.alive()]
        if not dead or time.monotonic() - self._revived_at < REVIVE_EVERY_S:
            return []
        self._revived_at = time.monotonic()
        for daemon in dead:
            if daemon is self.postgres:
                postgres.clear_stale_pid(daemon.folder)
            daemon.start()
        return [daemon.name for daemon in dead]


def _silent(_line: str) -> None:
    pass


@contextmanager
def running(data_dir: Path, *, say: Callable[[str], None] = _silent) -> Iterator[Servers]:
    """Start both servers on `data_dir`, created where missing; stop them at the end.

    Call it in the main thread: the kernel ends the servers with the *thread* that started them. `say` is given a
    line for each part that is ready or takes long. Raises `UnavailableError` with what to do.
    """
    data_dir = data_dir.resolve()
    settings = Settings(data_dir=data_dir, database_url=None, redis_url=None)
    who = identity.for_postgres()
    with folder.claimed(data_dir, who, say) as claim, ExitStack() as stack:
        began = time.monotonic()
        wire = valkey.daemon(claim)
        stack.callback(wire.stop, patience_s=valkey.PATIENCE_S)
        wire.start()  # reads its log while Postgres starts
        truth = postgres.daemon(claim, who)
        stack.callback(truth.stop, patience_s=postgres.PATIENCE_S, then=postgres.HURRY)
        postgres.create(truth, say)
        postgres.clear_stale_pid(truth.folder)
        truth.start()
        truth.wait_until(lambda: postgres.ready(truth), say)
        say(f"Postgres ready {time.monotonic() - began:.1f} s")
        wire.wait_until(lambda: valkey.ready(wire), say)
        say(f"Valkey ready {time.monotonic() - began:.1f} s")
        yield Servers(settings.database, settings.redis, truth, wire)
