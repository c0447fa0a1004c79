"""Retention: what is older than the policy keeps goes whole, and everything that is kept is proved as before."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sca_service.audit.log.note import NoteSigner
from sca_service.audit.log.reader import LogReader
from sca_service.audit.log.retention import Retention
from sca_service.audit.log.sequencer import Sequencer
from sca_service.audit.merkle import check_consistency, leaf_hash, root_from_inclusion
from sca_service.audit.model import AuditEvent
from sca_service.audit.postgres_store import insert_events
from sca_service.audit.private import postgres_store as private_store
from sca_service.audit.private.postgres_store import add_sealed, prune_keys
from sca_service.audit.private.vault import Vault
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.errors import NotFound
from sca_service.kernel.ids import new_id
from tests.harness import PATIENCE_SECONDS, Deployment
from tests.logs import own_schema
from tests.storeroom import eventually, is_waiting, new_payer, values_of

SIGNER = NoteSigner("sca.example/log", Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
YEAR_MS = 365 * 86_400_000
NOW_MS = SystemClock().now_ms()


@pytest.fixture
async def pool(quiet_stores: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """Connections to tables of their own, in which nothing has happened."""
    async with own_schema(quiet_stores) as pool:
        yield pool


def events(count: int, *, years_ago: float, challenge: str | None = None) -> list[AuditEvent]:
    """Events of a day so long ago."""
    at_ms = NOW_MS - int(years_ago * YEAR_MS)
    members: dict[str, object] = {"challenge": challenge} if challenge else {}
    return [
        AuditEvent.create(event_id=new_id("evt"), kind="challenge.answered", at_ms=at_ms, members=members)
        for _ in range(count)
    ]


async def sequenced(pool: asyncpg.Pool, *portions: list[AuditEvent]) -> list[AuditEvent]:
    """Put events on the log, one round for each portion."""
    async with pool.acquire() as connection:
        for portion in portions:
            async with connection.transaction():
                await insert_events(connection, portion)
            await Sequencer(pool, [SIGNER]).sequence_once(connection)
    return [event for portion in portions for event in portion]


async def tidied(pool: asyncpg.Pool, years: int = 5) -> list[bool]:
    """What the leader does once an hour, until there is no more to do."""
    said: list[bool] = []
    retention = Retention(years, SystemClock())
    async with pool.acquire() as connection:
        while not said or said[-1]:
            said.append(await retention.tidy(connection))
    return said


async def first_index(pool: asyncpg.Pool) -> int:
    """The minimum index."""
    return int(await pool.fetchval("SELECT first_index FROM log_state"))


async def test_whole_bundles_go_that_are_over(pool: asyncpg.Pool) -> None:
    """300 events are too old: the first bundle goes, the second has some that are not, and stays whole."""
    put = await sequenced(pool, events(300, years_ago=5.1), events(700, years_ago=4.9))
    await tidied(pool)
    assert await first_index(pool) == 256
    assert await pool.fetchval("SELECT min(index) FROM audit_leaves") == 256
    gone, kept = [event.head.id for event in put[:256]], [event.head.id for event in put[256:]]
    count = "SELECT count(*) FROM audit_events WHERE id = ANY($1)"
    assert await pool.fetchval(count, gone) == 0
    assert await pool.fetchval(count, kept) == len(kept)


async def test_pruning_is_an_event(pool: asyncpg.Pool) -> None:
    """Whoever reads the log learns from which index on it is kept, and why."""
    await sequenced(pool, events(600, years_ago=6), events(1, years_ago=0))
    await tidied(pool)
    bodies = await pool.fetch("SELECT body FROM audit_events WHERE type = 'log.pruned'")
    assert len(bodies) == 1
    assert '"first_index":512' in bodies[0]["body"]
    assert '"years":5' in bodies[0]["body"]


async def test_what_is_kept_is_proved_as_before(pool: asyncpg.Pool) -> None:
    """Roots, inclusion from the minimum index on, consistency from trees of that size on (tlog-tiles, "Pruning")."""
    old = [events(100, years_ago=9) for _ in range(7)]
    put = await sequenced(pool, *old, events(69, years_ago=9), events(500, years_ago=1))
    roots = {row["size"]: row["root"] for row in await pool.fetch("SELECT size, root FROM log_checkpoints")}
    await tidied(pool)
    assert await first_index(pool) == 768
    await sequenced(pool, events(300, years_ago=0))
    reader = LogReader(pool)
    newest = await reader.checkpoint()
    assert newest is not None
    assert newest.size == 1570  # with the event that tells of the pruning
    for index in (768, 769, 1000, 1268):
        proof = await reader.inclusion(index, newest.size)
        leaf = leaf_hash(put[index].body.encode())
        assert root_from_inclusion(leaf, index, newest.size, proof) == newest.root
        assert await reader.proof(index)
    for size in (769, 1269):
        proof = await reader.consistency(size, newest.size)
        check_consistency(size, roots[size], newest.size, newest.root, proof)


async def test_what_is_gone_is_not_there_in_any_form(pool: asyncpg.Pool) -> None:
    """No bundle, no tile of level 0, no proof below the minimum index; the levels above stay."""
    await sequenced(pool, events(600, years_ago=9), events(100, years_ago=1))
    reader = LogReader(pool)
    assert await reader.tile(0, 1, 256)
    await tidied(pool)
    for index in (0, 1):
        for width in (256, 3):
            assert await reader.tile(0, index, width) is None
            assert await reader.entries(index, width) is None
    assert await reader.tile(0, 2, 188)
    assert await reader.entries(2, 188)
    assert await reader.tile(1, 0, 2)
    assert await reader.proof(511) is None
    assert await reader.proof(512)
    with pytest.raises(NotFound):
        await reader.inclusion(3, 700)


async def test_a_challenge_goes_with_its_last_event(pool: asyncpg.Pool) -> None:
    """With its acceptance and its personal values; one that has an event which is kept stays with all it has."""
    over, going_on = "chl_over", "chl_going_on"
    put = await sequenced(
        pool,
        events(200, years_ago=6, challenge=over),
        events(56, years_ago=6, challenge=going_on),
        events(1, years_ago=6, challenge=going_on),
    )
    for challenge in (over, going_on):
        await pool.execute(
            "INSERT INTO challenges VALUES ($1, 'bank', 'psu', 'payment', 'approved', now(), now(), 1, '')",
            challenge,
        )
        await pool.execute("INSERT INTO acceptances (challenge_id, event_id) VALUES ($1, 'evt_1')", challenge)
    for event in (put[0], put[255], put[256]):
        await pool.execute("INSERT INTO audit_private VALUES ($1, 1, '')", event.head.id)
    await tidied(pool)
    assert await pool.fetchval("SELECT array_agg(id) FROM challenges") == [going_on]
    assert await pool.fetchval("SELECT array_agg(challenge_id) FROM acceptances") == [going_on]
    assert await pool.fetchval("SELECT array_agg(event_id) FROM audit_private") == [put[256].head.id]


async def test_pruning_goes_on_in_portions(pool: asyncpg.Pool) -> None:
    """A long backlog is pruned in several transactions, so that the log can grow in between."""
    await sequenced(pool, *(events(4096, years_ago=8) for _ in range(5)))
    assert await tidied(pool) == [True, True, False]
    assert await first_index(pool) == 20_480
    assert await pool.fetchval("SELECT count(*) FROM log_tiles WHERE level = 0") == 0
    await sequenced(pool, events(3, years_ago=0))
    newest = await LogReader(pool).checkpoint()
    assert newest is not None
    assert newest.size == 20_480 + 2 + 3


async def test_nothing_goes_before_its_time(pool: asyncpg.Pool) -> None:
    """What is younger, what is not published, and what the policy keeps longer."""
    await sequenced(pool, events(600, years_ago=6))
    assert await tidied(pool, years=7) == [False]
    assert await first_index(pool) == 0
    await pool.execute("UPDATE log_checkpoints SET published_at = NULL")
    assert await tidied(pool) == [False]
    assert await first_index(pool) == 0


async def test_checkpoints_are_thinned(pool: asyncpg.Pool) -> None:
    """After a day the newest of each hour is left; those of the last day and the newest of all stay."""
    await sequenced(pool, *(events(1, years_ago=0) for _ in range(9)))
    await pool.execute(
        "UPDATE log_checkpoints SET made_at = date_trunc('hour', now()) - interval '2 days'"
        " + make_interval(hours => (size / 3)::int) WHERE size < 8"
    )
    await pool.execute("UPDATE log_checkpoints SET published_at = NULL WHERE size = 5")
    await tidied(pool)
    sizes = await pool.fetchval("SELECT array_agg(size ORDER BY size) FROM log_checkpoints")
    assert sizes == [2, 4, 7, 8, 9]


async def key(
    pool: asyncpg.Pool, *, created: float, destroyed: float | None = None, sealed: bool = False
) -> int:
    """A payer's key made so many years ago, destroyed so many years ago or not, with a value under it or not."""
    key_id = int(
        await pool.fetchval(
            "INSERT INTO payer_keys (psu, wrapped, created_at, destroyed_at)"
            " VALUES ($1, $2, now() - interval '1 day' * $3, now() - interval '1 day' * $4) RETURNING id",
            new_payer(),
            None if destroyed else "wrapped",
            created * 365.25,
            destroyed and destroyed * 365.25,
        )
    )
    if sealed:
        await pool.execute("INSERT INTO audit_private VALUES ($1, $2, '')", new_id("evt"), key_id)
    return key_id


