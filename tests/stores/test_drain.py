"""The outbox and its drain: what a killed process decided gets on record, once, with all that belongs to it."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import msgspec
import pytest

from sca_service.audit.drain import Drain
from sca_service.audit.model import Acceptance, Record
from sca_service.audit.private.vault import Vault
from sca_service.audit.redis_store import Outbox, outbox_key
from sca_service.audit.writer import AuditWriter
from sca_service.challenges.model import ChallengeId, Status
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.challenges.record import Recorder, StateSource
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import StoreUnavailable
from sca_service.kernel.keyring import Keyring
from tests.storeroom import (
    CLIENT,
    an_event,
    answered,
    events_of,
    issued,
    new_payer,
    now_ms,
)

FAR_OFF = 3_600_000


class Plant:
    """An outbox, its drain and the api's recorder over the same stores. A class because it holds them."""

    def __init__(self, redis: RedisConnection, pool: asyncpg.Pool, keyring: Keyring) -> None:
        self.redis = redis
        self.keyring = keyring
        self.store = ChallengeStore(redis)
        self.archive = ChallengeArchive(pool)
        self.outbox = Outbox(redis)
        self.writer = AuditWriter(pool, self.archive, Vault(pool, keyring))
        self.recorder = Recorder(
            writer=self.writer, outbox=self.outbox, archive=self.archive, store=self.store
        )
        self.drain = Drain(self.outbox, self.writer, StateSource(self.store, keyring), range(64))

    async def drain_all(self) -> int:
        """Commit everything there is, and see it leave the outbox."""
        drained = await self.drain.drain_once(await now_ms(self.redis) + FAR_OFF)
        await self.outbox.close()
        return drained

    async def waiting(self, partition: int) -> int:
        """How many events are in an outbox."""
        return int(await self.redis.command("XLEN", outbox_key(partition)))


@pytest.fixture
async def plant(redis: RedisConnection, pool: asyncpg.Pool, keyring: Keyring) -> AsyncIterator[Plant]:
    """A plant whose outboxes are empty."""
    plant = Plant(redis, pool, keyring)
    await plant.drain_all()
    yield plant
    await plant.outbox.close()


async def outcomes(pool: asyncpg.Pool, challenge: ChallengeId) -> list[tuple[str, str]]:
    """Type and outcome of each event on record about a challenge."""
    members = [msgspec.json.decode(event.body) for event in await events_of(pool, challenge.text)]
    return [(one["type"], one.get("outcome", "")) for one in members]


async def acceptance(pool: asyncpg.Pool, challenge: ChallengeId) -> str | None:
    """The event that holds a challenge's acceptance."""
    found: str | None = await pool.fetchval(
        "SELECT event_id FROM acceptances WHERE challenge_id = $1", challenge.text
    )
    return found


@pytest.mark.race
async def test_what_a_killed_api_decided_gets_on_record(plant: Plant, pool: asyncpg.Pool) -> None:
    """Events, the acceptance and the newest snapshot; then the outbox is empty."""
    challenge = await issued(plant.store, new_payer())
    await answered(plant.store, challenge, right=False)
    approval = await answered(plant.store, challenge, right=True)
    assert await events_of(pool, challenge.text) == []

    assert await plant.drain_all() == 3
    assert await outcomes(pool, challenge) == [
        ("challenge.issued", ""),
        ("challenge.answered", "incorrect"),
        ("challenge.answered", "approved"),
    ]
    assert await acceptance(pool, challenge) == approval.events[0].head.id
    archived = await plant.archive.get(challenge.text, CLIENT)
    assert archived == await plant.store.get(challenge)
    assert await plant.waiting(challenge.partition) == 0


async def test_what_was_committed_but_not_forgotten_stands_once(plant: Plant, pool: asyncpg.Pool) -> None:
    """An api killed between commit and XDEL: the drain repeats the commit, which changes nothing."""
    challenge = await issued(plant.store, new_payer())
    approval = await answered(plant.store, challenge, right=True)
    assert approval.state is not None
    taken = Acceptance(challenge.text, approval.events[0].head.id)
    assert await plant.writer.commit(Record(approval.events, taken, (approval.state,)))
    before = await pool.fetch("SELECT * FROM audit_events WHERE challenge_id = $1", challenge.text)

    assert await plant.drain_all() == 2
    after = await pool.fetch("SELECT * FROM audit_events WHERE challenge_id = $1", challenge.text)
    assert len(after) == 2
    assert before[0] in after
    assert await acceptance(pool, challenge) == approval.events[0].head.id
    assert await plant.waiting(challenge.partition) == 0


async def test_draining_the_same_event_twice_changes_nothing(plant: Plant, pool: asyncpg.Pool) -> None:
    """Two workers find the same event at the same time."""
    challenge = await issued(plant.store, new_payer())
    await answered(plant.store, challenge, right=True)
    others = [Plant(plant.redis, pool, plant.keyring) for _ in range(3)]
    before_ms = await now_ms(plant.redis) + FAR_OFF
    drained = await asyncio.gather(*(other.drain.drain_once(before_ms) for other in others))
    assert drained == [2, 2, 2]
    assert await outcomes(pool, challenge) == [("challenge.issued", ""), ("challenge.answered", "approved")]
    for other in others:
        await other.outbox.close()
    assert await plant.waiting(challenge.partition) == 0


