"""Where measurements take place: one api and the echo as processes on one core, stores and load on the other."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from rich.console import Console

from loadtests import generator
from loadtests.generator import Load, Request, Result
from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.postgres_store import ClientStore
from sca_service.kernel.keyring import Keyring, write_keyring
from sca_service.migrations import migrate
from sca_service.sandbox.server_process import launcher
from sca_service.sandbox.servers import NOTHING, Servers, start_servers
from sca_service.settings import shipped_policies
from tests.ports import free_port

API_CORE, OTHER_CORE = 0, 1
API_PORT, ECHO_PORT = free_port(), free_port()  # of this run: another one beside it has others
API_URL, ECHO_URL = f"http://127.0.0.1:{API_PORT}", f"http://127.0.0.1:{ECHO_PORT}"
_UVICORN = (
    *("--loop", "uvloop", "--http", "httptools"),
    *("--no-access-log", "--no-server-header", "--log-level", "warning"),
)
_PROFILED_RATE = 500
"""Samples a second."""


@dataclass(frozen=True, slots=True)
class Place:
    """What runs, and what it takes to call it."""

    folder: Path
    servers: Servers
    keyring: Keyring
    api_key: str
    api: "subprocess.Popen[bytes]"
    echo: "subprocess.Popen[bytes]"
    console: Console

    def put(self, requests: Sequence[Request], seconds: int, *, url: str = API_URL) -> Result:
        """Send each request once to the api, as many as it answers in so many seconds.

        Raises RuntimeError when one of them failed.
        """
        load = Load(url, self.api_key, requests, each_once=True)
        result = generator.run(load, seconds=seconds, core=OTHER_CORE)
        if result.failed:
            raise RuntimeError(f"{result.failed} requests failed")
        return result

    def put_echo(self, request: Request, seconds: int) -> Result:
        """Send one body to the echo over and over."""
        load = Load(ECHO_URL, "-", [request], each_once=False)
        return generator.run(load, seconds=seconds, core=OTHER_CORE)

    def exchange(self, requests: Sequence[Request], *, connections: int = 16) -> list[Any]:
        """Send each once to the api, unmeasured; what the answers hold, in order, None for a 429 or 503.

        Raises RuntimeError for any other failure.
        """
        told = asyncio.run(generator.exchange(API_URL, self.api_key, requests, connections=connections))
        return [None if body is None else json.loads(body) for body in told]

    def acceptances(self) -> int:
        """How many approvals are on record."""

        async def count() -> int:
            connection = await asyncpg.connect(self.servers.postgres.url)
            found = int(await connection.fetchval("SELECT count(*) FROM acceptances"))
            await connection.close()
            return found

        return asyncio.run(count())

    def put_and_count(self, requests: Sequence[Request], seconds: int) -> Result:
        """As `put`, for answers that are right. Raises RuntimeError unless all are on record as accepted."""
        before = self.acceptances()
        result = self.put(requests, seconds)
        accepted = self.acceptances() - before
        if accepted < result.requests - generator.CONNECTIONS:
            raise RuntimeError(f"{result.requests} right answers, {accepted} accepted")
        return result

    def profile(self, what: str, seconds: int, put: Callable[[], object]) -> None:
        """Print where the api's time goes in so many seconds of a load, by py-spy."""
        with tempfile.NamedTemporaryFile(suffix=".txt") as stacks:
            options = ["-d", str(seconds), "-r", str(_PROFILED_RATE), "-f", "raw", "-o", stacks.name]
            spy = subprocess.Popen(
                [str(Path(sys.executable).with_name("py-spy")), "record", "-p", str(self.api.pid), *options],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            put()
            if spy.wait(30):
                self.console.print("  py-spy could not look into the process (it needs ptrace)")
                return
            _print_profile(self.console, what, Path(stacks.name).read_text("utf-8"))


@contextmanager
def running(console: Console, other: Mapping[str, str] = NOTHING) -> Iterator[Place]:
    """The stores, the api and the echo, on loopback in a folder of their own; ended afterwards.

    `other` parameters of PostgreSQL are over the sandbox's.
    """
    os.sched_setaffinity(0, {OTHER_CORE} if (os.cpu_count() or 1) > 1 else {0})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        servers = start_servers(folder, other)
        processes: list[subprocess.Popen[bytes]] = []
        try:
            migrate(servers.postgres.url)
            write_keyring(folder / "keyring.json")
            keyring = Keyring.parse((folder / "keyring.json").read_text("utf-8"))
            key = asyncio.run(_create_client(servers.postgres.url, keyring))
            api = _start(
                ["-m", "sca_service", "api", "--config", str(config_file(folder, servers, API_PORT))]
            )
            processes.append(api)
            echo = _start(["-m", "uvicorn", "loadtests.echo:app", *_UVICORN, "--port", str(ECHO_PORT)])
            processes.append(echo)
            for port, path in ((API_PORT, "/readyz"), (ECHO_PORT, "/echo")):
                asyncio.run(await_port(port, path))
            yield Place(folder, servers, keyring, key, api, echo, console)
        finally:
            for process in processes:
                process.terminate()
                process.wait(15)
            servers.stop()


@contextmanager
def another_api(
    place: Place, module: str, port: int, *, core: int = API_CORE
) -> "Iterator[subprocess.Popen[bytes]]":
    """One more api on the same stores, started by this module instead of `sca_service`; ended afterwards."""
    config = config_file(place.folder, place.servers, port)
    api = _start(["-m", module, "api", "--config", str(config)], core)
    try:
        asyncio.run(await_port(port, "/readyz"))
        yield api
    finally:
        api.terminate()
        api.wait(15)


@contextmanager
def a_worker(place: Place) -> "Iterator[subprocess.Popen[bytes]]":
    """A worker on the same stores, and on the api's core; ended afterwards."""
    worker = _start(
        ["-m", "sca_service", "worker", "--config", str(config_file(place.folder, place.servers, API_PORT))]
    )
    try:
        yield worker
    finally:
        worker.terminate()
        worker.wait(30)


@contextmanager
def served(module: str, port: int, path: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A small ASGI application on the server and with the settings of the echo, on its core; ended afterwards."""
    process = _start(["-m", "uvicorn", module, *_UVICORN, "--port", str(port)])
    try:
        asyncio.run(await_port(port, path))
        yield process
    finally:
        process.terminate()
        process.wait(15)


def config_file(folder: Path, servers: Servers, port: int, *, log_level: str = "WARNING") -> Path:
    """The configuration of roles on these stores, with the keyring that lies in the folder."""
    config = folder / f"sca-{port}.toml"
    config.write_text(
        f'environment = "sandbox"\nissuer = "https://sca.example"\npolicies = "{shipped_policies()}"\n'
        f'keyring = "keyring.json"\nredis.url = "{servers.valkey.url}"\npostgres.url = "{servers.postgres.url}"\n'
        f'api.port = {port}\nsandbox.folder = "."\nlog_level = "{log_level}"\n',
        "utf-8",
    )
    return config


def _start(arguments: list[str], core: int = API_CORE) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        ["taskset", "-c", str(core), *launcher(death_signal="TERM"), sys.executable, *arguments]
    )


async def await_port(port: int, path: str) -> None:
    """Wait until something answers there. Raises RuntimeError when nothing does, in time."""
    for _ in range(600):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        await reader.read()
        writer.close()
        return
    raise RuntimeError(f"nothing listens on port {port}")


async def _create_client(url: str, keyring: Keyring) -> str:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
        registry = ClientRegistry(ClientStore(pool), keyring)
        return (
            await registry.create("bank", [Scope.CHALLENGES, Scope.AUTHENTICATORS, Scope.ALERTS])
        ).reveal()


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")


def _print_profile(console: Console, what: str, stacks: str) -> None:
    own: Counter[str] = Counter()
    whole: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, count = line.rpartition(" ")
        names = [frame.split(" (")[0] + " (" + _file(frame) + ")" for frame in frames.split(";")]
        own[names[-1]] += int(count)
        for name in set(names):
            whole[name] += int(count)
    total = sum(own.values()) or 1
    for title, counts in (("with what it calls", whole), ("by itself", own)):
        console.print(f"\n  Where the api's time goes while it {what} ({title}; py-spy)")
        for name, samples in counts.most_common(40):
            console.print(f"    {samples / total:6.1%}  {name}", soft_wrap=True)


def _file(frame: str) -> str:
    return frame.rsplit(" (", maxsplit=1)[-1].rsplit(":", 1)[0].rstrip(")")
