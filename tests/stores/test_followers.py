"""Followers of the log: each event once, in its order, whatever breaks off; and nothing unread is pruned."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sca_service.audit.following.follower import LogFollower
from sca_service.audit.following.model import LoggedEvent, LogUnreadable
from sca_service.audit.log.note import NoteSigner
from sca_service.audit.log.retention import Retention
from sca_service.audit.log.sequencer import Sequencer
from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.ids import new_id
from tests.harness import PATIENCE_SECONDS, Deployment
from tests.logs import own_schema
from tests.storeroom import eventually

SIGNER = NoteSigner("sca.example/log", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
YEAR_MS = 365 * 86_400_000
NOW_MS = SystemClock().now_ms()


class Seen:
    """A follower's work that writes down what it saw; told to, it fails after it has written."""

    def __init__(self) -> None:
        self.breaks = False
        self.gate: asyncio.Event | None = None
        self.has_begun = asyncio.Event()

    async def work(self, connection: asyncpg.pool.PoolConnectionProxy, events: Sequence[LoggedEvent]) -> None:
        """Write each event's index and id down, in the order they came."""
        await connection.executemany(
            "INSERT INTO seen (index, id, kind) VALUES ($1, $2, $3)",
            [(event.index, event.head.id, event.members["kind"]) for event in events],
        )
        self.has_begun.set()
        if self.gate:
            await self.gate.wait()
        if self.breaks:
            raise RuntimeError("broken off")