async def keys(pool: asyncpg.Pool) -> list[int]:
    """The keys that are there."""
    return [row["id"] for row in await pool.fetch("SELECT id FROM payer_keys ORDER BY id")]


async def test_keys_without_values_go_when_they_are_old(pool: asyncpg.Pool) -> None:
    """Living or destroyed; one that something is sealed under stays, and one that was made or destroyed since."""
    await key(pool, created=6)
    await key(pool, created=9, destroyed=6)
    kept = [
        await key(pool, created=6, sealed=True),
        await key(pool, created=6, destroyed=4),
        await key(pool, created=4),
    ]
    assert await tidied(pool, years=7) == [True, False]
    assert len(await keys(pool)) == 5
    assert await tidied(pool) == [True, False]
    assert await keys(pool) == kept


async def test_keys_are_pruned_in_portions(pool: asyncpg.Pool) -> None:
    """Each transaction looks at so many keys, used or not, and the next goes on behind them; young ones end it."""
    made = [await key(pool, created=6, sealed=number % 2 == 0) for number in range(7)]
    young = [await key(pool, created=1) for _ in range(5)]
    after, steps = 0, []
    async with pool.acquire() as connection:
        while (seen := await prune_keys(connection, after, years=5, most=3)) is not None:
            steps.append((seen, len(await keys(pool))))
            after = seen
    assert steps == [(made[2], 11), (made[5], 9), (young[1], 9)]
    assert await keys(pool) == [*made[::2], *young]


