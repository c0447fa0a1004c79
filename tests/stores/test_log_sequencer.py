"""The log: every event gets an index, without a gap, none slips in front of another later, and all are in one tree."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sca_service.audit.log import postgres_store as store
from sca_service.audit.log.checkpoint import Checkpoint
from sca_service.audit.log.note import NoteSigner, NoteVerifier, open_note
from sca_service.audit.log.proof import TlogProof
from sca_service.audit.log.reader import LogReader
from sca_service.audit.log.sequencer import LogDamaged, Sequencer
from sca_service.audit.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    check_consistency,
    leaf_hash,
    root_from_inclusion,
)
from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.kernel.errors import NotFound
from tests.harness import Deployment
from tests.logs import assert_whole, entries_in, own_schema
from tests.storeroom import an_event, eventually

ORIGIN = "sca.example/log"
SIGNER = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OLDER = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64))))


@pytest.fixture
def sequencer(pool: asyncpg.Pool) -> Sequencer:
    """A sequencer that looks often."""
    return Sequencer(pool, [SIGNER], pause_seconds=0.01)


@pytest.fixture
async def empty(quiet_stores: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """Connections to tables of their own, in which nothing has happened."""
    async with own_schema(quiet_stores) as pool:
        yield pool


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


async def test_transactions_are_ordered_as_numbers(empty: asyncpg.Pool) -> None:
    """The 10th comes after the 9th, and the 100th after both, in one round and from round to round."""
    for number in (100, 9, 10, 99, 11):
        event = an_event()
        await empty.execute(
            "INSERT INTO audit_events (id, txid, at, type, body) VALUES ($1, $2::text::xid8, now(), 'x', $3)",
            event.head.id,
            str(number),
            event.body,
        )
    sequencer = Sequencer(empty, [SIGNER], most_per_round=2)
    assert [await sequence(sequencer, empty) for _ in range(4)] == [2, 2, 1, 0]
    rows = await empty.fetch(
        "SELECT event.txid::text AS number FROM audit_leaves AS leaf JOIN audit_events AS event"
        " ON event.id = leaf.event_id ORDER BY leaf.index"
    )
    assert [row["number"] for row in rows] == ["9", "10", "11", "99", "100"]


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
    sequencer = Sequencer(pool, [SIGNER], most_per_round=7)
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
            tasks.create_task(Sequencer(pool, [SIGNER], pause_seconds=0.01, most_per_round=50).run(stop))
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


async def test_an_empty_log_is_signed_too(empty: asyncpg.Pool) -> None:
    """Before the first event there is a checkpoint of size 0, with the root of the empty tree, and nothing else."""
    reader = LogReader(empty)
    assert await reader.checkpoint() is None
    await opened(Sequencer(empty, [SIGNER]), empty)
    newest = await reader.checkpoint()
    assert newest is not None
    assert (newest.size, newest.root) == (0, EMPTY_ROOT)
    assert await reader.tile(0, 0, 1) is None
    assert await reader.entries(0, 1) is None
    assert await reader.proof(0) is None
    await assert_whole(empty, SIGNER.verifier_key)


async def test_every_round_extends_the_tree_that_was_signed_before(empty: asyncpg.Pool) -> None:
    """Rounds of odd sizes over several full tiles: all tiles are right, and each checkpoint continues the others."""
    sequencer = Sequencer(empty, [SIGNER])
    await opened(sequencer, empty)
    for portion in (1, 1, 253, 1, 1, 255, 700):
        await put(empty, *(an_event() for _ in range(portion)))
        assert await sequence(sequencer, empty) == portion
    await assert_whole(empty, SIGNER.verifier_key)
    reader = LogReader(empty)
    signed = await empty.fetch("SELECT size, root FROM log_checkpoints ORDER BY size")
    assert [row["size"] for row in signed] == [0, 1, 2, 255, 256, 257, 512, 1212]
    for old in signed:
        for new in signed:
            if old["size"] <= new["size"]:
                proof = await reader.consistency(old["size"], new["size"])
                check_consistency(old["size"], old["root"], new["size"], new["root"], proof)


async def test_what_is_read_leads_to_the_root(empty: asyncpg.Pool) -> None:
    """Entries hash to their tile; a proof leads from the entry to the signed root; nothing goes beyond it."""
    sequencer, reader = Sequencer(empty, [SIGNER]), LogReader(empty)
    events = [an_event(name=f"Zoë {number}") for number in range(300)]
    await put(empty, *events)
    await sequence(sequencer, empty)
    for index, width in ((0, 256), (1, 44), (1, 7)):
        bundle = await reader.entries(index, width)
        assert bundle is not None
        assert b"".join(map(leaf_hash, entries_in(bundle))) == await reader.tile(0, index, width)
    for tile in ((0, 1, 45), (0, 2, 1), (1, 0, 2), (2, 0, 1), (0, 1, 256)):
        assert await reader.tile(*tile) is None
    assert await reader.entries(1, 45) is None
    known = await reader.leaves([event.head.id for event in events] + ["evt_unknown"])
    assert sorted(known.values()) == list(range(300))
    for event in (events[0], events[255], events[256], events[299]):
        text = await reader.proof(known[event.head.id])
        assert text is not None
        proof = TlogProof.parse(text)
        signed = open_note(proof.note, [NoteVerifier.parse(SIGNER.verifier_key)])
        checkpoint = Checkpoint.parse(signed.text)
        leaf = leaf_hash(event.body.encode())
        assert root_from_inclusion(leaf, proof.index, checkpoint.size, proof.hashes) == checkpoint.root
    with pytest.raises(NotFound):
        await reader.inclusion(0, 301)
    with pytest.raises(NotFound):
        await reader.consistency(1, 301)
    assert await reader.proof(300) is None


async def test_an_empty_round_writes_nothing(empty: asyncpg.Pool) -> None:
    """Ten rounds a second would else fill the write-ahead log of a bank at rest."""
    sequencer = Sequencer(empty, [SIGNER])
    await opened(sequencer, empty)
    await put(empty, an_event())
    await sequence(sequencer, empty)
    before = await empty.fetchrow("SELECT xmin::text, xmax::text FROM log_state")
    horizon = await empty.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text")
    for _ in range(5):
        assert await sequence(sequencer, empty) == 0
    assert await empty.fetchrow("SELECT xmin::text, xmax::text FROM log_state") == before
    assert await empty.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text") == horizon


@pytest.mark.race
async def test_two_that_lead_at_once_make_one_log(empty: asyncpg.Pool) -> None:
    """Should the leadership fail, the state's row keeps them apart: one chain, each event once, nobody stumbles."""
    sequencers = [Sequencer(empty, [SIGNER], most_per_round=40) for _ in range(3)]
    totals = [0] * len(sequencers)
    brought = 0
    still_coming = True

    async def keep_sequencing(which: int) -> None:
        while (added := await sequence(sequencers[which], empty)) or still_coming:
            totals[which] += added

    async def bring() -> None:
        """For as long as one of them has had no round, or they would not have raced."""
        nonlocal brought, still_coming
        while brought < 1500 or (not all(totals) and brought < 30_000):
            await put(empty, *(an_event() for _ in range(25)))
            brought += 25
        still_coming = False

    await asyncio.gather(*map(keep_sequencing, range(len(sequencers))), bring())
    assert all(totals), "each had its rounds, or they did not race"
    assert sum(totals) == brought
    await assert_whole(empty, SIGNER.verifier_key)
    await assert_in_order(empty)


