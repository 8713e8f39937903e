"""Places among the probes in flight: first come, first served, and fewer while the loop cannot keep up."""

from __future__ import annotations

import asyncio

import pytest

from workers.places import LEAST, Places


def test_who_came_first_is_first_and_none_is_lost() -> None:
    async def main() -> list[int]:
        places = Places(2)
        came: list[int] = []

        async def work(number: int) -> None:
            await places.take()
            came.append(number)
            await asyncio.sleep(0)
            places.give()

        await asyncio.gather(*(work(number) for number in range(50)))
        assert places._taken == 0
        return came

    assert asyncio.run(main()) == list(range(50))


def test_who_is_cancelled_leaves_no_place_behind() -> None:
    async def main() -> None:
        places = Places(1)
        await places.take()
        waiting, after = asyncio.create_task(places.take()), asyncio.create_task(places.take())
        await asyncio.sleep(0)
        places.give()  # to the first, …
        waiting.cancel()  # … who does not want it any more
        await asyncio.wait_for(after, 5)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        places.give()
        assert places._taken == 0

    asyncio.run(main())


def test_they_are_fewer_while_the_loop_stands_still_and_come_back_when_it_does_not() -> None:
    places = Places(500)
    for _ in range(3):
        places.adapt(150.0)
    assert places.limit == 210
    places.adapt(50.0)
    assert places.limit == 210
    for _ in range(20):
        places.adapt(1.0)
    assert places.limit == 500
    for _ in range(50):
        places.adapt(1000.0)
    assert places.limit == LEAST


def test_a_small_prober_stays_as_it_is() -> None:
    places = Places(4)
    places.adapt(1000.0)
    assert places.limit == 4


def test_more_places_let_in_who_waits() -> None:
    async def main() -> None:
        places = Places(160)
        for _ in range(10):
            places.adapt(1000.0)
        waits = [asyncio.create_task(places.take()) for _ in range(80)]
        await asyncio.sleep(0.01)
        assert sum(wait.done() for wait in waits) == LEAST
        for _ in range(5):
            places.adapt(0.0)
        await asyncio.wait_for(asyncio.gather(*waits), 5)

    asyncio.run(main())
