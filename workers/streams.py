"""The only file that knows keys, groups, claiming. Everything else says what it wants in the design's words.

Two streams a region, `checks:{eu}` and `ticks:{eu}`: the hash tag keeps a region on one slot of a cluster, so
that a hand-over is one MULTI, and whatever is said about a region is said to one server (`at`). An entry leaves
its stream with XACK and XDEL together; nothing is trimmed.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, NamedTuple

import msgspec
from redis import Redis
from redis import asyncio as aio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from workers.cluster import Cluster, NodeAwayError, is_cluster
from workers.shard import Shard

log = logging.getLogger("streams")

PLAIN_NAME = re.compile(r"[\w.-]{1,100}", re.ASCII)
PROBERS, RECORDERS = "probers", "recorders"
FIELDS = Mapping[bytes, bytes]
Client = Redis | Cluster
LEASE_S = 5  # a consumer that does not renew for this long is dead
# A cap on what waits: 20 min at 400 checks/s, some 150 MB. Past it the pusher stops, and the slots become unknown.
STREAM_LIMIT = 500_000
PUSH_AT_ONCE = 5_000  # some 2 MB in one pipeline
LEASES_LIMIT, LEASE_BYTES = 100, 8 * 1024  # of a region, and of each of its leases: more is no prober of ours
CONSUMERS_LIMIT = 1_000  # in a region's group; one that did not read for a minute is deleted by the others
DEAD_LIMIT = 10_000  # dead letters kept a region; whoever has more has one cause, not more to learn
LETTER_LIMIT, LETTER_HEAD = 64 * 1024, 4 * 1024  # bytes of a dead letter kept whole; of a field of a larger one


class Entry(NamedTuple):
    """One stream entry as it was read."""

    id: bytes
    fields: FIELDS


class Depth(NamedTuple):
    """What waits in a group: entries not yet delivered, delivered but not done, and the ages of the oldest."""

    waiting: int
    pending: int
    oldest_waiting_s: float
    oldest_pending_s: float
    added: int = 0  # entries ever added to the stream


def checks(region: str) -> str:
    return f"checks:{{{region}}}"


def ticks(region: str) -> str:
    return f"ticks:{{{region}}}"


def dead(region: str) -> str:
    return f"dead:{{{region}}}"


def lease(region: str, consumer: str) -> str:
    return f"lease:{{{region}}}:{consumer}"


def options() -> dict[str, Any]:
    """How we talk to Redis: bounded waits, and no blind repetition of a command that may have been carried out."""
    return {
        "socket_timeout": 5.0,
        "socket_connect_timeout": 3.0,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 15,
        "legacy_responses": False,
    }


def connect(url: str) -> Client:
    """A client for all regions; nothing is opened before it is used."""
    return Cluster(url, options()) if is_cluster(url) else Redis.from_url(url, **options())


def connect_to_region(url: str, region: str) -> tuple[aio.Redis, aio.Redis]:
    """Two clients for a loop that serves one region: one connection that may block, and one for all else."""
    settings = options() | {"retry": AsyncRetry(NoBackoff(), 0)}
    if is_cluster(url):
        shard = Shard(url, checks(region), settings)
        return shard.client(max_connections=1), shard.client()
    return aio.Redis.from_url(url, **settings, max_connections=1), aio.Redis.from_url(url, **settings)


def at(client: Client, key: str) -> Redis:
    """The server that has the key. Errors: NodeAwayError, where that is one of several and cannot be used now."""
    return client.at(key) if isinstance(client, Cluster) else client


def is_lost(error: ResponseError) -> bool:
    """Whether the group or its stream vanished (FLUSHALL, a restart without data)."""
    return str(error).startswith(("NOGROUP", "UNBLOCKED"))


def ensure_groups(client: Client, region: str) -> None:
    """Create the region's streams and groups where they are missing.

    From `0`: a new stream is empty, so that equals `$`; one that was lost and refilled must be read whole.
    """
    for key, group in ((checks(region), PROBERS), (ticks(region), RECORDERS)):
        ensure_group(client, key, group)


def ensure_group(client: Client, key: str, group: str) -> None:
    try:
        at(client, key).xgroup_create(key, group, id="0", mkstream=True)
    except ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


def drop(client: Client, *keys: str) -> None:
    """Remove a region's streams with their groups; readers are told by UNBLOCKED or NOGROUP."""
    at(client, keys[0]).delete(*keys)


def exist(client: Client, region: str) -> bool:
    """Whether both of the region's streams are there."""
    return int(at(client, checks(region)).exists(checks(region), ticks(region))) == 2