async def test_a_fresh_event_is_left_to_its_api(plant: Plant, pool: asyncpg.Pool) -> None:
    """An event is only left behind after a while: the api that wrote it is about to commit it."""
    began_ms = await now_ms(plant.redis)
    challenge = await issued(plant.store, new_payer())
    assert await plant.drain.drain_once(began_ms - 1) == 0
    assert await events_of(pool, challenge.text) == []
    assert await plant.waiting(challenge.partition) == 1


async def test_an_event_stays_in_the_outbox_while_it_cannot_be_committed(
    plant: Plant, pool: asyncpg.Pool
) -> None:
    """PostgreSQL away: nothing is forgotten, and it gets on record afterwards."""
    challenge = await issued(plant.store, new_payer())
    async with pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE audit_events IN EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable):
            await plant.drain_all()
    assert await plant.waiting(challenge.partition) == 1
    assert await plant.drain_all() == 1
    assert await outcomes(pool, challenge) == [("challenge.issued", "")]
    assert await plant.waiting(challenge.partition) == 0


async def test_an_event_that_nobody_can_read_holds_up_no_other(plant: Plant, pool: asyncpg.Pool) -> None:
    """It stays where it is, to be looked at; those after it get on record."""
    payer = new_payer()
    partition = int(payer[:2], 16) % 64
    await plant.redis.command("XADD", outbox_key(partition), "*", "event", "no event")
    challenge = await issued(plant.store, payer)
    assert await plant.drain_all() == 1
    assert await outcomes(pool, challenge) == [("challenge.issued", "")]
    assert await plant.waiting(partition) == 1
    await plant.redis.command("DEL", outbox_key(partition))


async def test_a_revived_code_is_contradicted_by_the_drain_too(plant: Plant, pool: asyncpg.Pool) -> None:
    """Redis loses its tail, the code is used again, the api dies: the log says already used, not approved."""
    challenge = await issued(plant.store, new_payer())
    key = f"{{p{challenge.partition:02d}}}:challenge:{challenge.text}"
    tail = await plant.redis.command("DUMP", key)
    first = await answered(plant.store, challenge, right=True)
    await plant.recorder.commit(challenge.partition, first)

    await plant.redis.command("RESTORE", key, 60_000, tail, "REPLACE")
    second = await answered(plant.store, challenge, right=True)
    assert second.word == "approved"
    await plant.drain_all()
    assert await acceptance(pool, challenge) == first.events[0].head.id
    told = [msgspec.json.decode(event.body) for event in await events_of(pool, challenge.text)]
    revived = [one for one in told if one.get("revived")]
    assert [(one["id"], one["outcome"]) for one in revived] == [(second.events[0].head.id, "already_used")]
    assert [one["outcome"] for one in told if one["type"] == "challenge.answered"].count("approved") == 1


async def test_the_event_of_a_payer_has_no_challenge(plant: Plant, pool: asyncpg.Pool) -> None:
    """Lifting a block is drained like everything else."""
    payer = new_payer()
    reply = await plant.store.unblock(payer, b'"psu":"%s","actor":"client:operator"' % payer.encode())
    assert await plant.drain_all() == 1
    body = await pool.fetchval("SELECT body FROM audit_events WHERE id = $1", reply.events[0].head.id)
    assert body == reply.events[0].body
    assert await pool.fetchval("SELECT psu FROM audit_events WHERE id = $1", reply.events[0].head.id) == payer


async def test_a_snapshot_alone_does_not_make_an_approval_told(plant: Plant, pool: asyncpg.Pool) -> None:
    """The drain of an older event stores the newest state; the approval in it waits for its own commit."""
    challenge = await issued(plant.store, new_payer())
    approval = await answered(plant.store, challenge, right=True, key="a")
    assert approval.state is not None
    await plant.redis.command("XDEL", outbox_key(challenge.partition), *approval.places)
    await plant.drain_all()
    archived = await plant.archive.get(challenge.text, CLIENT)
    assert archived is not None
    assert archived.status is Status.APPROVED
    with pytest.raises(StoreUnavailable):
        await plant.recorder.expect(approval.state)
    await plant.recorder.commit(challenge.partition, approval)
    assert await plant.recorder.expect(approval.state)


async def test_an_approval_that_was_contradicted_is_not_told_again(plant: Plant) -> None:
    """The second approval of a revived code stays contradicted, however often its request is repeated."""
    challenge = await issued(plant.store, new_payer())
    key = f"{{p{challenge.partition:02d}}}:challenge:{challenge.text}"
    tail = await plant.redis.command("DUMP", key)
    first = await answered(plant.store, challenge, right=True, key="first")
    assert await plant.recorder.commit(challenge.partition, first)
    await plant.redis.command("RESTORE", key, 60_000, tail, "REPLACE")
    second = await answered(plant.store, challenge, right=True, key="second")
    assert not await plant.recorder.commit(challenge.partition, second)

    again = await answered(plant.store, challenge, right=True, key="second")
    assert (again.word, again.events) == ("approved", ())
    assert again.state is not None
    assert not await plant.recorder.expect(again.state)


async def test_an_event_no_script_made_gets_on_record(plant: Plant, pool: asyncpg.Pool) -> None:
    """An answer to a challenge that only PostgreSQL remembers."""
    event = an_event(client=CLIENT, outcome="expired")
    await plant.recorder.commit_event(event)
    assert await pool.fetchval("SELECT body FROM audit_events WHERE id = $1", event.head.id) == event.body
