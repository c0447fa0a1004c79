"""`sca dev`: the whole service on this machine, on embedded stores, with sandbox suppliers."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import asyncpg
from rich.console import Console

from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.postgres_store import ClientStore
from sca_service.kernel.errors import ConfigurationError
from sca_service.kernel.keyring import Keyring, write_keyring
from sca_service.migrations import migrate
from sca_service.sandbox.server_process import launcher
from sca_service.sandbox.servers import Servers, start_servers
from sca_service.settings import shipped_policies

SANDBOX_FILE = "sandbox.json"
DEFAULT_PORT = 8080
ROLES = ("api", "worker", "log")
SANDBOX_CLIENTS: Mapping[str, tuple[Scope, ...]] = {
    "bank": (
        Scope.CHALLENGES,
        Scope.AUTHENTICATORS,
        Scope.EXEMPTIONS,
        Scope.ANALYTICS,
        Scope.ONE_TIME_PASSWORD_SMS,
    ),
    "issuer": (Scope.ALERTS, Scope.ANALYTICS),
    "auditor": (Scope.AUDIT,),
    "operator": (Scope.ADMIN, Scope.ANALYTICS),
}
_READY_SECONDS = 30.0
STOP_SECONDS = 30.0
"""For a worker to finish what it is sending (10 s) and its suppliers what they have begun, such as calls (13 s)."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the sandbox keeps its files, and where it listens."""

    folder: Path
    port: int

    @property
    def base_url(self) -> str:
        """The address for clients on this machine."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def config(self) -> Path:
        """The configuration of the three roles."""
        return self.folder / "sca.toml"

    @property
    def keyring(self) -> Path:
        """The keys, made at the first start."""
        return self.folder / "keyring.json"


def dev(*, port: int | None = None, data_dir: Path = Path(".sca"), policies: Path | None = None) -> None:
    """Run the whole service on this machine until Ctrl-C.

    Parameters
    ----------
    port
        Where to listen on 127.0.0.1; 8080, or any free port when that is taken.
    data_dir
        Where everything is kept between runs; made if missing.
    policies
        A folder of policies instead of those that come with the service.
    """
    console = Console(stderr=False, highlight=False)
    began = time.monotonic()
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = Place(data_dir.resolve(), _free_port(port))
    with _interruptible():
        try:
            console.print(
                "» Starting Valkey and PostgreSQL (the first time takes a few seconds)", style="dim"
            )
            servers = start_servers(place.folder)
            try:
                _run(console, place, servers, policies, began)
            finally:
                console.print("» Stopping the stores", style="dim")
                servers.stop()
        except KeyboardInterrupt:
            console.print("» Stopped; everything is kept in the data folder", style="dim")


def _run(console: Console, place: Place, servers: Servers, policies: Path | None, began: float) -> None:
    console.print("» Bringing the database up to date", style="dim")
    migrate(servers.postgres.url)
    if not place.keyring.exists():
        write_keyring(place.keyring)
    _write_config(place, servers, policies)
    keys = asyncio.run(_client_keys(place, servers.postgres.url))
    _write_private(
        place.folder / SANDBOX_FILE,
        json.dumps(
            {"base_url": place.base_url, "clients": {name: {"api_key": key} for name, key in keys.items()}},
            indent=2,
        ),
    )
    console.print("» Starting the api, worker and log roles", style="dim")
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for role in ROLES:
            running[role] = _start_role(role, place)
        _await_ready(place, running)
        _greet(console, place, keys, time.monotonic() - began)
        while True:
            time.sleep(0.3)
            _check_alive(running)
            if servers.ended:
                raise ConfigurationError(f"{servers.ended} ended by itself; see its log in the data folder")
    finally:
        console.print("» Stopping the roles", style="dim")
        _stop(running)


def _start_role(role: str, place: Place) -> "subprocess.Popen[bytes]":
    command = [
        *launcher(death_signal="TERM"),
        sys.executable,
        "-m",
        "sca_service",
        role,
        "--config",
        str(place.config),
    ]
    log = (place.folder / f"{role}.log").open("ab")
    with log:
        return subprocess.Popen(command, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603


def _stop(running: "Mapping[str, subprocess.Popen[bytes]]") -> None:
    for process in running.values():
        process.terminate()
    for process in running.values():
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(place: Place, running: "Mapping[str, subprocess.Popen[bytes]]") -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        _check_alive(running)
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(  # noqa: S310 - our own http
                f"{place.base_url}/readyz", timeout=1
            ),
        ):
            return
        time.sleep(0.05)
    raise ConfigurationError(f"the api was not ready in time; its log is {place.folder / 'api.log'}")


def _check_alive(running: "Mapping[str, subprocess.Popen[bytes]]") -> None:
    for role, process in running.items():
        if process.poll() is not None:
            raise ConfigurationError(f"the {role} role ended by itself; see {role}.log in the data folder")


async def _client_keys(place: Place, postgres_url: str) -> dict[str, str]:
    """The API keys of the sandbox's clients: those of the last run where they still hold, else new ones."""
    keyring = Keyring.parse(place.keyring.read_text("utf-8"))
    known = _known_keys(place.folder / SANDBOX_FILE)
    async with asyncpg.create_pool(postgres_url, min_size=1, max_size=1) as pool:
        store = ClientStore(pool)
        registry = ClientRegistry(store, keyring)
        valid = {row.key_hash: row.id for row in await store.valid_keys()}
        there = {row.id for row in await store.all()}
        keys: dict[str, str] = {}
        for name, scopes in SANDBOX_CLIENTS.items():
            key = known.get(name, "")
            if valid.get(keyring.key_hash(key)) != name:
                made = (
                    await registry.rotate(name, overlap_seconds=0)
                    if name in there
                    else await registry.create(name, list(scopes))
                )
                key = made.reveal()
            keys[name] = key
    return keys


