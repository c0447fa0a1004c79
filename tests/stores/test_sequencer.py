"""The order of the log: every event gets an index, without a gap, and none slips in front of another later."""

import asyncio

import asyncpg
import pytest

from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.audit.sequencer import Sequencer
from tests.storeroom import an_event, eventually


@pytest.fixture
def sequencer(pool: asyncpg.Pool) -> Sequencer:
    """A sequencer that looks often."""
    return Sequencer(pool, pause_seconds=0.01)


async def put(pool: asyncpg.Pool, *events: AuditEvent) -> None:
    """Commit events."""
    async with pool.acquire() as connection, connection.transaction():
        await insert_events(connection, events)


async def sequence(sequencer: Sequencer, pool: asyncpg.Pool) -> int:
    """One round."""
    async with pool.acquire() as connection:
        return await sequencer.sequence_once(connection)


async def index_of(pool: asyncpg.Pool, event: AuditEvent) -> int | None:
    """An event's index, or None while it has none."""
    found: int | None = await pool.fetchval(
        "SELECT index FROM audit_leaves WHERE event_id = $1", event.head.id
    )
    return found


async def assert_gapless(pool: asyncpg.Pool) -> None:
    """The indexes are 0, 1, 2, … up to the last one."""
    row = await pool.fetchrow("SELECT count(*) AS leaves, min(index), max(index) FROM audit_leaves")
    assert row is not None
    assert (row["min"], row["max"]) == (0, row["leaves"] - 1)


async def assert_in_order(pool: asyncpg.Pool) -> None:
    """The indexes follow the transactions, and within one the order in which its events were put."""
    rows = await pool.fetch(
        "SELECT event.id FROM audit_leaves AS leaf JOIN audit_events AS event ON event.id = leaf.event_id"
        " ORDER BY leaf.index"
    )
    wanted = await pool.fetch(
        "SELECT event.id FROM audit_leaves AS leaf JOIN audit_events AS event ON event.id = leaf.event_id"
        " ORDER BY event.txid, event.position"
    )
    assert rows == wanted


async def test_events_get_their_index_in_the_order_of_the_log(
    sequencer: Sequencer, pool: asyncpg.Pool
) -> None:
    """One commit after another, and several events in one of them."""
    events = [an_event() for _ in range(6)]
    await put(pool, *events[:3])
    await put(pool, events[3])
    await put(pool, *events[4:])
    await sequence(sequencer, pool)
    indexes = [await index_of(pool, event) for event in events]
    assert indexes[0] is not None
    assert indexes == list(range(indexes[0], indexes[0] + 6))
    await assert_gapless(pool)


async def test_sequencing_again_changes_nothing(sequencer: Sequencer, pool: asyncpg.Pool) -> None:
    """An index is given once."""
    event = an_event()
    await put(pool, event)
    await sequence(sequencer, pool)
    index = await index_of(pool, event)
    assert await sequence(sequencer, pool) == 0
    assert await index_of(pool, event) == index


async def test_nothing_slips_in_front_later(sequencer: Sequencer, pool: asyncpg.Pool) -> None:
    """An event waits for every transaction that began before its own: one of those may still commit."""
    slow, quick = an_event(), an_event()
    async with pool.acquire() as first:
        transaction = first.transaction()
        await transaction.start()
        await insert_events(first, [slow])
        await put(pool, quick)
        await sequence(sequencer, pool)
        assert await index_of(pool, quick) is None
        await transaction.commit()
    await sequence(sequencer, pool)
    before, after = await index_of(pool, slow), await index_of(pool, quick)
    assert before is not None
    assert after == before + 1
    await assert_gapless(pool)


async def test_a_transaction_that_is_rolled_back_leaves_no_gap(
    sequencer: Sequencer, pool: asyncpg.Pool
) -> None:
    """Positions have gaps, indexes have none."""
    kept = [an_event(), an_event()]
    await put(pool, kept[0])
    async with pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        await insert_events(other, [an_event()])
        await transaction.rollback()
    await put(pool, kept[1])
    await sequence(sequencer, pool)
    first, second = [await index_of(pool, event) for event in kept]
    assert first is not None
    assert second == first + 1
    await assert_gapless(pool)


async def test_a_round_is_bounded(pool: asyncpg.Pool) -> None:
    """A backlog is worked off in rounds, which change nothing about the order."""
    sequencer = Sequencer(pool, most_per_round=7)
    while await sequence(sequencer, pool):
        pass
    events = [an_event() for _ in range(20)]
    await put(pool, *events)
    rounds = [await sequence(sequencer, pool) for _ in range(4)]
    assert rounds == [7, 7, 6, 0]
    await assert_gapless(pool)
    await assert_in_order(pool)


async def test_of_two_sequencers_one_leads_and_the_other_takes_over(pool: asyncpg.Pool) -> None:
    """While many commit at once the order holds, also when the leader goes away in between."""
    stops = [asyncio.Event(), asyncio.Event()]
    events = [an_event() for _ in range(200)]

    async def one_leads() -> bool:
        return await leaders(pool) == 1

    async def all_sequenced() -> bool:
        missing = await pool.fetchval(
            "SELECT count(*) FROM audit_events AS event LEFT JOIN audit_leaves AS leaf ON leaf.event_id = event.id"
            " WHERE leaf.index IS NULL"
        )
        return not missing

    async with asyncio.TaskGroup() as tasks:
        for stop in stops:
            tasks.create_task(Sequencer(pool, pause_seconds=0.01, most_per_round=50).run(stop))
        await eventually(one_leads)
        for at in range(0, 100, 20):
            await asyncio.gather(*(put(pool, event) for event in events[at : at + 20]))
            assert await leaders(pool) <= 1
        await eventually(all_sequenced)
        stops[0].set()
        await asyncio.gather(*(put(pool, event) for event in events[100:]))
        await eventually(all_sequenced)
        assert await leaders(pool) == 1
        stops[1].set()
    assert await leaders(pool) == 0
    await assert_gapless(pool)
    await assert_in_order(pool)


async def test_a_leader_whose_connection_is_cut_leads_again(sequencer: Sequencer, pool: asyncpg.Pool) -> None:
    """The lock is gone with the connection; nobody has to restart anything."""
    stop, event = asyncio.Event(), an_event()

    async def leads() -> bool:
        return await leaders(pool) == 1

    async def sequenced() -> bool:
        return await index_of(pool, event) is not None

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sequencer.run(stop))
        await eventually(leads)
        leader = await pool.fetchval("SELECT pid FROM pg_locks WHERE locktype = 'advisory'")
        await pool.fetchval("SELECT pg_terminate_backend($1)", leader)
        await put(pool, event)
        await eventually(sequenced)
        stop.set()
    await assert_gapless(pool)


async def leaders(pool: asyncpg.Pool) -> int:
    """How many hold the leadership."""
    return int(await pool.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"))
