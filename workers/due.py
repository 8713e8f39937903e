"""What is due, as stream entries: checks to make, and ticks for those that nobody will. Pure; the pusher is the loop.

Every slot becomes one or the other: none is left without a word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from msgspec import Struct, field

from pipeline.ring import Ring
from pipeline.schedule import Slot
from pipeline.vocabulary import Check, Kind, Outcome, Region, Source, Spec
from workers import streams
from workers.attempts import grace, unprobed
from workers.sealing import SealedError, Sealer
from workers.wire import Entry, pack

NO_PUSHER = "no pusher was running when this check was due"


class Push(Struct):
    """What one beat sends: entries by stream key."""

    entries: dict[str, list[Entry]] = field(default_factory=dict)
    checks: int = 0
    missed: int = 0


def step(
    slots: Iterable[Slot],
    regions: Mapping[int, Region],
    *,
    now: datetime,
    epoch: int,
    full: frozenset[str] = frozenset(),
    kind: Kind = Kind.SCHEDULED,
    sealer: Sealer | None = None,
    overdue: str = NO_PUSHER,
) -> Push:
    """Slots as stream entries. What is overdue, or meant for a region that is full, is accounted for as unknown."""
    push, sealer = Push(), sealer or Sealer(Ring())
    for slot in slots:
        region = regions.get(slot.revision.region_id)
        if region is None:
            continue
        check = _check(slot, epoch, kind)
        if now - slot.scheduled_at > grace(check):
            missed = (Outcome.SCHEDULER_DOWN, overdue)
        elif region.key in full:
            missed = (Outcome.WORKER_LOST, f"{streams.STREAM_LIMIT} checks wait and nobody takes them")
        else:
            try:
                entry = pack(sealer.seal(check, region))
            except SealedError as error:
                missed = (Outcome.BLOCKED, str(error))
            else:
                push.entries.setdefault(streams.checks(region.key), []).append(entry)
                push.checks += 1
                continue
        tick = unprobed(check, missed[0], detail=missed[1], prober="pusher", source=Source.PUSHER)
        push.entries.setdefault(streams.ticks(region.key), []).append(pack(tick))
        push.missed += 1
    return push


def _check(slot: Slot, epoch: int, kind: Kind) -> Check:
    revision = slot.revision
    assert isinstance(revision.spec, Spec)
    return Check(
        site_id=revision.site_id,
        region_id=revision.region_id,
        scheduled_at=slot.scheduled_at,
        revision=revision.id,
        interval_s=revision.interval_s,
        spec=revision.spec,
        network=revision.network,
        epoch=epoch,
        kind=kind,
    )
