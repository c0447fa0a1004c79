"""Deliveries end to end: issue → worker → SMS centre → receipt → status. `python -m loadtests.deliveries`.

One api, one worker, the embedded stores, and an SMS centre that tells every receipt at once, all on loopback. Bounded
in count and time; it stops by itself.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, cast

import asyncpg
import httpx2
import uvloop
from cyclopts import run
from rich.console import Console

from loadtests import generator
from loadtests.place import cpu_seconds, rss_mib
from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.postgres_store import ClientStore
from sca_service.challenges.model import decode_state
from sca_service.kernel.keyring import Keyring, write_keyring
from sca_service.migrations import migrate
from sca_service.sandbox.server_process import launcher
from sca_service.sandbox.servers import Servers, start_servers
from sca_service.settings import shipped_policies
from tests.ports import free_port

PORT = free_port()
MOST_SECONDS = 120.0
UNDER_WAY = 64
_ORDER: dict[str, Any] = {
    "purpose": "payment",
    "transaction": {
        "amount": {"currency": "EUR", "amount": "49.99"},
        "payee": {"name": "ACME GmbH", "account": {"iban": "DE89370400440532013000"}},
    },
    "channels": [{"channel": "sms"}],
}
_SECTION = """
[centre]
kind = "smpp"
channel = "sms"
countries = []
currency = "EUR"
prices = [{{ network = "*", from_messages = 0, price_micros = 60_000 }}]
[centre.options]
host = "127.0.0.1"
port = {port}
system_id = "bank"
tls = false
window = 200
"""


@dataclass(slots=True)
class Place:
    """What runs, and where its files are."""

    folder: Path
    servers: Servers
    api_key: str
    config: Path
    api: int


async def queued_batch(place: Place, worker: "Worker", count: int, console: Console) -> None:
    """Challenges are issued while no worker runs; then one is started and delivers all of them."""
    await issue(place, count, per_second=0)
    began = time.perf_counter()
    process = worker.start()
    first, before = began, 0.0
    async with asyncio.timeout(MOST_SECONDS):
        while (done := await delivered(place)) < count:
            if not done:
                first, before = time.perf_counter(), cpu_seconds(process.pid)
            await asyncio.sleep(0.05)
    seconds = time.perf_counter() - first
    used = cpu_seconds(process.pid) - before
    console.print(
        f"  queued batch: {count / seconds:,.0f} deliveries/s from claim to receipt on record "
        f"({count} in {seconds:.1f} s), {used / count * 1e6:,.0f} µs of CPU each in the worker"
    )


async def steady(
    place: Place, process: "subprocess.Popen[bytes]", per_second: int, seconds: int, console: Console
) -> None:
    """A steady rate of challenges while the worker runs: how long from issue to `sent`, and what memory it takes."""
    before_mib, before = rss_mib(process.pid), await delivered(place)
    issued = await issue(place, per_second * seconds, per_second=per_second)
    async with asyncio.timeout(MOST_SECONDS):
        while await delivered(place) < before + len(issued):  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.1)
    waits = await waits_ms(place, issued)
    cut = statistics.quantiles(waits, n=100)
    console.print(
        f"  {per_second}/s for {seconds} s: issue to sent p50 {cut[49]:.0f} ms, p99 {cut[98]:.0f} ms; worker "
        f"{before_mib:.0f} → {rss_mib(process.pid):.0f} MiB"
    )


async def issue(place: Place, count: int, *, per_second: int) -> list[str]:
    """Issue so many challenges, at a rate or as fast as it goes; their ids."""
    ids: list[str] = []
    numbers = iter(range(count))
    began = time.perf_counter()

    async def caller() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        for number in numbers:
            if per_second:
                await asyncio.sleep(max(began + number / per_second - time.perf_counter(), 0))
            unique = time.time_ns() % 90_000_000 + 10_000_000
            psu = {"id": f"c{number}-{unique}", "phone": f"+49151{unique}", "locale": "de-DE"}
            body = json.dumps({"psu": psu, **_ORDER})
            writer.write(generator.request_bytes("/v1/challenges", body, place.api_key))
            status, answer = await generator.read_answer(reader)
            if status != 201:
                raise RuntimeError(f"the api answered {status}")
            ids.append(json.loads(answer)["id"])
        writer.close()

    async with asyncio.TaskGroup() as callers:
        for _ in range(UNDER_WAY):
            callers.create_task(caller())
    return ids


async def delivered(place: Place) -> int:
    """How many deliveries are on record as delivered."""
    connection = await asyncpg.connect(place.servers.postgres.url)
    try:
        return int(
            await connection.fetchval(
                "SELECT count(*) FROM audit_events WHERE type = 'delivery.settled' AND body LIKE $1",
                '%"status":"delivered"%',
            )
        )
    finally:
        await connection.close()


async def waits_ms(place: Place, ids: list[str]) -> list[float]:
    """From when each challenge was issued until its message was taken, by the clock of Redis."""
    from redis.asyncio import Redis  # noqa: PLC0415 - read here only

    async with Redis.from_url(place.servers.valkey.url) as redis:
        found = []
        for one in ids:
            packed = await redis.get(f"{{p{int(one[4:6], 16):02d}}}:challenge:{one}")
            state = decode_state(cast("bytes", packed))
            found.append(float(state.deliveries[0].sent_at - state.created_at))
        return found


@dataclass(slots=True)
class Worker:
    """The worker's process, once it is started."""

    place: Place
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it."""
        self.process = _start("worker", self.place.config)
        return self.process

    def stop(self) -> None:
        """End it, if it was started."""
        if self.process:
            self.process.terminate()
            self.process.wait(15)


def _start(role: str, config: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [*launcher(death_signal="TERM"), sys.executable, "-m", "sca_service", role, "--config", str(config)]
    )


@contextmanager
def running(folder: Path) -> Iterator[Place]:
    """The stores, an SMS centre and an api; the worker is started by what is measured."""
    servers = start_servers(folder)
    centre = subprocess.Popen(
        [sys.executable, "-m", "loadtests.smpp_centre", "--receipts"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    processes: list[subprocess.Popen[Any]] = [centre]
    try:
        port = int(cast("TextIO", centre.stdout).readline())
        migrate(servers.postgres.url)
        write_keyring(folder / "keyring.json")
        keyring = Keyring.parse((folder / "keyring.json").read_text("utf-8"))
        key = asyncio.run(_create_client(servers.postgres.url, keyring))
        policies = _policies(folder / "policies", port)
        config = folder / "sca.toml"
        config.write_text(
            f'environment = "sandbox"\nissuer = "https://sca.example"\npolicies = "{policies}"\n'
            f'keyring = "keyring.json"\nredis.url = "{servers.valkey.url}"\npostgres.url = "{servers.postgres.url}"\n'
            f'api.port = {PORT}\nsandbox.folder = "."\nlog_level = "WARNING"\n',
            "utf-8",
        )
        api = _start("api", config)
        processes.append(api)
        _await_api()
        yield Place(folder, servers, key, config, api.pid)
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(15)
        servers.stop()


def _policies(folder: Path, port: int) -> Path:
    """The shipped policies, with the SMS centre in place of the sandbox's supplier."""
    folder.mkdir()
    for path in shipped_policies().glob("*.toml"):
        text = path.read_text("utf-8")
        if path.name == "suppliers.toml":
            begin = text.index("[sandbox-sms]")
            text = text[:begin] + _SECTION.format(port=port) + text[text.index("[sandbox-voice]") :]
            tomllib.loads(text)
        text = text.replace('suppliers = ["sandbox-sms"]', 'suppliers = ["centre"]')
        (folder / path.name).write_text(text, "utf-8")
    return folder


def _await_api() -> None:
    for _ in range(400):
        try:
            if httpx2.get(f"http://127.0.0.1:{PORT}/readyz", trust_env=False).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.05)
    raise RuntimeError("the api was not ready in time")


async def _create_client(url: str, keyring: Keyring) -> str:
    async with asyncpg.create_pool(url, min_size=1, max_size=1) as pool:
        registry = ClientRegistry(ClientStore(pool), keyring)
        return (await registry.create("bank", [Scope.CHALLENGES, Scope.ALERTS])).reveal()


def bench(*, count: int = 10_000, per_second: int = 500, seconds: int = 20) -> None:
    """Measure a queued batch, then a steady rate, with one worker."""
    console = Console(highlight=False)
    os.environ["SCA_SUPPLIER_CENTRE_PASSWORD"] = "loadtest"  # noqa: S105 - of the centre on loopback
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as place:
        worker = Worker(place)

        async def measure() -> None:
            await queued_batch(place, worker, count, console)
            assert worker.process is not None  # noqa: S101 - the batch has started it
            await steady(place, worker.process, per_second, seconds, console)

        try:
            uvloop.run(measure())
        finally:
            worker.stop()


if __name__ == "__main__":
    run(bench)
