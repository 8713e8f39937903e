"""The doorkeeper: users of regions elsewhere exist in Redis exactly while their regions call for them.

The pusher lets it tend with each beat. It looks when what is wanted changed, when Redis was away, and every few
seconds besides, since a server that restarts or fails over forgets users that no file of its own holds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from redis.exceptions import ConnectionError, ResponseError, TimeoutError  # noqa: A004 - redis's own

from pipeline.vocabulary import Region
from workers import access, streams
from workers.cluster import Cluster

log = logging.getLogger("doorkeeper")

LOOK_EVERY = timedelta(seconds=5)
Server = Any  # a Redis; its execute_command has no types


class Doorkeeper:
    """Its memory: what each server said of a user when that was as it should be."""

    def __init__(self, client: streams.Client, secret: bytes | None) -> None:
        self._client = client
        self._secret = secret
        self._agreed: dict[tuple[str, str], tuple[tuple[str, ...], str]] = {}
        self._wanted: dict[str, tuple[int, int]] | None = None
        self._rules: dict[str, tuple[str, ...]] = {}
        self._looked_at: datetime | None = None
        self._refusal = ""
        self._said_open = False
        self._cut_off: set[str] = set()

    def trust(self, secret: bytes | None) -> None:
        """Derive the users' passwords from another secret key from now on."""
        if secret != self._secret:
            self._secret, self._wanted = secret, None

    def hurry(self) -> None:
        """Look with the next beat: Redis was away, and may have forgotten."""
        self._looked_at = None

    def tend(self, regions: Sequence[Region], now: datetime) -> None:
        """Make, correct and delete users. `regions` are those whose probers run elsewhere. Errors: ConnectionError."""
        if self._secret is None:
            return
        wanted = {region.key: (region.id, region.access) for region in regions}
        if wanted != self._wanted:
            self._wanted, self._looked_at = wanted, None
            self._rules = {region.key: self._rules_of(region, self._secret) for region in regions}
        rested = self._looked_at is not None and abs(now - self._looked_at) < LOOK_EVERY
        if rested or (self._looked_at is not None and not wanted):
            return
        try:
            for name, server in self._servers():
                self._tend_server(name, server)
        except ResponseError as error:  # no leave to, or no ACL at all: probers with credentials of their own go on
            self._say_refused(error)
        else:
            self._refusal = ""
        self._looked_at = now
        self._forget_leases()

    def _forget_leases(self) -> None:
        """Whoever was cut off does not live on in what he wrote before: a lease may have been set for ever."""
        for key in sorted(self._cut_off):
            with suppress(ConnectionError, TimeoutError, ResponseError):  # with a later look
                streams.forget_leases(self._client, key)
                self._cut_off.discard(key)

    def _rules_of(self, region: Region, secret: bytes) -> tuple[str, ...]:
        password, cluster = access.password(secret, region), isinstance(self._client, Cluster)
        return access.rules(region.key, password, database=_database(self._client), cluster=cluster)

    def _servers(self) -> Iterator[tuple[str, Server]]:
        """Each server by name: users are no data, a cluster neither shards nor replicates them."""
        if isinstance(self._client, Cluster):
            yield from self._client.nodes()
        else:
            yield "", self._client

    def _tend_server(self, name: str, server: Server) -> None:
        try:
            acl = _acl(server)
            if self._correct(name, server, access.users_in(acl)):
                self._remember(name, access.users_in(_acl(server)))
            if self._rules and access.is_open(acl):
                self._say_open(server)
        except (ConnectionError, TimeoutError):
            if not isinstance(self._client, Cluster):
                raise  # of several, one that is away is looked at when it is back

    def _correct(self, name: str, server: Server, found: Mapping[str, str]) -> bool:
        """Bring one server's users to what is wanted; whether anything had to be done."""
        wrong = {
            key: rules for key, rules in self._rules.items() if self._agreed.get((name, key)) != (rules, found.get(key))
        }
        gone = found.keys() - self._rules.keys()
        for key, rules in wrong.items():
            line = found.get(key)
            others = line is not None and not access.admits(line, rules)
            change = server.pipeline(transaction=True)  # both or neither: whoever had the old password is cut off
            change.execute_command("ACL SETUSER", access.user(key), *rules)
            if others:
                change.execute_command("CLIENT KILL", "USER", access.user(key))
            change.execute()
            if others:
                self._cut_off.add(key)
            if line is None or others:
                action = "access_rotated" if others else "access_given"
                log.info("a region's user is ready", extra={"action": action, "region": key})
        for key in gone:  # which ends their connections, too
            server.execute_command("ACL DELUSER", access.user(key))
            self._cut_off.add(key)
            log.info("a region's user is deleted", extra={"action": "access_taken", "region": key})
        return bool(wrong or gone)

    def _remember(self, name: str, found: Mapping[str, str]) -> None:
        kept = {place: agreed for place, agreed in self._agreed.items() if place[0] != name}
        self._agreed = kept | {(name, key): (rules, found[key]) for key, rules in self._rules.items() if key in found}

    def _say_open(self, server: Server) -> None:
        """A socket in the file system is reached by nobody from elsewhere; all else may be."""
        if not self._said_open and "path" not in server.get_connection_kwargs():
            todo = "whoever reaches this Redis may do everything: give its default user a password"
            log.warning(todo, extra={"action": "access_open"})
        self._said_open = True

    def _say_refused(self, error: ResponseError) -> None:
        why = str(error)
        if why != self._refusal:
            self._refusal = why
            todo = "regions elsewhere need Redis 7 or Valkey 7.2, and a user that may ACL and CLIENT KILL"
            log.warning(todo, extra={"action": "access_refused", "error": why})


def _database(client: streams.Client) -> int:
    """The number of the database that keys are in."""
    return client.database if isinstance(client, Cluster) else int(client.get_connection_kwargs().get("db") or 0)


def _acl(server: Server) -> list[str]:
    lines: list[Any] = server.execute_command("ACL LIST")
    return [line.decode() if isinstance(line, bytes) else line for line in lines]
