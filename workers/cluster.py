"""Redis Cluster: which of its nodes holds a key, and a plain client of that node.

All keys of a region share a hash slot, so whatever is said about a region is said to one node, and redis-py's client
of a single server says it. Its cluster clients (8.1) we measured and leave aside: they ask one "default" node where
the keys of each XREADGROUP are, so that its death stops every shard and even a new client; they repeat pipelined
commands whose reply was lost; and the asyncio one starts a thread for each command of a MULTI, which holds a prober's
loop for 146 ms in a hand-over of 200 ticks.

What a cluster adds to what goes wrong (a slot that moved or is being moved, one that nobody has, a node that is down)
comes as NodeAwayError, a ConnectionError: to whoever asked, Redis is away for this region, and back in a moment. The
other regions go on, since a node that failed is left alone for a while and then tried with a short patience.
"""

from __future__ import annotations

import logging
import random
import time
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from redis import Redis
from redis.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection, parse_url
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis's own
    MovedError,
    NoPermissionError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004 - redis's own
    TryAgainError,
)

log = logging.getLogger("cluster")

Untyped = Any  # what redis-py gives no types for

SCHEMES = ("redis+cluster://", "rediss+cluster://")
REDIRECTIONS = (MovedError, AskError, TryAgainError)  # nothing was carried out; it is for another node, or too early
REFUSALS = (*REDIRECTIONS, ClusterDownError)
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 4.0  # how long a node that failed is left alone, at first and at most
FORGIVEN_S = 10.0  # a node that held for this long begins with the shortest pause again
PATIENCE_S = 2.0  # how long a node may take: others wait meanwhile, and whatever was meant for it is tried again
SHORT_PATIENCE_S = 1.0  # how long one that was away may take to say that it is back
LOOK_EVERY_S = 0.5  # the slots are asked for no oftener than this


class NodeAwayError(ConnectionError):
    """The node that has a region's slot cannot be used just now; those of other regions may."""


class Address(NamedTuple):
    """Where a node listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Owners:
    """Which node has which slots, and all nodes, replicas too, as one of them told it. Pure."""

    def __init__(self, told: Sequence[Any], asked: Address) -> None:
        """`told` is a reply of CLUSTER SLOTS; a node that does not know its own name is the one that was asked."""
        ranges = sorted(
            (int(start), int(end), [_address(node, asked) for node in nodes]) for start, end, *nodes in told
        )
        self._starts = [start for start, _, _ in ranges]
        self._ends = [(end, nodes[0]) for _, end, nodes in ranges]
        self.nodes = list(dict.fromkeys(node for _, _, nodes in ranges for node in nodes))

    def of(self, slot: int) -> Address | None:
        place = bisect(self._starts, slot) - 1
        if place < 0 or slot > self._ends[place][0]:
            return None
        return self._ends[place][1]


def _address(node: Sequence[Any], asked: Address) -> Address:
    host = node[0].decode() if isinstance(node[0], bytes) else node[0]
    return Address(host or asked.host, int(node[1]))


def is_cluster(url: str) -> bool:
    return url.startswith(SCHEMES)


def slot_of(key: str) -> int:
    return int(key_slot(key.encode()))


def parsed(url: str) -> dict[str, Any]:
    """A cluster's URL as arguments of a connection. Errors: ValueError."""
    parse: Untyped = parse_url
    return dict(parse(url.replace("+cluster", "", 1)))


def said(error: RedisError) -> str:
    """An error in words: of a redirection redis-py keeps the numbers only."""
    if isinstance(error, AskError):
        return (
            f"slot {error.slot_id} {'is' if isinstance(error, MovedError) else 'is going to be'} at {pointed_to(error)}"
        )
    return str(error)


def pointed_to(error: ResponseError) -> Address | None:
    """The node that a redirection names."""
    if isinstance(error, AskError) and error.host:
        return Address(error.host, int(error.port))
    return None


def explained(address: Address, error: RedisError) -> str:
    """Why a server did not tell who has what, and what to do where it never will."""
    if "cluster support disabled" in str(error):
        return f"{address} is a single server, no cluster: write redis:// or rediss:// in its URL"
    return str(error) if isinstance(error, NodeAwayError) else f"{address}: {error}"


class Node:
    """One server of the cluster: a client of it, and whether it may be used."""

    def __init__(
        self, address: Address, arguments: Mapping[str, Any], redirected: Callable[[ResponseError], None]
    ) -> None:
        self.address = address
        self.away = False
        self._arguments = dict(arguments)
        self._redirected = redirected
        self._pause_s = 0.0
        self._again_at = 0.0
        self.client = self._client()

    def _client(self, **more: Any) -> Redis:
        sealed = self._arguments.get("connection_class") is SSLConnection
        given = self._arguments | {
            "host": self.address.host,
            "port": self.address.port,
            "connection_class": _SealedNodeConnection if sealed else _NodeConnection,
            "on_trouble": self._trouble,
        }
        return Redis.from_pool(ConnectionPool(**given | more))

    def _trouble(self, error: RedisError) -> NodeAwayError:
        """What came of a command or a connection, as our kind of error; the node rests unless it only sent us on."""
        if isinstance(error, ResponseError):
            self._redirected(error)
        if not isinstance(error, REDIRECTIONS):
            self._rest(error)
        return NodeAwayError(f"{self.address}: {said(error)}")

    def _rest(self, error: RedisError) -> None:
        now = time.monotonic()
        relapse = now - self._again_at < FORGIVEN_S
        self._pause_s = min(LONGEST_PAUSE_S, self._pause_s * 2) if relapse and self._pause_s else SHORTEST_PAUSE_S
        self._again_at = now + self._pause_s
        if not self.away:
            self.away = True
            log.warning(
                "a node is away", extra={"action": "node_away", "node": str(self.address), "error": said(error)}
            )

    def is_back(self) -> bool:
        """Whether it may be used. One that was away has to say so itself, soon, and not before its pause is over."""
        if not self.away:
            return True
        if time.monotonic() < self._again_at:
            return False
        client: Untyped = self._client(socket_timeout=SHORT_PATIENCE_S, socket_connect_timeout=SHORT_PATIENCE_S)
        with client:
            try:
                state = client.execute_command("CLUSTER INFO")["cluster_state"]
            except NoPermissionError:
                state = "ok"  # it answers, and the rest is not for us to know
            except RedisError:
                return False
        if state != "ok":
            self._rest(ClusterDownError(f"cluster_state is {state}"))
            return False
        self.away = False
        log.info("a node is back", extra={"action": "node_back", "node": str(self.address)})
        return True