async def test_a_tree_that_is_not_the_signed_one_is_not_signed(empty: asyncpg.Pool) -> None:
    """One bit of a tile at the edge, or a tile that is gone: the log stops, and signs nothing over it."""
    sequencer = Sequencer(empty, [SIGNER])
    await put(empty, *(an_event() for _ in range(300)))
    await sequence(sequencer, empty)
    await put(empty, an_event())
    flip = "UPDATE log_tiles SET hashes = set_bit(hashes, 77, 1 - get_bit(hashes, 77)) WHERE level = 0 AND index = 1"
    await empty.execute(flip)
    with pytest.raises(LogDamaged):
        await sequence(sequencer, empty)
    await empty.execute(flip)
    tile = await empty.fetchval("DELETE FROM log_tiles WHERE level = 1 RETURNING hashes")
    with pytest.raises(LogDamaged):
        await sequence(sequencer, empty)
    await empty.execute("INSERT INTO log_tiles VALUES (1, 0, $1)", tile)
    root = await empty.fetchval("UPDATE log_checkpoints SET root = $1 RETURNING root", bytes(HASH_BYTES))
    assert root == bytes(HASH_BYTES)
    with pytest.raises(LogDamaged):
        await opened(sequencer, empty)
    assert await empty.fetchval("SELECT array_agg(size) FROM log_checkpoints") == [300]
    assert await empty.fetchval("SELECT count(*) FROM audit_leaves") == 300


async def test_every_log_key_signs_and_is_on_record(empty: asyncpg.Pool) -> None:
    """Who knows only the older key follows the log through a rotation; since when each signs can be read."""
    await opened(Sequencer(empty, [OLDER]), empty)
    await put(empty, an_event())
    await sequence(Sequencer(empty, [OLDER]), empty)
    rotated = Sequencer(empty, [SIGNER, OLDER])
    for size in (1, 2):
        await opened(rotated, empty)
        newest = await LogReader(empty).checkpoint()
        assert newest is not None
        for signer in (SIGNER, OLDER):
            opened_note = open_note(newest.note, [NoteVerifier.parse(signer.verifier_key)])
            assert Checkpoint.parse(opened_note.text).size == size
        assert newest.note.count("\n— ") == 2
        await put(empty, an_event())
        await sequence(rotated, empty)
    rows = await empty.fetch("SELECT verifier_key, first_size FROM log_keys ORDER BY first_size")
    assert [tuple(row) for row in rows] == [(OLDER.verifier_key, 0), (SIGNER.verifier_key, 1)]


