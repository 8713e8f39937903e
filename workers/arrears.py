"""What regions are owed: slots that could not be sent while their server was away, as one span a region. Pure.

Slots can be computed anew for any past time, so their bounds are all that is kept. A span may cover slots that were
sent: sending those again does no harm.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from pipeline.schedule import MICROSECOND, Slot

Span = tuple[datetime, datetime]  # [since, until)
PIECE = timedelta(minutes=2)  # paid at once: at 100 checks/s of one region 12 000, as much as a beat sends in 0.3 s


class Arrears:
    """Spans by the region's id."""

    def __init__(self) -> None:
        self.spans: dict[int, Span] = {}

    def owe(self, slots: Iterable[Slot], regions: Container[int]) -> None:
        """Note those of the slots that were meant for these regions."""
        for slot in slots:
            if slot.revision.region_id in regions:
                self._join(slot.revision.region_id, (slot.scheduled_at, slot.scheduled_at + MICROSECOND))

    def learn(self, spans: Mapping[int, Span]) -> None:
        """Take in what was noted before us."""
        for region_id, span in spans.items():
            self._join(region_id, span)

    def pieces(self, away: Container[int]) -> Iterator[tuple[int, Span]]:
        """What to pay next, by region, leaving out those whose server is away."""
        for region_id, (since, until) in list(self.spans.items()):
            if region_id not in away:
                yield region_id, (since, min(until, since + PIECE))

    def paid(self, region_id: int, until: datetime) -> None:
        """Everything before `until` was sent."""
        since, end = self.spans.pop(region_id)
        if max(since, until) < end:
            self.spans[region_id] = (max(since, until), end)

    def _join(self, region_id: int, span: Span) -> None:
        since, until = self.spans.get(region_id, span)
        self.spans[region_id] = (min(since, span[0]), max(until, span[1]))
