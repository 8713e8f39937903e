"""A real cluster on this machine: three nodes of the bundled Valkey, a third of the slots each."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from tests.harness import eventually
from workers.cluster import Address, slot_of
from workers.embedded.valkey import _binary

NODES = 3
SLOTS = 16_384
OPTIONS = {
    "bind": "127.0.0.1",
    "cluster-enabled": "yes",
    "cluster-node-timeout": "2000",
    "cluster-require-full-coverage": "no",  # a shard that is down must not take the others with it
    "appendonly": "yes",
    "appendfsync": "always",  # everysec puts a write off while the disk is busy, and a kill then takes it along
    "save": "",
}


class Node:
    """One server; its data, its name in the cluster and its ports outlive a kill."""

    def __init__(self, folder: Path, port: int, bus_port: int, **options: str) -> None:
        folder.mkdir()
        self.address = Address("127.0.0.1", port)
        self.client: Any = Redis(host="127.0.0.1", port=port, socket_timeout=5, legacy_responses=False)
        self._log = folder / "valkey.log"
        options = OPTIONS | {"port": str(port), "cluster-port": str(bus_port), "dir": str(folder)} | options
        self._command = [_binary(), *(part for name, value in options.items() for part in (f"--{name}", value))]
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        eventually(self.answers, what=f"the node at {self.address}")

    def answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except RedisError:
            return False

    def kill(self) -> None:
        """With -9."""
        self._process.kill()
        self._process.wait(10)

    def close(self) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait(10)

    @property
    def id(self) -> str:
        return str(self.client.execute_command("CLUSTER MYID"), "ascii")

    def state(self) -> dict[str, str]:
        try:
            return dict(self.client.execute_command("CLUSTER INFO"))
        except RedisError:
            return {}


class Cluster:
    """The nodes and what a test does to them."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.url = f"redis+cluster://{nodes[0].address}"

    def owner(self, key: str) -> Node:
        """The node that has a key's slot, by what the first node that answers says."""
        [asked, *_] = [node for node in self.nodes if node.answers()]
        for start, end, (_, port, *_), *_ in asked.client.execute_command("CLUSTER SLOTS"):
            if start <= slot_of(key) <= end:
                return next(node for node in self.nodes if node.address.port == port)
        raise AssertionError(f"nobody has the slot of {key}")

    def whole(self) -> bool:
        """Every node calls the cluster ok and has met all others."""
        states = [node.state() for node in self.nodes]
        return all(
            state.get("cluster_state") == "ok"
            and state.get("cluster_known_nodes") == str(len(self.nodes))
            and state.get("cluster_slots_ok") == str(SLOTS)
            for state in states
        )

    def move(self, key: str, target: Node) -> None:
        """Move a key's slot as `redis-cli --cluster reshard` does: for a moment its keys are on both nodes."""
        slot, source = slot_of(key), self.owner(key)
        target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
        source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target.id)
        while keys := source.client.execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
            host, port = target.address
            source.client.execute_command("MIGRATE", host, port, "", 0, 5_000, "KEYS", *keys)
        for node in (target, source, *self.nodes):
            node.client.execute_command("CLUSTER SETSLOT", slot, "NODE", target.id)


@contextmanager
def running(folder: Path, **options: str) -> Iterator[Cluster]:
    """Three nodes that know each other; `options` go to each. Their end is a kill: nobody needs their data."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = _free_ports(2 * NODES)
    with ExitStack() as stack:
        nodes = []
        for number in range(NODES):
            node = Node(folder / f"node{number}", ports[2 * number], ports[2 * number + 1], **options)
            stack.callback(node.close)
            nodes.append(node)
        bounds = [SLOTS * number // NODES for number in range(NODES + 1)]
        for node, start, end in zip(nodes, bounds, bounds[1:], strict=False):
            node.client.execute_command("CLUSTER ADDSLOTSRANGE", start, end - 1)
        for number, node in enumerate(nodes):
            node.client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        for node in nodes[1:]:
            host, port = node.address
            bus_port = ports[2 * nodes.index(node) + 1]
            nodes[0].client.execute_command("CLUSTER MEET", host, port, bus_port)
        cluster = Cluster(nodes)
        eventually(cluster.whole, seconds=30, what="a cluster that is ok")
        yield cluster


def _free_ports(count: int) -> list[int]:
    """Held all at once, so that they differ."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(server.getsockname()[1]) for server in servers]
    for server in servers:
        server.close()
    return ports
