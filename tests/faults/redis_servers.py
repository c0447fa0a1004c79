"""Valkeys that may fail over, where a deployment has one: a primary with its replica, or a cluster; and the roles."""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from sca_service.sandbox.servers import PostgresProcess, Servers, ValkeyProcess
from tests.faults.cuts import start_broken
from tests.harness import Deployment
from tests.ports import free_port
from tests.valkeys import Node, ValkeyCluster, await_that, start_replicas

_CLUSTER_TIMEOUT_MS = 2_000


class Pair:
    """A primary and its replica, reached by a URL that names both. A class because it knows which of them decides."""

    def __init__(self, folder: Path, *, are_waited_for: bool = False) -> None:
        settings = {"min-replicas-to-write": "1", "min-replicas-max-lag": "10"} if are_waited_for else {}
        self.first, self.second = start_replicas(folder, 1, **settings)
        self._are_waited_for = are_waited_for
        self._is_over = False

    @property
    def url(self) -> str:
        """Both for the roles; the promoted one for whoever looks into it afterwards."""
        return f"redis://{'' if self._is_over else f'{self.first.address},'}{self.second.address}"

    def cut(self) -> None:
        """What the primary decides from now on its replica never hears of."""
        self.second.client.replicaof("127.0.0.1", free_port())

    def fail(self) -> None:
        """Kill the primary."""
        self.first.signal(signal.SIGKILL)

    def recover(self) -> None:
        """Promote the replica; where replicas are waited for, the dead primary comes back as its replica."""
        self.second.client.replicaof("NO", "ONE")
        self._is_over = True
        if self._are_waited_for:
            self.first.start()
            self.first.await_answer()
            self.first.client.replicaof("127.0.0.1", self.second.port)
            await_that(self._is_acknowledged, "a replica that has what is written")

    def _is_acknowledged(self) -> bool:
        self.second.client.set("acknowledged", "1", px=60_000)
        return int(self.second.client.wait(1, 1_000)) > 0

    def stop(self) -> None:
        """End both."""
        for node in (self.first, self.second):
            node.end()


class Cluster(ValkeyCluster):
    """Six nodes, which put a replica in a dead primary's place by themselves."""

    def __init__(self) -> None:
        super().__init__(timeout_ms=_CLUSTER_TIMEOUT_MS)

    def fail(self) -> None:
        """Kill one of three primaries: not the first, which the tests are told of its cluster by."""
        self.nodes[1].signal(signal.SIGKILL)

    def recover(self) -> None:
        """Wait until its replica was elected."""
        await_that(lambda: self.nodes[4].role()["role"] == "master", "the election")
        await_that(lambda: self._decides(self.nodes[4]), "the cluster")

    @staticmethod
    def _decides(node: Node) -> bool:
        state: str = node.client.execute_command("CLUSTER INFO")["cluster_state"]
        return state == "ok"


def start_roles(
    folder: Path, valkeys: Pair | Cluster, *, settings: Sequence[str] = (), broken: str = ""
) -> Deployment:
    """Two api, a worker and a log on these Valkeys and an embedded PostgreSQL; the second api may be a broken one."""
    deployment = Deployment(folder, more_settings=tuple(settings))
    postgres = PostgresProcess()
    postgres.start(folder / "postgres")
    deployment.servers = Servers(cast("ValkeyProcess", valkeys), postgres)
    deployment.furnish()
    for name in ("api", "worker", "log"):
        deployment.start(name)
    if broken:
        start_broken(deployment, broken, port=free_port())
    else:
        deployment.start("api")
    return deployment