def _known_keys(path: Path) -> dict[str, str]:
    try:
        clients = json.loads(path.read_text("utf-8"))["clients"]
        return {name: entry["api_key"] for name, entry in clients.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write_config(place: Place, servers: Servers, policies: Path | None) -> None:
    folder = (policies or shipped_policies()).resolve()
    lines = (
        'environment = "sandbox"',
        f"issuer = {json.dumps(place.base_url)}",
        f"policies = {json.dumps(str(folder))}",
        f"keyring = {json.dumps(place.keyring.name)}",
        f"redis.url = {json.dumps(servers.valkey.url)}",
        f"postgres.url = {json.dumps(servers.postgres.url)}",
        f"api.port = {place.port}",
        'sandbox.folder = "."',
        'passkeys.rp_id = "localhost"',  # WebAuthn knows no IP addresses
        f'passkeys.origins = ["http://localhost:{place.port}"]',
    )
    _write_private(place.config, "\n".join(lines) + "\n")


def _write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone may read, whole or not at all."""
    beside = path.with_name(path.name + ".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    beside.replace(path)


def _free_port(wanted: int | None) -> int:
    for port in (wanted,) if wanted is not None else (DEFAULT_PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ConfigurationError(f"port {wanted} is taken: name another with --port")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C and a polite kill both end us in order, also while something is being started."""

    def interrupt(_: int, __: FrameType | None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    yield


def _greet(console: Console, place: Place, keys: Mapping[str, str], seconds: float) -> None:
    console.print()
    console.print(f"  [bold]SCA service[/] is ready at [bold green]{place.base_url}[/]  ({seconds:.1f} s)")
    console.print()
    console.print(f"  API keys (also in {_as_typed(place.folder / SANDBOX_FILE)})", style="dim")
    for name, key in keys.items():
        console.print(f"    {name:<9} {key}", soft_wrap=True)
    console.print()
    console.print(f"  Checkout        http://localhost:{place.port}/   (with the payer's handset)")
    console.print(f"  API reference   {place.base_url}/docs")
    console.print(f"  Auditor's desk  {place.base_url}/desk   (sign in with the auditor's key)")
    console.print(f"  Sent messages   {place.base_url}/sandbox/messages")
    demo = f"{_as_typed(Path(sys.prefix) / 'bin' / 'sca')} demo"
    where = "" if place.folder == Path(".sca").resolve() else f" --data-dir {_as_typed(place.folder)}"
    console.print(f"  One payment     {demo}{where}   (in another terminal)", soft_wrap=True)
    console.print("  Ctrl-C stops everything.", style="dim")


def _as_typed(path: Path) -> str:
    """The path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