class Cluster:
    """The nodes, a client each, and who has what. Opens nothing before it is asked; for one thread at a time."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        patience = {"socket_timeout": PATIENCE_S, "socket_connect_timeout": PATIENCE_S}
        given = {**options, **patience, **parsed(url)}
        self.database = int(given.get("db") or 0)
        self._seed = Address(given.pop("host", "localhost"), int(given.pop("port", 6379)))
        self._arguments = given
        self._nodes: dict[Address, Node] = {}
        self._owners: Owners | None = None
        self._stale = True
        self._look_at = 0.0
        self._hint: Address | None = None
        self._lost = False
        self._why = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for node in self._nodes.values():
            node.client.close()

    def at(self, key: str) -> Redis:
        """A client of the node that has the key. Errors: NodeAwayError."""
        slot = slot_of(key)
        address = self._look().of(slot)
        if address is None:
            self._stale = True
            raise NodeAwayError(f"no node has slot {slot}")
        node = self._node(address)
        if not node.is_back():
            self._stale = True  # another one may have taken over
            raise NodeAwayError(f"{address} is away")
        return node.client

    def ping(self) -> bool:
        """True where a node answers and knows the cluster. Errors: NodeAwayError."""
        self._stale, self._look_at = True, 0.0
        self._look()
        if self._lost:
            raise NodeAwayError(self._why)
        return True

    def nodes(self) -> Iterator[tuple[str, Redis]]:
        """Every node that is there, replicas too, by its address: for what a cluster neither shards nor replicates."""
        for address in self._look().nodes:
            node = self._node(address)
            if node.is_back():
                yield str(address), node.client

    def _node(self, address: Address) -> Node:
        if address not in self._nodes:
            self._nodes[address] = Node(address, self._arguments, self._redirected)
        return self._nodes[address]

    def _redirected(self, error: ResponseError) -> None:
        self._stale = True
        if isinstance(error, MovedError):  # an ASK holds for one key and one moment
            self._hint, self._look_at = pointed_to(error), 0.0
            log.info("a slot has moved", extra={"action": "slot_moved", "error": said(error)})

    def _look(self) -> Owners:
        """Who has what; asked anew when that did not hold, though not too often."""
        now = time.monotonic()
        if self._stale and now >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            owners = self._ask()
            if owners is not None:
                self._owners, self._stale, self._hint = owners, False, None
            elif not self._lost:
                log.warning("no node tells who has what", extra={"action": "redis_away", "error": self._why})
            self._lost = owners is None
        if self._owners is None:
            raise NodeAwayError(self._why)
        return self._owners

    def _ask(self) -> Owners | None:
        """The word of the first node that knows: whom we were pointed to, else one that is well."""
        known = [node.address for node in self._nodes.values() if not node.away]
        random.shuffle(known)
        for address in dict.fromkeys([*filter(None, [self._hint]), *known, self._seed]):
            node = self._node(address)
            if not node.is_back():
                self._why = f"{address} is away"
                continue
            client: Untyped = node.client
            try:
                owners = Owners(client.execute_command("CLUSTER SLOTS"), address)
            except RedisError as error:
                self._why = explained(address, error)
                continue
            if owners.nodes:
                return owners
            self._why = f"{address} belongs to no cluster yet"
        return None


class _Telling(AbstractConnection):
    """A connection that tells its node's record what went wrong, and raises that as NodeAwayError."""

    def __init__(self, *, on_trouble: Callable[[RedisError], NodeAwayError], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._on_trouble = on_trouble

    def connect(self) -> None:
        with self._telling():
            super().connect()  # type: ignore[no-untyped-call] # redis-py's

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        with self._telling():
            super().send_packed_command(command, check_health=check_health)  # type: ignore[no-untyped-call] # redis-py's

    def read_response(self, *arguments: Any, **named: Any) -> Any:
        with self._telling():
            return super().read_response(*arguments, **named)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except NodeAwayError:
            raise
        except (ConnectionError, TimeoutError, *REFUSALS) as error:
            self.disconnect()  # type: ignore[no-untyped-call] # the replies behind this one are for nobody
            raise self._on_trouble(error) from error


class _NodeConnection(_Telling, Connection):
    pass


class _SealedNodeConnection(_Telling, SSLConnection):
    pass
