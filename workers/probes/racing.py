"""Happy Eyeballs (RFC 8305): the addresses of one name race, the first that connects wins.

Its clients would reach the site by the address that answers, so a dead one beside it is no failure; and a monitor that
waited for the dead one would record a latency that nobody else sees.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

from pipeline.guard import Address
from pipeline.vocabulary import Outcome
from workers.probes.connection import Connection
from workers.probes.trace import ProbeError

START_EVERY_S = 0.25  # the RFC's recommendation: a handshake across the world takes less
SOONEST_S = 0.01  # the RFC's least: sooner, and every address would be asked each time
ADDRESS_LIMIT = 16  # addresses tried for one name: the last starts within 4 s; more of them are a pool, all alike

# Of several addresses, the one that got furthest says most about the site.
TELLING = (Outcome.REFUSED, Outcome.RESET, Outcome.CONNECT_TIMEOUT, Outcome.UNREACHABLE)


class Opened(NamedTuple):
    """A connection that stands, and to which address."""

    connection: Connection
    address: Address


Opening = Callable[[Address], Coroutine[Any, Any, Opened]]


def start_every_s(addresses: int, remaining_s: float) -> float:
    """How long an attempt is alone: a short deadline leaves no address out."""
    return max(SOONEST_S, min(START_EVERY_S, remaining_s / (addresses + 1)))


async def race(addresses: Sequence[Address], opening: Opening, *, every_s: float, failures: list[ProbeError]) -> Opened:
    """The first connection that stands; a failed attempt lets the next one start at once.

    `failures` collects those of attempts that are over, for whoever ends the race from outside. Where all failed,
    raises the one that says most. Losers are cancelled, and closed where they were about to win.
    """
    waiting = deque(addresses)
    running: set[asyncio.Task[Opened]] = set()
    start_at = 0.0
    try:
        while waiting or running:
            now = perf_counter()
            if waiting and now >= start_at:
                running.add(asyncio.create_task(opening(waiting.popleft())))
                start_at = now + every_s
            pause_s = start_at - now if waiting else None
            done, _ = await asyncio.wait(running, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
            failed = [task for task in done if isinstance(task.exception(), ProbeError)]
            if len(done) > len(failed):  # those that are left stay in `running`, to be closed
                first = min(done.difference(failed), key=_stood_at)
                opened = first.result()  # raises what is a fault of ours
                running.remove(first)
                return opened
            running.difference_update(failed)
            failures.extend(error for task in failed if isinstance(error := task.exception(), ProbeError))
            if failed:
                start_at = 0.0
    finally:
        for task in running:
            task.cancel()
            task.add_done_callback(_discard)
    raise told(failures)


def told(failures: Sequence[ProbeError]) -> ProbeError:
    """The failure that says most, with how many addresses it stands for."""
    best = min(failures, key=_telling)
    if len(failures) == 1:
        return best
    return ProbeError(best.outcome, f"{best.detail}; none of {len(failures)} addresses did better")


def alternate(addresses: Iterable[Address]) -> list[Address]:
    """Families in turn, each in its own order, the family of the first address first."""
    unique = list(dict.fromkeys(addresses))
    first = [a for a in unique if a.version == unique[0].version]
    second = [a for a in unique if a.version != unique[0].version]
    paired = [a for pair in zip(first, second, strict=False) for a in pair]
    rest = min(len(first), len(second))
    return paired + first[rest:] + second[rest:]


def _stood_at(task: asyncio.Task[Opened]) -> float:
    return 0.0 if task.exception() else task.result().connection.opened.at


def _discard(task: asyncio.Task[Opened]) -> None:
    """Close what came of an attempt after the race was over."""
    if not task.cancelled() and not task.exception():
        task.result().connection.close()


def _telling(failure: ProbeError) -> int:
    return TELLING.index(failure.outcome) if failure.outcome in TELLING else len(TELLING)