async def test_the_key_goes_an_hour_after_the_last_value(
    pool: asyncpg.Pool, quiet_stores: Deployment
) -> None:
    """When the log has pruned a payer's events, the leader's next look takes the key, from the first one on again."""
    private = values_of(new_payer())
    retention = Retention(5, SystemClock())
    async with pool.acquire() as connection:
        async with connection.transaction():
            await Vault(pool, quiet_stores.keyring).save(connection, [private])
        await connection.execute("UPDATE payer_keys SET created_at = now() - interval '6 years'")
        for _ in range(2):
            assert [await retention.tidy(connection) for _ in range(2)] == [True, False]
            assert len(await keys(pool)) == 1
        await connection.execute("DELETE FROM audit_private")
        assert await retention.tidy(connection)
    assert await keys(pool) == []


async def test_a_payer_whose_key_was_pruned_gets_another(
    pool: asyncpg.Pool, quiet_stores: Deployment
) -> None:
    """A process that still holds the pruned key seals under a new one, and nothing is lost."""
    payer = new_payer()
    before, after = values_of(payer), values_of(payer)
    vault = Vault(pool, quiet_stores.keyring)
    async with pool.acquire() as connection:
        async with connection.transaction():
            await vault.save(connection, [before])
        await connection.execute("DELETE FROM audit_private")
        await connection.execute("UPDATE payer_keys SET created_at = now() - interval '6 years'")
        await prune_keys(connection, 0, years=5)
        assert await keys(pool) == []
        async with connection.transaction():
            await vault.save(connection, [after, values_of(new_payer())])
    assert await vault.disclosures([after.event_id]) == {after.event_id: after.disclosures}