@pytest.fixture
async def pool(quiet_stores: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """Connections to tables of their own, in which nothing has happened."""
    async with own_schema(quiet_stores) as pool:
        await pool.execute(
            "CREATE TABLE seen (place bigint GENERATED ALWAYS AS IDENTITY, index bigint, id text, kind text)"
        )
        yield pool


async def logged(pool: asyncpg.Pool, count: int, *, years_ago: float = 0) -> list[str]:
    """Put events on the log; their ids."""
    at_ms = NOW_MS - int(years_ago * YEAR_MS)
    events = [
        AuditEvent.create(
            event_id=new_id("evt"), kind="challenge.answered", at_ms=at_ms, members={"kind": f"k{number}"}
        )
        for number in range(count)
    ]
    async with pool.acquire() as connection:
        async with connection.transaction():
            await insert_events(connection, events)
        sequencer = Sequencer(pool, [SIGNER])
        async with asyncio.timeout(60):
            while (await pool.fetchval("SELECT count(*) FROM audit_leaves")) < await pool.fetchval(
                "SELECT count(*) FROM audit_events"
            ):
                await sequencer.sequence_once(connection)
    return [event.head.id for event in events]


async def seen(pool: asyncpg.Pool) -> list[str]:
    """The ids that were written down, in the order they were."""
    return [row["id"] for row in await pool.fetch("SELECT id FROM seen ORDER BY place")]


def follower(pool: asyncpg.Pool, work: Seen, *, from_beginning: bool = True, most: int = 7) -> LogFollower:
    """A follower that looks often and takes little at once."""
    return LogFollower(
        pool, "test", work.work, from_beginning=from_beginning, most_at_once=most, pause_seconds=0.01
    )


async def test_each_event_comes_once_in_the_order_of_the_log(pool: asyncpg.Pool) -> None:
    """Portion by portion, on from where it stopped, with the members that the event has."""
    ids = await logged(pool, 20)
    one = follower(pool, Seen())
    await one.register()
    assert [await one.follow_once() for _ in range(4)] == [7, 7, 6, 0]
    ids += await logged(pool, 3)
    assert await follower(pool, Seen()).follow_once() == 3
    assert await seen(pool) == ids
    rows = await pool.fetch("SELECT index, kind FROM seen ORDER BY place")
    assert [row["index"] for row in rows] == list(range(23))
    assert [row["kind"] for row in rows[:3]] == ["k0", "k1", "k2"]


async def test_a_new_follower_may_begin_behind_the_last(pool: asyncpg.Pool) -> None:
    """What was on the log before is not of interest to it; and to register again changes nothing."""
    await logged(pool, 5)
    one = follower(pool, Seen(), from_beginning=False)
    await one.register()
    ids = await logged(pool, 2)
    await one.register()
    assert await one.follow_once() == 2
    assert await seen(pool) == ids


async def test_what_breaks_off_is_worked_again(pool: asyncpg.Pool) -> None:
    """What the work wrote and how far the follower came are there together, or not at all."""
    ids = await logged(pool, 5)
    work = Seen()
    one = follower(pool, work)
    await one.register()
    work.breaks = True
    with pytest.raises(RuntimeError):
        await one.follow_once()
    assert await seen(pool) == []
    work.breaks = False
    assert await one.follow_once() == 5
    assert await seen(pool) == ids


async def test_a_connection_that_is_cut_leaves_the_turn_to_another(pool: asyncpg.Pool) -> None:
    """A process that ends in the middle holds nothing, and what it wrote is not there."""
    ids = await logged(pool, 5)
    work = Seen()
    work.gate = asyncio.Event()
    stop = asyncio.Event()
    dying = asyncio.create_task(follower(pool, work).run(stop))
    cut = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE state = 'idle in transaction' AND query LIKE '%INSERT INTO seen%'
    """

    async def is_cut() -> bool:
        return await pool.fetchval(cut) is True

    await eventually(is_cut)
    stop.set()
    work.gate.set()
    await dying
    assert await seen(pool) == []

    other = follower(pool, Seen())

    async def is_done() -> bool:
        await other.follow_once()
        return len(await seen(pool)) == 5

    await eventually(is_done)
    assert await seen(pool) == ids


async def test_several_at_once_share_the_work(pool: asyncpg.Pool) -> None:
    """Each event comes once and in order, however many processes follow; one waits for none."""
    ids = await logged(pool, 300)
    stop = asyncio.Event()
    tasks = [asyncio.create_task(follower(pool, Seen()).run(stop)) for _ in range(3)]

    async def is_done() -> bool:
        return len(await seen(pool)) >= 300

    await eventually(is_done)
    stop.set()
    await asyncio.gather(*tasks)
    assert await seen(pool) == ids


async def test_while_one_works_another_does_not_wait(pool: asyncpg.Pool) -> None:
    """It is told that there is nothing to do."""
    ids = await logged(pool, 3)
    work = Seen()
    work.gate = asyncio.Event()
    slow = follower(pool, work)
    await slow.register()
    working = asyncio.create_task(slow.follow_once())

    async with asyncio.timeout(PATIENCE_SECONDS):
        await work.has_begun.wait()  # to ask by a lock who holds it would take the turn
    assert await follower(pool, Seen()).follow_once() == 0
    work.gate.set()
    assert await working == 3
    assert await seen(pool) == ids


async def test_nothing_is_pruned_that_a_follower_has_not_read(pool: asyncpg.Pool) -> None:
    """However old it is; what was read goes, in whole bundles."""
    await logged(pool, 600, years_ago=9)
    await logged(pool, 1)
    one = follower(pool, Seen(), most=300)
    await one.register()

    async def first_index_after_tidying() -> int:
        async with pool.acquire() as connection:
            while await Retention(5, SystemClock()).tidy(connection):
                pass
        return int(await pool.fetchval("SELECT first_index FROM log_state"))

    assert await first_index_after_tidying() == 0
    assert await one.follow_once() == 300
    assert await first_index_after_tidying() == 256
    assert await one.follow_once() == 300
    assert await first_index_after_tidying() == 512


async def test_a_follower_never_skips_what_is_gone(pool: asyncpg.Pool) -> None:
    """An entry that somebody deleted by hand stops it, rather than that it goes on as if nothing were missing."""
    ids = await logged(pool, 5)
    one = follower(pool, Seen())
    await one.register()
    await pool.execute("DELETE FROM audit_events WHERE id = $1", ids[2])
    with pytest.raises(LogUnreadable):
        await one.follow_once()
    await pool.execute("DELETE FROM audit_events")
    with pytest.raises(LogUnreadable):
        await one.follow_once()
    assert await seen(pool) == []
