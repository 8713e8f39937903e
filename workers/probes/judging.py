"""Judging what an answer holds: on the loop where it is quick, else apart from it, which times everybody else.

Nobody waits for a site whose expectations take long. What kept the loop once is judged in a thread from then on; what
took a thread a quarter of a second goes into a slow lane, where few may wait. What finds no room there is not judged,
which says nothing about the site.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from pipeline.vocabulary import Outcome, Spec
from workers.probes.trace import ProbeError

# Of a body, for each expression and path that is looked for in it: 80 ms of the loop for the worst that anybody made,
# once. Usual ones take less than a millisecond.
AT_ONCE_BYTES = 16 * 1024
AT_ONCE_S = 0.005
SLOW_S = 0.25  # of a processor; a body of 2 MiB takes some 0.05 s for all that is usually expected of it
REST, LONGEST_REST_S = 2.0, 1.0  # times as long as it worked: JSON that is read, or decoded, keeps all threads waiting
MOST_WAITING = 8  # in the slow lane, each with a body of up to 2 MiB
KEPT = 1_024  # sites remembered, by what is asked of them: an edit is a new chance

T = TypeVar("T")


class Lanes:
    """Runs judgements. The threads are few, so that many large bodies wait for each other rather than take memory."""

    def __init__(self) -> None:
        self._fast = ThreadPoolExecutor(2, thread_name_prefix="judge")
        self._slow = ThreadPoolExecutor(1, thread_name_prefix="slow-judge")
        self._known: OrderedDict[int, bool] = OrderedDict()  # what took long, and whether it took a thread long
        self._waiting = 0

    async def run(self, spec: Spec, size: int, judging: Callable[[], T]) -> T:
        """What a judgement of so many bytes returns or raises. Errors: ProbeError (worker_overload)."""
        looked_for = len(spec.expect.json) + len(spec.expect.body_matches)
        site = hash((spec.url, spec.expect)) if self._known else 0
        if size * max(1, looked_for) <= AT_ONCE_BYTES and site not in self._known:
            began = time.perf_counter()
            try:
                return judging()
            finally:
                if time.perf_counter() - began > AT_ONCE_S:
                    self._note(spec, slow=False)
        return await self._apart(spec, _Timed(judging), slow=self._known.get(site, False))

    async def _apart(self, spec: Spec, timed: _Timed[T], *, slow: bool) -> T:
        if slow and self._waiting >= MOST_WAITING:
            detail = "The expectations of this site, and of others like it, take us longer than is left between checks"
            raise ProbeError(Outcome.WORKER_OVERLOAD, detail)
        self._waiting += slow
        try:
            return await asyncio.get_running_loop().run_in_executor(self._slow if slow else self._fast, timed)
        finally:
            self._waiting -= slow
            if slow or timed.took_s > SLOW_S:
                self._note(spec, slow=timed.took_s > SLOW_S)
            if slow:
                self._slow.submit(time.sleep, min(REST * timed.took_s, LONGEST_REST_S))

    def _note(self, spec: Spec, *, slow: bool) -> None:
        self._known[hash((spec.url, spec.expect))] = slow
        while len(self._known) > KEPT:
            self._known.popitem(last=False)


class _Timed(Generic[T]):
    """A judgement, and how long it had a processor."""

    def __init__(self, judging: Callable[[], T]) -> None:
        self._judging = judging
        self.took_s = 0.0

    def __call__(self) -> T:
        began = time.thread_time()
        try:
            return self._judging()
        finally:
            self.took_s = time.thread_time() - began


LANES = Lanes()
