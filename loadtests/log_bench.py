"""How fast the log grows, and how soon an event has its proof: `python -m loadtests.log_bench`.

Three figures on an embedded PostgreSQL: events per second that the sequencer works off from a backlog; how long after
its commit an event has a proof, while 2,000 a second are committed; and how long the story of one challenge takes to
read, with the plan of its query. Bounded in count and time; it ends by itself.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cyclopts import run

from sca_service.audit import postgres_store
from sca_service.audit.log.note import NoteSigner
from sca_service.audit.log.reader import LogReader
from sca_service.audit.log.sequencer import Sequencer
from sca_service.audit.model import AuditEvent, Record
from sca_service.audit.postgres_store import copy_events
from sca_service.audit.private.vault import Vault
from sca_service.audit.writer import AuditWriter
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring, create_keyring_text
from sca_service.kernel.postgres import connect_postgres
from sca_service.migrations import migrate
from sca_service.sandbox.servers import start_servers

_AT_ONCE = 10_000
_EVENTS_OF_A_CHALLENGE = 5
_AT_MS = 1_763_812_800_000
_STORIES = 500
_STRIDE = 7_919 * 101
"""From one story to the next: far enough that no two are neighbours."""
_SAMPLE_EVERY = 100
_SIGNER = NoteSigner("sca.example/log", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


def bench(*, events: int = 200_000, seconds: int = 20, per_second: int = 2_000) -> None:
    """Work off a backlog of `events`, then commit `per_second` for `seconds`, then read stories."""
    with tempfile.TemporaryDirectory() as folder:
        servers = start_servers(Path(folder))
        try:
            migrate(servers.postgres.url)
            uvloop.run(_bench(servers.postgres.url, events, seconds, per_second))
        finally:
            servers.stop()


async def _bench(url: str, events: int, seconds: int, per_second: int) -> None:
    pool = await connect_postgres(url, most_connections=8, statement_deadline_seconds=600)
    async with pool:
        await _fill(pool, events)
        await _integrate(pool, events)
        await _prove(pool, seconds, per_second)
        await _tell_stories(pool, events)


async def _fill(pool: asyncpg.Pool, events: int) -> None:
    begun = time.perf_counter()
    async with pool.acquire() as connection:
        for begin in range(0, events, _AT_ONCE):
            async with connection.transaction():
                await copy_events(connection, list(_events(begin, min(begin + _AT_ONCE, events))))
        await connection.execute("ANALYZE")
    print(f"filled      {events / (time.perf_counter() - begun):9.0f} events/s")


async def _integrate(pool: asyncpg.Pool, events: int) -> None:
    sequencer, rounds = Sequencer(pool, [_SIGNER]), []
    async with pool.acquire() as connection:
        await sequencer.open_log(connection)
        begun = time.perf_counter()
        while True:
            before = time.perf_counter()
            if not await sequencer.sequence_once(connection):
                break
            rounds.append(time.perf_counter() - before)
    rate = events / (time.perf_counter() - begun)
    print(
        f"integrated  {rate:9.0f} events/s, a round of 5000 in {statistics.median(rounds) * 1000:.0f} ms (median)"
    )


async def _prove(pool: asyncpg.Pool, seconds: int, per_second: int) -> None:
    keyring = Keyring.parse(create_keyring_text())
    writer = AuditWriter(pool, ChallengeArchive(pool), Vault(pool, keyring))
    reader, stop = LogReader(pool), asyncio.Event()
    waits: list[float] = []
    async with asyncio.TaskGroup() as tasks:
        leader = tasks.create_task(Sequencer(pool, [_SIGNER]).run(stop))
        begun, committing = time.perf_counter(), []
        for number in range(seconds * per_second):
            due = begun + number / per_second
            if (late := due - time.perf_counter()) > 0:
                await asyncio.sleep(late)
            sampled = number % _SAMPLE_EVERY == 0
            committing.append(tasks.create_task(_commit(writer, reader, waits if sampled else None)))
        took = time.perf_counter() - begun
        await asyncio.gather(*committing)
        stop.set()
        await leader
    await writer.close()
    waits.sort()
    print(
        f"proof after {statistics.median(waits) * 1000:9.0f} ms (median), {waits[len(waits) * 99 // 100] * 1000:.0f} ms"
        f" (p99), {waits[-1] * 1000:.0f} ms at most; {seconds * per_second / took:.0f} events/s committed"
    )


async def _commit(writer: AuditWriter, reader: LogReader, waits: list[float] | None) -> None:
    """Commit one event; when it is a sample, wait until it has its proof."""
    (event,) = _events(0, 1, new=True)
    await writer.commit(Record((event,)))
    if waits is None:
        return
    begun = time.perf_counter()
    while True:
        index = (await reader.leaves([event.head.id])).get(event.head.id)
        if index is not None and await reader.proof(index):
            break
        await asyncio.sleep(0.02)
    waits.append(time.perf_counter() - begun)


async def _tell_stories(pool: asyncpg.Pool, events: int) -> None:
    stories = postgres_store.StoryReader(pool)
    took = []
    for at in range(_STORIES):
        challenge = _challenge(at * _STRIDE % events)
        begun = time.perf_counter()
        rows = await stories.story(challenge, client=None, most=1000)
        took.append(time.perf_counter() - begun)
        if len(rows) != _EVENTS_OF_A_CHALLENGE:
            raise SystemExit("a story is not the one that was put")
    took.sort()
    print(
        f"a story in  {statistics.median(took) * 1000:9.2f} ms (median), {took[len(took) * 99 // 100] * 1000:.2f} ms"
        f" (p99) among {events} events"
    )
    plan = await pool.fetch(f"EXPLAIN (COSTS OFF) {postgres_store._STORY}", challenge, None, 1000)
    print("\n".join(row[0] for row in plan))


def _events(begin: int, end: int, *, new: bool = False) -> Iterator[AuditEvent]:
    """The events from number `begin` to `end`; one with an id of its own when it is `new`."""
    for number in (begin,) if new else range(begin, end):
        yield AuditEvent.create(
            event_id=new_id("evt") if new else f"evt_{number * 2654435761 % 2**128:032x}",
            kind=("challenge.issued", "delivery.attempted", "delivery.settled", "challenge.answered")[
                number % 4
            ],
            at_ms=_AT_MS + number,
            members={
                "client": "bank",
                "psu": f"{number // 50 * 2654435761 % 2**128:032x}",
                "challenge": new_id("chl") if new else _challenge(number),
                "actor": "worker",
                "request": f"req_{number:032x}",
                "policy": "sha256:" + "0" * 64,
                "commitments": dict.fromkeys(("message_shown", "phone"), "sha256:" + f"{number:064x}"),
            },
        )


def _challenge(number: int) -> str:
    return f"chl_{number // _EVENTS_OF_A_CHALLENGE * 2654435761 % 2**152:038x}"


if __name__ == "__main__":
    run(bench)