def push(client: Client, key: str, entries: Iterable[FIELDS]) -> int:
    """Append to a region's stream in one pipeline; returns how many. A stream that is gone stays gone."""
    sent = 0
    server = at(client, key)
    waiting = list(entries)
    for start in range(0, len(waiting), PUSH_AT_ONCE):
        pipeline = server.pipeline(transaction=False)
        for fields in waiting[start : start + PUSH_AT_ONCE]:
            pipeline.xadd(key, dict(fields), nomkstream=True)  # type: ignore[arg-type] # redis-py's dict is invariant
        sent += sum(entry_id is not None for entry_id in pipeline.execute())
    return sent


def left(client: Client, key: str) -> Iterator[Entry]:
    """All entries of a stream, taken or not, the oldest first; none where there is no such stream."""
    server, start = at(client, key), "-"
    while found := entries_of({key: server.xrange(key, min=start, count=PUSH_AT_ONCE)}):
        yield from found
        start = f"({found[-1].id.decode()}"


def is_full(client: Client, region: str) -> bool:
    """Whether more waits than the cap, or the key is no stream at all."""
    try:
        return length(client, checks(region)) > STREAM_LIMIT
    except NodeAwayError:
        return False  # whoever sends will see
    except ResponseError:
        return True


def length(client: Client, key: str) -> int:
    return int(at(client, key).xlen(key))


def oldest_s(client: Client, key: str) -> float:
    """The age of the stream's oldest entry, whether it was delivered or not: what is done is deleted. 0 without any."""
    first = at(client, key).xrange(key, count=1)
    return _age_s(first[0][0]) if first else 0.0


def read(client: Client, key: str, group: str, consumer: str, count: int) -> list[Entry]:
    """New entries for this consumer, without waiting."""
    return entries_of(at(client, key).xreadgroup(group, consumer, {key: ">"}, count=count))


def claim(
    client: Client, key: str, group: str, consumer: str, *, idle_ms: int, count: int, start: str = "0"
) -> list[Entry]:
    """Take over entries that were delivered longer ago than `idle_ms` and are still not done, one's own included."""
    server = at(client, key)
    reply = server.xautoclaim(key, group, consumer, min_idle_time=idle_ms, start_id=start, count=count)
    return [Entry(entry_id, fields) for entry_id, fields in reply[1] if fields]


def own_pending(client: Client, key: str, group: str, consumer: str, count: int) -> list[Entry]:
    """What this consumer was given before and did not finish: a reply that was lost, a crash, a failed commit."""
    return entries_of(at(client, key).xreadgroup(group, consumer, {key: "0"}, count=count))


def done(client: Client, key: str, group: str, ids: Sequence[bytes]) -> None:
    """Acknowledge and delete in one transaction."""
    if ids:
        pipeline = at(client, key).pipeline(transaction=True)
        pipeline.xack(key, group, *ids)
        pipeline.xdel(key, *ids)
        pipeline.execute()


def bury(client: Client, region: str, key: str, group: str, entries: Sequence[tuple[Entry, str]]) -> None:
    """Move entries that nobody can use to the region's dead letters, each with its reason; all or none."""
    pipeline = at(client, key).pipeline(transaction=True)
    for entry, reason in entries:
        queue_burial(pipeline, region, key, group, entry, reason)
    pipeline.execute()


def queue_burial(pipeline: Any, region: str, key: str, group: str, entry: Entry, reason: str) -> None:
    """The commands of a burial, on a pipeline of either kind. Of an entry larger than any of ours the head is kept."""
    kept = entry.fields
    if size_of(entry) > LETTER_LIMIT:
        kept = {name[:100]: value[:LETTER_HEAD] for name, value in islice(kept.items(), 8)}
    letter = {**kept, b"stream": key.encode(), b"id": entry.id, b"reason": reason.encode("utf-8", "replace")[:1_000]}
    pipeline.xadd(dead(region), letter, maxlen=DEAD_LIMIT, approximate=True)
    pipeline.xack(key, group, entry.id)
    pipeline.xdel(key, entry.id)


Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Total = Annotated[int, msgspec.Meta(ge=0, le=2**53)]  # over a life: a float in between loses nothing of it
Figure = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]  # clocks differ: who is early is late by less than nothing


class About(msgspec.Struct, frozen=True):
    """What a prober says of itself with its lease. Probers may run elsewhere, so every figure has its bounds."""

    pid: Count
    host: Annotated[str, msgspec.Meta(max_length=255, pattern=r"^[^\x00]*$")]
    started_at: datetime
    held: Count = 0
    in_flight: Count = 0
    probed: Total = 0
    in_flight_limit: Count = 0
    busy_s: Figure = 0.0  # spent probing, summed over all probes
    probe_s: Figure | None = None  # how long a probe takes, smoothed
    late: Count = 0  # taken too late to be probed
    lateness_p50_ms: Figure | None = None
    lateness_p95_ms: Figure | None = None
    lateness_p99_ms: Figure | None = None
    stall_ms: Figure | None = None
    rss_mb: Figure | None = None
    proof: Annotated[str, msgspec.Meta(max_length=100)] | None = None  # that it has its region's key (workers.access)


