"""How Redis is, as parts in the words of `pipeline.health`: reachable, its memory, each region's streams and groups."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from redis.exceptions import RedisError, ResponseError

from pipeline.health import Grade, Part, judged
from pipeline.vocabulary import Region
from workers import streams
from workers.cluster import Cluster
from workers.streams import Client

MEANS = "Carries checks to the probers and ticks back. Without it nothing is checked; what was found is not lost."
STREAMS_MEAN = "The region's checks on their way out, its ticks on their way back, and what nobody could read."
FULL = 0.9  # of maxmemory: at 1 it refuses what is sent
_START = (
    "`betterstack up` starts everything on this machine, Redis included.",
    "With a Redis of your own: see that it runs and is named right, with its password, in BETTERSTACK_REDIS_URL.",
)


def not_named() -> Part:
    """A machine with no more than the database may well have no use for it."""
    todo = ("Set BETTERSTACK_REDIS_URL to have it looked at from here.",)
    return judged("redis", "not named here, so not looked at", Grade.LOOK, means=MEANS, todo=todo)


def redis_parts(url: str, regions: Sequence[Region] | None) -> Iterator[Part]:
    """Redis, and the streams of each region; without regions (Postgres is away) Redis alone. Nothing is raised."""
    try:
        client = streams.connect(url)
    except (ValueError, RedisError) as error:
        yield judged("redis", f"its URL cannot be used: {error}", Grade.UNWELL, means=MEANS, todo=_START)
        return
    with client:
        try:
            yield _server(client)
        except (RedisError, OSError) as error:
            yield judged("redis", f"does not answer: {error}", Grade.UNWELL, means=MEANS, todo=_START)
            return
        yield from (_region(client, region) for region in regions or ())


def _server(client: Client) -> Part:
    began = time.monotonic()
    client.ping()
    took_ms = (time.monotonic() - began) * 1000
    nodes = [node for _, node in client.nodes()] if isinstance(client, Cluster) else [client]
    infos = [dict(node.info()) for node in nodes]
    first = infos[0]
    name = "Valkey" if "valkey_version" in first else "Redis"
    said = f"{name} {first.get('valkey_version') or first.get('redis_version')}, answers in {took_ms:.1f} ms"
    said += f", {len(nodes)} nodes" if len(nodes) > 1 else ""
    used = max(_share(info) for info in infos)
    if used >= FULL:
        todo = ("Give it more memory: `maxmemory` in its configuration. See “backlog” for what fills it.",)
        return judged("redis", f"{said}, and {used:.0%} of its memory is used", Grade.LOOK, means=MEANS, todo=todo)
    lossy = [info.get("maxmemory_policy") for info in infos if info.get("maxmemory_policy") not in {"noeviction", None}]
    if lossy:
        todo = ("Set `maxmemory-policy noeviction`: else it drops checks and ticks that still wait.",)
        return judged("redis", f"{said}, and evicts ({lossy[0]})", Grade.LOOK, means=MEANS, todo=todo)
    return judged("redis", said, means=MEANS)


def _share(info: dict[str, object]) -> float:
    """How much of what it may use is used; 0 where there is no limit."""
    most, used = info.get("maxmemory"), info.get("used_memory")
    return used / most if isinstance(most, int) and isinstance(used, int) and most else 0.0


def _region(client: Client, region: Region) -> Part:
    name = f"streams {region.key}"
    try:
        missing = list(_missing(client, region))
        if missing:
            todo = ("The pusher makes them within a second of seeing the region: see its log.",)
            return judged(name, f"{' and '.join(missing)} missing", Grade.UNWELL, means=STREAMS_MEAN, todo=todo)
        checks = streams.depth(client, streams.checks(region.key), streams.PROBERS)
        ticks = streams.depth(client, streams.ticks(region.key), streams.RECORDERS)
        letters = streams.length(client, streams.dead(region.key))
        probers = len(streams.leases(client, region.key))
    except (RedisError, OSError) as error:
        todo = ("Its part of the cluster is away: see to that node.",)
        return judged(name, f"cannot be read: {error}", Grade.UNWELL, means=STREAMS_MEAN, todo=todo)
    said = (
        f"{checks.waiting} checks wait, {checks.pending} under way, {ticks.waiting + ticks.pending} ticks to record, "
        f"{probers} {'lease' if probers == 1 else 'leases'}"
    )
    if not letters:
        return judged(name, said, means=STREAMS_MEAN)
    steps = (
        f"`XRANGE {streams.dead(region.key)} - + COUNT 10` in redis-cli shows them, each with its reason.",
        "Upgrade probers that are older than this version; then `DEL` the stream once you have seen them.",
    )
    return judged(name, f"{said}, {letters} dead letters", Grade.LOOK, means=STREAMS_MEAN, todo=steps)


def _missing(client: Client, region: Region) -> Iterable[str]:
    """Streams and groups that should be there and are not."""
    for key, group in (
        (streams.checks(region.key), streams.PROBERS),
        (streams.ticks(region.key), streams.RECORDERS),
    ):
        try:
            groups = streams.at(client, key).xinfo_groups(key)
        except ResponseError:
            yield f"stream {key}"
            continue
        names = {info["name"] for info in groups}
        if not {group, group.encode()} & names:
            yield f"group {group} of {key}"
