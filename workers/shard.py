"""A region's shard: an asyncio client of whichever node of a cluster has the region's slot.

The client is redis-py's for a single server; its connections ask who has the slot whenever they connect. Once that
changes they are told so by an error, break off and ask again: to a prober, Redis was away for a moment.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection, parse_url
from redis.exceptions import AuthenticationError, MovedError, NoPermissionError, RedisError, ResponseError

from workers.cluster import REFUSALS, Address, NodeAwayError, Owners, explained, pointed_to, said, slot_of


class Shard:
    """The node that has a key, found anew for each connection. Opens clients; whoever asked for one closes it."""

    def __init__(self, url: str, key: str, options: Mapping[str, Any]) -> None:
        given: dict[str, Any] = {**options, **parse_url(url.replace("+cluster", "", 1))}
        self._slot = slot_of(key)
        self._seed = Address(given.pop("host", "localhost"), int(given.pop("port", 6379)))
        self._arguments = given
        self._known: list[Address] = []
        self._hint: Address | None = None

    def client(self, **more: Any) -> Redis:
        sealed = self._arguments.get("connection_class") is SSLConnection
        kind = _SealedShardConnection if sealed else _ShardConnection
        given = self._arguments | {"connection_class": kind, "seek": self._seek, "on_refusal": self._refused} | more
        return Redis.from_pool(ConnectionPool(**given))

    async def _seek(self) -> Address:
        """Who has the slot, by the first node that tells: whom we were pointed to, else any.

        Errors: NodeAwayError, and what says that our credentials are none.
        """
        last: RedisError = NodeAwayError("no node of the cluster has this region's slot")
        random.shuffle(self._known)
        for address in dict.fromkeys([*filter(None, [self._hint]), *self._known, self._seed]):
            try:
                owners = await self._ask(address)
            except (AuthenticationError, NoPermissionError):
                raise
            except RedisError as error:
                last = NodeAwayError(explained(address, error))
                continue
            self._known, self._hint = owners.nodes or self._known, None
            owner = owners.of(self._slot)
            if owner is not None:
                return owner
        raise last

    async def _ask(self, address: Address) -> Owners:
        pool = ConnectionPool(host=address.host, port=address.port, **self._arguments)
        client: Any = Redis.from_pool(pool)
        async with client:
            return Owners(await client.execute_command("CLUSTER SLOTS"), address)

    def _refused(self, error: ResponseError) -> None:
        if isinstance(error, MovedError):  # an ASK holds for one key and one moment
            self._hint = pointed_to(error)


class _Seeking(AbstractConnection):
    """A connection that asks where to connect, and breaks off when it is told that it is wrong there."""

    host: str
    port: int

    def __init__(
        self, *, seek: Callable[[], Awaitable[Address]], on_refusal: Callable[[ResponseError], None], **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self._seek = seek
        self._on_refusal = on_refusal

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        if not self.is_connected:
            self.host, self.port = await self._seek()
        await super().connect_check_health(check_health, retry_socket_connect)

    async def read_response(self, *arguments: Any, **named: Any) -> Any:
        try:
            return await super().read_response(*arguments, **named)
        except REFUSALS as error:
            await self.disconnect(nowait=True)  # the replies behind this one are for nobody
            self._on_refusal(error)
            raise NodeAwayError(f"{self.host}:{self.port}: {said(error)}") from error


class _ShardConnection(_Seeking, Connection):
    pass


class _SealedShardConnection(_Seeking, SSLConnection):
    pass
