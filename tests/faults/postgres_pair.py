"""A PostgreSQL primary and its standby, as an operator would run them: cut off, promoted, and back again."""

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, cast

import asyncpg

from sca_service.sandbox.postgres_files import Cluster, prepare_cluster, program
from sca_service.sandbox.server_process import ENVIRONMENT, ServerProcess
from sca_service.sandbox.servers import PostgresProcess, Servers, ValkeyProcess
from tests.faults.cuts import await_true, family, stopped
from tests.harness import Deployment

Result = TypeVar("Result")

_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
}
_MAY_CONNECT = """
local sca sca peer map=ours
local all postgres peer map=ours
local replication postgres peer map=ours
"""
_WHO = "ours /^(.*)$ sca\nours /^(.*)$ postgres\n"


@dataclass(slots=True)
class Server:
    """One of the two: started as what its files make of it, a primary or a standby."""

    folder: Path
    process: ServerProcess = field(default_factory=lambda: ServerProcess("PostgreSQL"))

    @property
    def host(self) -> str:
        """The folder of its socket."""
        return str(self.process.socket_folder)

    @property
    def name(self) -> str:
        """What it calls itself (`cluster_name`)."""
        return str(self.ask("SHOW cluster_name"))

    @property
    def pids(self) -> list[int]:
        """The postmaster and all of its children."""
        return family(self.process.pid)

    def start(self) -> Cluster:
        """Start it and wait until it answers."""
        with self.process.starting(self.folder) as place:
            cluster = prepare_cluster(place.folder)
            cluster.host_rules.write_text(_MAY_CONNECT, "ascii")
            cluster.account_rules.write_text(_WHO, "ascii")
            settings = _SETTINGS | {
                "cluster_name": place.name,
                "unix_socket_directories": str(self.process.socket_folder),
                "hba_file": str(cluster.host_rules),
                "ident_file": str(cluster.account_rules),
            }
            arguments = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
            command = [*cluster.launcher, program("postgres"), "-D", str(cluster.folder), *arguments]
            self.process.launch(command, place.folder / "postgres.log")
            self.process.await_ready(lambda: _apart(_answers(self.host)))
        return cluster

    def ask(self, *statements: str) -> Any:
        """Run statements as the superuser; returns the first value of the last."""
        return _apart(_ask(self.host, statements))

    def ask_sca(self, statement: str) -> Any:
        """The same in the service's database."""
        return _apart(_ask(self.host, (statement,), database="sca"))


@dataclass(slots=True)
class Pair:
    """The primary `first` and its standby `second`. The URL names both until one of them was promoted."""

    first: Server
    second: Server
    promoted: bool = False

    @classmethod
    def start(cls, folder: Path) -> "Pair":
        """Both, with commits that wait for the standby."""
        pair = cls(Server(folder / "first"), Server(folder / "second"))
        cluster = pair.first.start()
        _copy(pair.first, cluster, folder / "second" / "cluster")
        pair.second.start()
        pair.set_synchronous(True)
        await_true(
            lambda: pair.first.ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1,
            "the standby is synchronous",
        )
        return pair

    @property
    def urls(self) -> str:
        """Both hosts, the first of them first."""
        return _url(f"{self.first.host},{self.second.host}")

    @property
    def url(self) -> str:
        """Both hosts for the roles; after the promotion the new primary for whoever looks into it."""
        return _url(self.second.host) if self.promoted else self.urls

    def url_of(self, server: Server) -> str:
        """One host only."""
        return _url(server.host)

    @property
    def pid(self) -> int:
        """The postmaster of the primary."""
        return (self.second if self.promoted else self.first).process.pid

    def set_synchronous(self, wanted: bool) -> None:
        """Have the first wait for its standby with every commit, or not."""
        names = "*" if wanted else ""
        self.first.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'", "SELECT pg_reload_conf()")
        await_true(lambda: self.first.ask("SHOW synchronous_standby_names") == names, "the setting is read")

    def promote(self) -> None:
        """Make the standby the primary, which waits for nobody: it has no standby."""
        self.second.ask(
            "ALTER SYSTEM SET synchronous_standby_names = ''",
            "SELECT pg_reload_conf()",
            "SELECT pg_promote()",
        )
        await_true(lambda: not self.second.ask("SELECT pg_is_in_recovery()"), "the standby is the primary")
        self.promoted = True

    @contextlib.contextmanager
    def cut_off(self) -> Iterator[None]:
        """The standby hears nothing while this lasts."""
        with stopped(*self.second.pids):
            yield

    def stop(self) -> None:
        """End both."""
        for server in (self.first, self.second):
            server.process.stop(signal.SIGINT)


def start_deployment(folder: Path) -> tuple[Deployment, Pair]:
    """The service on such a pair: two api, a worker and a log."""
    deployment = Deployment(folder)
    pair = Pair.start(folder / "pair")
    valkey = ValkeyProcess()
    valkey.start(folder / "valkey")
    deployment.servers = Servers(valkey, cast("PostgresProcess", pair))
    deployment.furnish()
    for name in ("api", "api", "worker", "log"):
        deployment.start(name)
    return deployment, pair


def _url(hosts: str) -> str:
    return f"postgresql://sca@/sca?host={hosts}&target_session_attrs=read-write"


def _copy(primary: Server, cluster: Cluster, to: Path) -> None:
    """Take a base backup of the primary, which will follow it (pg_basebackup -R)."""
    to.parent.mkdir(mode=0o700)
    unfinished = cluster.folder.parent / "copy"  # where the server's account may write
    subprocess.run(
        [
            *cluster.launcher,
            program("pg_basebackup"),
            *("-D", str(unfinished), "-d", f"host={primary.host} user=postgres", "-R", "-X", "stream"),
            *("--checkpoint=fast", "--no-sync"),
        ],
        env=ENVIRONMENT,
        check=True,
        timeout=60,
        capture_output=True,
        umask=0o077,
    )
    unfinished.rename(to)


def _apart(work: Coroutine[Any, Any, Result]) -> Result:
    """What it comes to, in a thread of its own: a test may have an event loop, or none."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


async def _answers(host: str) -> bool:
    try:
        await _ask(host, ("SELECT 1",))
    except (OSError, asyncpg.PostgresError):
        return False
    return True


async def _ask(host: str, statements: tuple[str, ...], *, database: str = "postgres") -> Any:
    connection = await asyncpg.connect(user="postgres", database=database, host=host, timeout=10)
    try:
        for statement in statements:
            value = await connection.fetchval(statement)
        return value
    finally:
        await connection.close()