async def test_a_key_that_is_sealed_under_right_now_stays(pool: asyncpg.Pool) -> None:
    """Pruned while the transaction that seals is open, and while it commits: the key is kept, nothing waits."""
    used = await key(pool, created=6)
    async with pool.acquire() as sealing, pool.acquire() as pruning:
        async with sealing.transaction():
            assert await add_sealed(sealing, [(new_id("evt"), used, b"sealed")]) == []
            async with asyncio.timeout(PATIENCE_SECONDS):
                await prune_keys(pruning, 0, years=5)
        await prune_keys(pruning, 0, years=5)
    assert await keys(pool) == [used]


@pytest.mark.race
async def test_keys_pruned_and_used_at_once_lose_no_value(pool: asyncpg.Pool) -> None:
    """Whatever is sealed while keys are pruned has its key afterwards, or was told that the key is gone."""
    for _ in range(10):
        old = [await key(pool, created=6) for _ in range(100)]
        shares = [old[number::3] for number in range(3)]
        pruning = asyncio.gather(*(pruned(pool) for _ in range(3)))
        gone = {
            one for told in await asyncio.gather(*(sealed(pool, share) for share in shares)) for one in told
        }
        await pruning
        assert gone.isdisjoint(await keys(pool))
        used = {row["key_id"] for row in await pool.fetch("SELECT key_id FROM audit_private")}
        assert used >= set(old) - gone
        assert used <= set(await keys(pool)), "a value has lost its key"


async def pruned(pool: asyncpg.Pool) -> None:
    """Look for keys to prune, again and again."""
    async with pool.acquire() as connection:
        for _ in range(20):
            await prune_keys(connection, 0, years=5)


async def sealed(pool: asyncpg.Pool, under: list[int]) -> list[int]:
    """Seal under one key after another, each in a commit of its own. Returns those that were gone."""
    gone: list[int] = []
    async with pool.acquire() as connection:
        for key_id in under:
            async with connection.transaction():
                gone += await add_sealed(connection, [(new_id("evt"), key_id, b"sealed")])
    return gone


async def test_what_was_sealed_since_the_first_look_saves_its_key(pool: asyncpg.Pool) -> None:
    """The deletion itself asks once more: of two keys that were unused a moment ago the unused one goes."""
    used, unused = await key(pool, created=6, sealed=True), await key(pool, created=6)
    await pool.execute(private_store._PRUNE_UNUSED, [used, unused])
    assert await keys(pool) == [used]


async def test_whoever_seals_waits_for_the_prune_and_takes_another_key(pool: asyncpg.Pool) -> None:
    """The key is locked and about to go: it takes nothing any more, and is named as gone."""
    pruned, living = await key(pool, created=6), await key(pool, created=1)
    async with pool.acquire() as sealing, pool.acquire() as pruning:
        async with pruning.transaction():
            await prune_keys(pruning, 0, years=5)
            rows = [(new_id("evt"), pruned, b"sealed"), (new_id("evt"), living, b"sealed")]
            sealed = asyncio.create_task(add_sealed(sealing, rows))
            await eventually(lambda: is_waiting(pool))
            assert not sealed.done()
        assert await sealed == [pruned]
    assert await pool.fetchval("SELECT array_agg(key_id) FROM audit_private") == [living]
