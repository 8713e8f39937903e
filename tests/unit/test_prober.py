"""How a prober ends: also where a library loses the word that it should."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from pipeline.settings import Settings
from pipeline.vocabulary import Check, Network, Outcome, Probe, Spec
from workers.courier import Courier, Done
from workers.prober import Prober, _end
from workers.probes import ProbeFunction
from workers.sealing import Opener

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    async def main() -> tuple[bool, bool]:
        async def deaf() -> None:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            await asyncio.sleep(60)

        async def broken() -> None:
            raise OSError

        tasks = [asyncio.create_task(deaf()), asyncio.create_task(broken())]
        await asyncio.sleep(0)
        await asyncio.wait_for(_end(*tasks), 10)
        return tasks[0].cancelled(), tasks[1].done()

    assert asyncio.run(main()) == (True, True)


@pytest.mark.parametrize("broken", [Probe(Outcome.STATUS, detail=5), Probe(Outcome.OK, ip=5), None])  # type: ignore[arg-type] # that is the point
def test_whatever_breaks_between_a_probe_and_its_tick_the_entry_ends_with_one(broken: Probe | None) -> None:
    """One that is held and never handed over is nobody's: not ours to claim, not another's."""

    async def probe(_spec: Spec, _network: Network) -> Probe:
        return broken  # type: ignore[return-value] # see above

    [done] = asyncio.run(_seen_through(probe))
    assert (done.tick.outcome, done.tick.final, done.confirmation) == (Outcome.POISON, True, None)
    assert "our prober failed" in (done.tick.detail or "")


async def _seen_through(probe: ProbeFunction) -> list[Done]:
    settings = Settings(database_url=None, redis_url=None, secret_key=None)
    courier = Courier("redis://127.0.0.1:1", "eu", "eu-1")
    prober = Prober(courier, in_flight=1, clock=lambda: NOW, opener=Opener("eu", settings), probes={"http": probe})
    try:
        await prober._see_through(b"1-0", Check(1, 1, NOW, 1, 60, Spec("http://127.0.0.1/")))
        return list(prober._finished)
    finally:
        await courier.close()