def leases(client: Client, region: str) -> dict[str, About]:
    """What the region's living probers said of themselves when they last renewed, by consumer.

    The group tells who there is: every prober reads before it renews, and what one region's user writes is then no
    work for the others. Of many the most lively count, of a lease its first bytes, and only while it runs out: what
    was set for ever, or for longer than a prober sets it, nobody renews.
    """
    key = checks(region)
    server = at(client, key)
    try:
        groups = {_text(info["name"]): int(info["consumers"]) for info in server.xinfo_groups(key)}
        if not 0 < groups.get(PROBERS, 0) <= CONSUMERS_LIMIT:
            return {}
        consumers = sorted(server.xinfo_consumers(key, PROBERS), key=lambda each: int(each["idle"]))
    except ResponseError as error:
        if is_lost(error) or "no such key" in str(error):
            return {}
        raise
    names = [name for each in consumers if PLAIN_NAME.fullmatch(name := each["name"].decode("utf-8", "replace"))]
    names = names[:LEASES_LIMIT]
    pipeline = server.pipeline(transaction=False)
    for name in names:
        pipeline.getrange(lease(region, name), 0, LEASE_BYTES)
        pipeline.pttl(lease(region, name))
    replies = pipeline.execute(raise_on_error=False) if names else []
    found: dict[str, About] = {}
    unreadable: list[str] = []
    for name, said, left_ms in zip(names, replies[::2], replies[1::2], strict=True):
        if not isinstance(said, bytes) or not isinstance(left_ms, int) or not 0 < left_ms <= LEASE_S * 1000:
            continue  # none, run out, or not set by a prober
        try:
            found[name] = msgspec.json.decode(said, type=About)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            unreadable.append(name)
    if unreadable:
        told = {"key": lease(region, unreadable[0]), "leases": len(unreadable)}
        log.warning("leases cannot be read", extra={"action": "lease_unreadable", **told})
    return found


def forget_leases(client: Client, region: str) -> None:
    """Delete what probers said that may not come in any more."""
    prefix = lease(region, "")
    server = at(client, prefix)
    for key in server.scan_iter(match=_literal(prefix) + "*", count=1_000):
        server.unlink(key)


def depth(client: Client, key: str, group: str) -> Depth:
    """How much waits. Zero where the stream is not there (yet)."""
    server = at(client, key)
    try:
        pending = server.xpending(key, group)
        groups = {_text(info["name"]): info for info in server.xinfo_groups(key)}
    except ResponseError as error:
        if is_lost(error) or "no such key" in str(error):
            return Depth(0, 0, 0.0, 0.0)
        raise
    delivered = _text(groups[group]["last-delivered-id"])
    waiting = server.xrange(key, min=f"({delivered}", count=1)
    total = length(client, key)
    return Depth(
        waiting=max(0, total - int(pending["pending"])) if waiting else 0,
        pending=int(pending["pending"]),
        oldest_waiting_s=_age_s(waiting[0][0]) if waiting else 0.0,
        oldest_pending_s=_age_s(pending["min"]),
        added=int(server.xinfo_stream(key)["entries-added"]),
    )


def entries_of(reply: Any) -> list[Entry]:
    """The entries in a reply of XREADGROUP for one stream; deleted ones (no fields) come as empty."""
    if not reply:
        return []
    return [Entry(entry_id, fields or {}) for entries in reply.values() for entry_id, fields in entries]


def size_of(entry: Entry) -> int:
    """Bytes of an entry's fields, their names included."""
    size = 0
    for name, value in entry.fields.items():  # twice as quick as a sum over a generator
        size += len(name) + len(value)
    return size


def added_ms(entry_id: bytes | str) -> int:
    """When an entry was added, in milliseconds since 1970 by the server's clock: its id tells."""
    return int(_text(entry_id).split("-")[0])


def _age_s(entry_id: bytes | str | None) -> float:
    """Seconds since an entry was added, by the milliseconds in its id."""
    if entry_id is None:
        return 0.0
    return max(0.0, time.time() - added_ms(entry_id) / 1000)


def _literal(prefix: str) -> str:
    return prefix.replace("[", "\\[").replace("*", "\\*").replace("?", "\\?")


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
