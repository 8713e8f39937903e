"""What speaks for and against our own times: the loop's metronome, and the reference."""

from __future__ import annotations

import asyncio

from workers.attempts import Doubt
from workers.reference import Reference
from workers.stalls import Stalls


class Witness:
    """Watches while a prober works, and says how far its times may be off."""

    def __init__(self) -> None:
        self.stalls = Stalls()
        self.reference = Reference()

    async def watch(self) -> None:
        """For ever; cancelling it ends the reference's process too."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.stalls.watch())
            group.create_task(self.reference.watch())

    def doubt(self, since: float, until: float, looped: tuple[float, float] | None = None) -> Doubt:
        """Of an attempt, and of its part that was read off the loop's clock; monotonic seconds."""
        stall_ms, worst = self.stalls.longest_ms(since, until), self.reference.worst(since, until)
        kernel_ms, loop_ms = (None, None) if worst is None else (worst.kernel_ms, worst.loop_ms)
        looped_ms = 0.0 if looped is None else self.stalls.longest_ms(*looped)
        return Doubt(stall_ms, looped_ms, kernel_ms, loop_ms)
