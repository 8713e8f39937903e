"""A prober's side of the wire: take checks, hand over what came of them, claim what others left behind.

Reading blocks, so it has a connection of its own; everything else shares a second one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from pipeline.vocabulary import Check, Tick
from workers import streams
from workers.streams import Entry
from workers.wire import pack

BLOCK_MS = 1000  # well below the socket's time-out
CLAIM_AT_ONCE = 500
GIVEN_AT_ONCE = 500
# Longer than any check is rightly held: 300 s of spacing and 120 s of time-out, twice.
ABANDONED_MS = 840_000
ORPHANED_MS = 1_000  # whoever claims resets it, so that a second one does not claim the same at once
LOST_REPLY_MS = 3_000  # an entry of ours that is pending for this long without our knowing never reached us


class Done(NamedTuple):
    """A finished entry: what it was, what it became, and the attempt that follows."""

    entry_id: bytes
    tick: Tick
    confirmation: Check | None


class Claimed(NamedTuple):
    """An entry taken over, and how often it was delivered, this time included."""

    entry: Entry
    deliveries: int


class Courier:
    """Talks to one region's streams on behalf of one consumer. Every method may raise RedisError."""

    def __init__(self, url: str, region: str, consumer: str) -> None:
        self.region = region
        self.consumer = consumer
        self._checks, self._ticks = streams.checks(region), streams.ticks(region)
        self._reading, self._writing = streams.connect_to_region(url, region)

    async def close(self) -> None:
        await self._reading.aclose()
        await self._writing.aclose()

    async def take(self, count: int) -> list[Entry]:
        """Up to `count` new checks; waits a second for the first."""
        reply = await self._reading.xreadgroup(
            streams.PROBERS, self.consumer, {self._checks: ">"}, count=count, block=BLOCK_MS
        )
        return streams.entries_of(reply)

    async def hand_over(self, done: Sequence[Done]) -> list[Done]:
        """Ticks and confirmations out, entries gone, in one MULTI; returns what found no stream to go to.

        Where a reply is lost the caller repeats it all: keys make the repetition harmless.
        """
        pipeline = self._writing.pipeline(transaction=True)
        for item in done:
            pipeline.xadd(self._ticks, pack(item.tick), nomkstream=True)  # type: ignore[arg-type] # dict is invariant
        for item in done:
            if item.confirmation is not None:
                pipeline.xadd(self._checks, pack(item.confirmation), nomkstream=True)  # type: ignore[arg-type] # see above
        ids = [item.entry_id for item in done]
        pipeline.xack(self._checks, streams.PROBERS, *ids)
        pipeline.xdel(self._checks, *ids)
        replies = await pipeline.execute()
        return [item for item, reply in zip(done, replies, strict=False) if reply is None]

    async def give_back(self, unstarted: Mapping[bytes, Check]) -> None:
        """Put checks back as new ones, so that another prober takes them now rather than when our lease has ended."""
        for ids in batched(unstarted, GIVEN_AT_ONCE):
            pipeline = self._writing.pipeline(transaction=True)
            for entry_id in ids:
                pipeline.xadd(self._checks, pack(unstarted[entry_id]), nomkstream=True)  # type: ignore[arg-type] # see hand_over
            pipeline.xack(self._checks, streams.PROBERS, *ids)
            pipeline.xdel(self._checks, *ids)
            await pipeline.execute()

    async def bury(self, entry: Entry, reason: str, tick: Tick | None) -> None:
        """Move a poison entry to the dead letters; its slot, where it can be read, becomes unknown."""
        pipeline = self._writing.pipeline(transaction=True)
        if tick is not None:
            pipeline.xadd(self._ticks, pack(tick), nomkstream=True)  # type: ignore[arg-type] # see hand_over
        streams.queue_burial(pipeline, self.region, self._checks, streams.PROBERS, entry, reason)
        await pipeline.execute()

    async def renew(self, about: dict[str, Any]) -> None:
        """Say that we live, and how we are."""
        key = streams.lease(self.region, self.consumer)
        await self._writing.set(key, msgspec.json.encode(about), ex=streams.LEASE_S)

    async def claim(self, held: Collection[bytes]) -> list[Claimed]:
        """Entries of consumers without a lease, abandoned ones, and our own whose reply was lost."""
        found: list[Claimed] = []
        for consumer in await self._consumers():
            name, pending = consumer["name"].decode(), int(consumer["pending"])
            ours = name == self.consumer
            alive = ours or await self._writing.exists(streams.lease(self.region, name))
            if pending:
                idle = LOST_REPLY_MS if ours else ABANDONED_MS if alive else ORPHANED_MS
                found += await self._claim_from(name, idle, held if ours else ())
            elif not alive and int(consumer["idle"]) > 60_000:
                await self._writing.xgroup_delconsumer(self._checks, streams.PROBERS, name)
        return found

    async def leave(self) -> None:
        """Give the lease back; whatever we still hold is claimed by others at once."""
        await self._writing.delete(streams.lease(self.region, self.consumer))
        for consumer in await self._consumers():
            if consumer["name"].decode() == self.consumer and not consumer["pending"]:
                await self._writing.xgroup_delconsumer(self._checks, streams.PROBERS, self.consumer)

    async def _consumers(self) -> list[dict[str, Any]]:
        return list(await self._writing.xinfo_consumers(self._checks, streams.PROBERS))

    async def _claim_from(self, name: str, idle_ms: int, held: Collection[bytes]) -> list[Claimed]:
        deliveries: dict[Any, int] = {}
        start = "-"
        while len(deliveries) < CLAIM_AT_ONCE:
            pending: Any = await self._writing.xpending_range(
                self._checks, streams.PROBERS, start, "+", CLAIM_AT_ONCE, consumername=name, idle=idle_ms
            )
            new = {row["message_id"]: int(row["times_delivered"]) for row in pending}
            deliveries |= {entry_id: times for entry_id, times in new.items() if entry_id not in held}
            if len(pending) < CLAIM_AT_ONCE:
                break
            start = f"({pending[-1]['message_id'].decode()}"
        wanted: list[Any] = list(deliveries)
        if not wanted:
            return []
        reply: Any = await self._writing.xclaim(self._checks, streams.PROBERS, self.consumer, idle_ms, wanted)
        entries = (Entry(entry_id, fields) for entry_id, fields in reply if fields)
        return [Claimed(entry, deliveries[entry.id] + 1) for entry in entries]


def batched(ids: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    rest = iter(ids)
    while batch := list(islice(rest, size)):
        yield batch
