"""An export whose reader is slow, stands still or goes away: nothing piles up, nobody else waits, nothing is held."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import copy_events
from sca_service.kernel.ids import new_id
from tests.harness import PATIENCE_SECONDS, Bank, Deployment
from tests.storeroom import eventually

LEAVES = 60_000
LEAF_BYTES = 1_000
READERS = 3
"""One less than may run at once: the log that they hold up would be 180 MB in memory."""
MOST_GROWN_KIB = 96 * 1024
"""A portion of 5000 leaves for each reader, as rows and as text, in whatever shape; half of what would pile up."""
OTHERS = 100


@pytest.fixture(scope="module")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """An api whose log has 60 MB of leaves."""
    deployment = Deployment(tmp_path_factory.mktemp("long"))
    deployment.start_stores()
    try:
        for name in ("api", "log"):
            deployment.start(name)
        asyncio.run(_fill(deployment))
        yield deployment
    finally:
        deployment.stop()


async def _fill(deployment: Deployment) -> None:
    async with (
        asyncpg.create_pool(deployment.servers.postgres.url, min_size=1, max_size=1) as pool,
        pool.acquire() as connection,
    ):
        filler = "x" * (LEAF_BYTES - 100)
        at_ms = time.time_ns() // 1_000_000
        for _ in range(LEAVES // 5_000):
            events = [
                AuditEvent.create(
                    event_id=new_id("evt"), kind="challenge.answered", at_ms=at_ms, members={"filler": filler}
                )
                for _ in range(5_000)
            ]
            await copy_events(connection, events)

        async def is_sequenced() -> bool:
            return bool(await connection.fetchval("SELECT size >= $1 FROM log_state", LEAVES))

        await eventually(is_sequenced, seconds=PATIENCE_SECONDS)


class SlowReader:
    """An export over a socket of its own, read in small pieces. A class because it holds the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.taken = 0
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, deployment: Deployment) -> "SlowReader":
        """Ask for the whole log; the socket buffers hold next to nothing of it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", deployment.api.port, limit=4096)
        writer.write(
            b"GET /v1/audit/export?format=jsonl HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            + f"Authorization: Bearer {deployment.keys['auditor']}\r\n\r\n".encode()
        )
        await writer.drain()
        return cls(reader, writer)

    async def take(self, kib: int) -> bytes:
        """Read so much and no more."""
        content = b"".join([await self._reader.readexactly(1024) for _ in range(kib)])
        self.taken += len(content)
        return content

    def leave(self) -> None:
        """Go away in the middle."""
        self._writer.transport.abort()


@pytest.fixture
async def auditor(long_log: Deployment) -> AsyncIterator[Bank]:
    """A client that reads the log properly."""
    async with long_log.bank(client="auditor") as auditor:
        yield auditor


@pytest.fixture
async def database(long_log: Deployment) -> AsyncIterator[asyncpg.Connection]:
    """A connection that looks at the others."""
    connection = await asyncpg.connect(long_log.servers.postgres.url)
    yield connection
    await connection.close()


async def test_a_reader_that_stands_still_costs_nothing(
    long_log: Deployment, auditor: Bank, database: asyncpg.Connection
) -> None:
    """Memory stays flat, others are answered, no connection is held, and the places are free afterwards."""
    whole = await auditor.http.get("/v1/audit/export", params={"format": "jsonl"}, timeout=PATIENCE_SECONDS)
    assert len(whole.content) > LEAVES * LEAF_BYTES * 0.9
    before = resident_kib(long_log)
    async with AsyncExitStack() as gone:
        readers = [await SlowReader.open(long_log) for _ in range(READERS)]
        for reader in readers:
            gone.callback(reader.leave)
            assert b" 200 OK" in (await reader.take(8))[:20]
        for _ in range(OTHERS):
            assert (await auditor.http.get("/v1/audit/events", params={"limit": 1})).status_code == 200
            assert resident_kib(long_log) - before < MOST_GROWN_KIB
        await eventually(lambda: is_nothing_held(database))
        for reader in readers:
            assert b'"leaf":' in await reader.take(8)
    await eventually(lambda: is_nothing_held(database))

    async def may_all_begin() -> bool:
        """Four at once may run: the three that went away no longer count."""
        async with AsyncExitStack() as stack:
            codes = [
                (
                    await stack.enter_async_context(
                        auditor.http.stream("GET", "/v1/audit/export", params={"format": "jsonl"})
                    )
                ).status_code
                for _ in range(4)
            ]
        return codes == [200] * 4

    await eventually(may_all_begin)


def resident_kib(deployment: Deployment) -> int:
    """VmRSS of the api, with the processes that it may have begun."""
    return sum(_resident_kib(process) for process in family(deployment.api.process.pid))


def family(process: int) -> list[int]:
    """A process and everything that it started."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text("ascii").split()
    return [process, *(one for child in children for one in family(int(child)))]


def _resident_kib(process: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text("ascii"))
    return int(found[1]) if found else 0


async def is_nothing_held(database: asyncpg.Connection) -> bool:
    """Whether no connection that reads for exports is in a statement or in a transaction."""
    held = await database.fetchval(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sca reader' AND state <> 'idle'"
    )
    return bool(held == 0)
