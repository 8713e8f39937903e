"""Whoever takes long to judge is judged apart, waits for others like it, and nobody waits for them."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from pipeline.vocabulary import Expect, Outcome, Spec
from workers.probes import judging
from workers.probes.judging import AT_ONCE_BYTES, MOST_WAITING, Lanes
from workers.probes.trace import ProbeError

LARGE = 2**20
SLOW = [Spec("http://a.example/", expect=Expect(body_matches=(str(n),))) for n in range(2 * MOST_WAITING)]
FINE = Spec("http://a.example/")


def working() -> str:
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass
    return thread()


def thread() -> str:
    return threading.current_thread().name.rpartition("_")[0] or "loop"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "SLOW_S", 0.01)


def test_what_was_slow_once_holds_up_nobody_else() -> None:
    held = threading.Event()

    async def main() -> tuple[str, list[object]]:
        lanes = Lanes()
        for spec in SLOW:
            await lanes.run(spec, LARGE, working)
        waiting = [asyncio.ensure_future(lanes.run(spec, LARGE, lambda: held.wait(20))) for spec in SLOW]
        try:
            fine = await asyncio.wait_for(lanes.run(FINE, LARGE, thread), 10)
        finally:
            held.set()
        return fine, [*await asyncio.gather(*waiting, return_exceptions=True)]

    fine, found = asyncio.run(main())
    assert fine == "judge"
    refused = [each for each in found if isinstance(each, ProbeError)]
    assert len(refused) == len(SLOW) - MOST_WAITING
    assert {each.outcome for each in refused} == {Outcome.WORKER_OVERLOAD}


def test_what_kept_the_loop_once_is_judged_in_a_thread_and_what_kept_that_in_the_slow_one() -> None:
    async def main() -> list[str]:
        lanes = Lanes()
        quick = [await lanes.run(FINE, 10, thread) for _ in range(2)]
        return quick + [await lanes.run(FINE, 10, judge) for judge in (working, working, thread, thread)]

    assert asyncio.run(main()) == ["loop", "loop", "loop", "judge", "slow-judge", "judge"]


@pytest.mark.parametrize(
    ("size", "expect", "where"),
    [
        (AT_ONCE_BYTES, Expect(body_contains=("a",) * 20), "loop"),
        (AT_ONCE_BYTES + 1, Expect(body_contains=("a",)), "judge"),
        (AT_ONCE_BYTES // 2, Expect(json=("$.a exists",), body_matches=("a",)), "loop"),
        (AT_ONCE_BYTES // 2, Expect(json=("$.a exists",) * 2, body_matches=("a",)), "judge"),
    ],
)
def test_so_much_is_judged_on_the_loop_as_cannot_keep_it_for_long(size: int, expect: Expect, where: str) -> None:
    assert asyncio.run(Lanes().run(Spec("http://a.example/", expect=expect), size, thread)) == where


def test_what_it_raises_comes_through_and_counts() -> None:
    def failing() -> None:
        working()
        raise ProbeError(Outcome.WORKER_OVERLOAD, "too long")

    async def main() -> list[str]:
        lanes = Lanes()
        for size in (10, LARGE):
            with pytest.raises(ProbeError):
                await lanes.run(FINE, size, failing)
        return [await lanes.run(FINE, 10, thread)]

    assert asyncio.run(main()) == ["slow-judge"]
