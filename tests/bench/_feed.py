"""What the roles write while pages are looked at: ticks as they fall due, states, signs of life. One thread."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Self

import psycopg
from msgspec import structs

from pipeline.store.beats import Backlog, WorkerSeen, beat, note_backlogs
from pipeline.store.engine import plain_dsn
from pipeline.store.ticks import store_ticks
from pipeline.vocabulary import Outcome, Phases, Tick
from tests.bench._seeded import BROKE, INTERVAL_S, REGIONS, Seeded, lay_ticks

EVERY_S = 1.0
MARK = "the bench's mark"  # what a tick says that is waited for
_STANDING = f"""
    update series set slot_at = at, fresh_until = at + interval '{2 * INTERVAL_S + 5} s',
        latency_ms = latency_ms * (0.98 + 0.04 * random())
    from (
        select at, extract(epoch from at)::bigint %% {INTERVAL_S} as phase
        from generate_series(date_trunc('second', %(since)s::timestamptz) + interval '1 s', %(until)s, '1 s') as t (at)
    ) as due
    where site_id %% {INTERVAL_S} = phase and fresh_until > %(until)s::timestamptz
"""


class Feeding:
    """Goes on from where the seed ended, once a second, until left."""

    def __init__(self, dsn: str, seeded: Seeded) -> None:
        self._dsn = plain_dsn(dsn)
        self._seeded = seeded
        self._written_until = seeded.now
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._step()  # so that no page finds states of before the seed
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self.failure is not None:
            raise self.failure

    def mark(self, site: int) -> datetime:
        """Commit one tick of the site that tells itself apart; when it was committed."""
        at = datetime.now(UTC)
        phases = Phases(1.0, 2.0, 3.0, 4.0, 5.0)
        tick = Tick(
            site, 1, at, 0, at, Outcome.OK, True, INTERVAL_S, 1, "bench", phases, 15.0, 0.1, 200, detail=f"{MARK} {at}"
        )
        with psycopg.connect(self._dsn) as connection:
            store_ticks(connection, [tick])
        return at

    def _run(self) -> None:
        try:
            while not self._stop.wait(EVERY_S):
                self._step()
        except BaseException as error:  # noqa: BLE001 - told where it is waited for
            self.failure = error

    def _step(self) -> None:
        since, until = self._written_until, datetime.now(UTC)
        with psycopg.connect(self._dsn, options="-c timezone=UTC") as connection:
            lay_ticks(connection, since, until, self._seeded.now - BROKE)
            connection.execute(_STANDING.encode(), {"since": since, "until": until})
            self._signs_of_life(connection, until)
        self._written_until = until

    def _signs_of_life(self, connection: psycopg.Connection, now: datetime) -> None:
        started = self._seeded.now - timedelta(days=1)
        roles: list[tuple[str, int | None]] = [(role, None) for role in ("pusher", "recorder", "roller", "supervisor")]
        roles += [("prober", region) for region in range(1, len(REGIONS) + 1)]
        seen = [WorkerSeen(f"{role}-{region}", role, "bench", 1, started, now, region) for role, region in roles]
        detail = {"held": 4, "in_flight": 6, "in_flight_limit": 256, "probed": 10_000, "busy_s": 9.0, "late": 0}
        lateness = {"lateness_p50_ms": 2.0, "lateness_p95_ms": 9.0, "lateness_p99_ms": 30.0, "stall_ms": 1.0}
        beat(
            connection,
            *(
                structs.replace(each, detail={**detail, **lateness, "rss_mb": 60.0}) if each.role == "prober" else each
                for each in seen
            ),
        )
        note_backlogs(
            connection, [Backlog(region, now, 12, 6, 0.4, 0.2, 20, 0) for region in range(1, len(REGIONS) + 1)]
        )
        connection.execute("update pusher set leader = 'bench', pushed_until = %s, beat_at = %s", [now, now])
