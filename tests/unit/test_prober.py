"""How a prober ends: also where a library loses the word that it should."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from workers.prober import _end


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