async def test_a_log_goes_on_under_another_origin(empty: asyncpg.Pool) -> None:
    """After a restore: the tree as it is, signed under the new name at once, and growing under it."""
    await put(empty, an_event())
    await sequence(Sequencer(empty, [OLDER]), empty)
    renamed = NoteSigner("other.example/log", Ed25519PrivateKey.from_private_bytes(bytes(range(64, 96))))
    sequencer = Sequencer(empty, [renamed])
    for size in (1, 2):
        await opened(sequencer, empty)
        newest = await LogReader(empty).checkpoint()
        assert newest is not None
        signed = open_note(newest.note, [NoteVerifier.parse(renamed.verifier_key)])
        checkpoint = Checkpoint.parse(signed.text)
        assert (checkpoint.origin, checkpoint.size) == ("other.example/log", size)
        assert newest.note.count("\n— ") == 1
        await put(empty, an_event())
        await sequence(sequencer, empty)


async def test_a_server_that_counts_anew_is_not_led(empty: asyncpg.Pool) -> None:
    """After a restore by dump new events would stand before those that are signed, and get no index: it says so."""
    await put(empty, an_event())
    sequencer = Sequencer(empty, [SIGNER])
    await sequence(sequencer, empty)
    await opened(sequencer, empty)
    await empty.execute(
        "UPDATE log_state SET txid = (pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 1000)::text::xid8"
    )
    with pytest.raises(LogDamaged, match="anew"):
        await opened(sequencer, empty)


async def test_how_long_an_event_has_waited_is_known(empty: asyncpg.Pool) -> None:
    """A transaction that stays open anywhere holds the log up: the oldest event's waiting grows, and ends with it."""
    await put(empty, an_event())
    async with empty.acquire() as connection:
        place = (await store.state(connection)).place
        assert await store.waiting_seconds(connection, place) > 0
        await sequence(Sequencer(empty, [SIGNER]), empty)
        place = (await store.state(connection)).place
        assert await store.waiting_seconds(connection, place) == 0


async def test_what_awaits_witnesses_is_not_out_yet(empty: asyncpg.Pool) -> None:
    """A checkpoint is read with its witnesses' lines, and nothing of a newer one before."""
    sequencer, reader = Sequencer(empty, [SIGNER], awaits_witnesses=True), LogReader(empty)
    for _ in range(2):
        await put(empty, an_event(), an_event())
        await sequence(sequencer, empty)
    assert await reader.checkpoint() is None
    assert await reader.tile(0, 0, 1) is None
    waiting = await store.unpublished(empty)
    assert waiting is not None
    assert waiting.size == 4
    await put(empty, an_event())
    await sequence(sequencer, empty)
    await store.publish(empty, 4, waiting.note + "— witness.example c2lnbmF0dXJl\n")
    newest = await reader.checkpoint()
    assert newest is not None
    assert (newest.size, newest.note[-12:]) == (4, "c2lnbmF0dXJl\n"[-12:])
    assert await reader.tile(0, 0, 4) is not None
    assert await reader.tile(0, 0, 5) is None
    assert await reader.entries(0, 5) is None
    assert await reader.proof(4) is None
    waiting = await store.unpublished(empty)
    assert waiting is not None
    assert waiting.size == 5


async def test_a_leader_that_met_damage_tells_and_goes_on_looking(
    empty: asyncpg.Pool,
) -> None:
    """The role does not end, and does not sequence: when the tree is mended it goes on."""
    stop, sequencer = asyncio.Event(), Sequencer(empty, [SIGNER], pause_seconds=0.01)
    await put(empty, an_event(), an_event())
    await sequence(sequencer, empty)
    tile = await empty.fetchval("DELETE FROM log_tiles RETURNING hashes")
    event = an_event()
    await put(empty, event)

    async def sequenced() -> bool:
        return await index_of(empty, event) is not None

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sequencer.run(stop))
        await asyncio.sleep(0.2)
        assert not await sequenced()
        await empty.execute("INSERT INTO log_tiles VALUES (0, 0, $1)", tile)
        await eventually(sequenced)
        stop.set()
    await assert_whole(empty, SIGNER.verifier_key)


async def opened(sequencer: Sequencer, pool: asyncpg.Pool) -> None:
    """What a new leader does first."""
    async with pool.acquire() as connection:
        await sequencer.open_log(connection)


async def leaders(pool: asyncpg.Pool) -> int:
    """How many hold the leadership."""
    return int(await pool.fetchval("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"))
