"""Erasure while others write: what was under way brings nothing back, and nothing is forgotten that is not over."""

import asyncio

import asyncpg
import msgspec
import pytest

from sca_service.audit.private.vault import Vault
from sca_service.challenges.erasure import ErasureRefused
from sca_service.challenges.redis_store import EventMembers
from sca_service.challenges.view import ChallengeView
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.ids import new_id
from sca_service.kernel.keyring import Keyring
from tests.erasure_office import PHONE, Office, cancel, late_state, on_record
from tests.storeroom import CLIENT, events_of, eventually, is_waiting, values_of

pytestmark = pytest.mark.race


async def test_a_late_commit_brings_nothing_back(
    office: Office, pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """Neither a newer state nor the values of an event that is told again, both read before the erasure."""
    challenge, payer = await office.challenged(psu := new_id("cust"))
    await cancel(office, challenge, pool)
    state = await late_state(office, challenge)
    issued, *_ = await events_of(pool, challenge.text)
    await office.erase(psu)
    async with pool.acquire() as connection, connection.transaction():
        await office.vault.save(connection, [values_of(payer, issued.head.id)])
        await office.archive.save(connection, [state])
    private = ChallengeView.open(await on_record(office, challenge), keyring).private
    assert (private.phone, private.psu_id, private.seed) == (None, "", "")
    assert await Vault(pool, keyring).disclosures([issued.head.id]) == {}


async def test_who_comes_back_after_an_erasure_is_on_record_as_before(
    office: Office, pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """A new challenge of an erased payer keeps its values, under a new key."""
    challenge, _ = await office.challenged(psu := new_id("cust"))
    await cancel(office, challenge, pool)
    await office.erase(psu)
    again, _ = await office.challenged(psu)
    assert ChallengeView.open(await on_record(office, again), keyring).private.phone == PHONE
    issued, *_ = await events_of(pool, again.text)
    assert len(await office.vault.disclosures([issued.head.id])) == 1


@pytest.mark.parametrize("with_values", [True, False])
async def test_what_is_committed_meanwhile_is_bared_as_it_is_then(
    office: Office, pool: asyncpg.Pool, keyring: Keyring, *, with_values: bool
) -> None:
    """A commit under way ends first, whatever it holds of the payer: neither waits for the other for good."""
    challenge, payer = await office.challenged(psu := new_id("cust"))
    await cancel(office, challenge, pool)
    state = await late_state(office, challenge)
    values = values_of(payer)
    async with pool.acquire() as connection, connection.transaction():
        if with_values:
            await office.vault.save(connection, [values])
        else:
            await office.archive.save(connection, [state])
        erasing = asyncio.create_task(office.erase(psu))
        await eventually(lambda: is_waiting(pool))  # for the key or for the challenge
        assert not erasing.done()
        if with_values:
            await office.archive.save(connection, [state])
    await erasing
    left = await on_record(office, challenge)
    assert left.revision == state.revision
    assert ChallengeView.open(left, keyring).private.phone is None
    assert await Vault(pool, keyring).disclosures([values.event_id]) == {}


async def test_a_challenge_whose_end_is_not_on_record_is_not_forgotten(
    office: Office, pool: asyncpg.Pool, redis: RedisConnection
) -> None:
    """Past its time, or cancelled a moment ago: its end goes on record first, in any of the stores."""
    challenge, _ = await office.challenged(psu := new_id("cust"))
    state = await late_state(office, challenge)
    key = f"{{p{challenge.partition:02d}}}:challenge:{challenge.text}"
    past = msgspec.structs.replace(state, expires_at=state.created_at)
    await redis.command("SET", key, msgspec.msgpack.encode(past), "KEEPTTL")
    with pytest.raises(ErasureRefused, match="not on record"):
        await office.erase(psu)
    assert await office.store.get(challenge) is not None
    await redis.command("SET", key, msgspec.msgpack.encode(state), "KEEPTTL")
    reply = await office.store.cancel(challenge, EventMembers("client:bank"), client=CLIENT)
    assert reply.state is not None
    with pytest.raises(ErasureRefused, match="not on record"):
        await office.erase(psu)
    assert await office.store.get(challenge) is not None
    async with pool.acquire() as connection:
        await office.archive.save(connection, [reply.state])
    await office.erase(psu)


async def test_a_challenge_that_only_redis_has_yet_is_waited_for(office: Office, pool: asyncpg.Pool) -> None:
    """It is issued, and its commit is under way."""
    challenge, payer = await office.challenged(psu := new_id("cust"))
    await pool.execute("DELETE FROM challenges WHERE id = $1", challenge.text)
    with pytest.raises(ErasureRefused, match="not on record"):
        await office.erase(psu)
    assert await pool.fetchval("SELECT wrapped FROM payer_keys WHERE psu = $1", payer) is not None


async def test_a_challenge_that_redis_lost_is_erased_once_its_time_is_over(
    office: Office, pool: asyncpg.Pool
) -> None:
    """Nobody will ever put its end on record."""
    challenge, _ = await office.challenged(psu := new_id("cust"))
    await office.store.forget(challenge)
    with pytest.raises(ErasureRefused):
        await office.erase(psu)
    state = await on_record(office, challenge)
    await pool.execute(
        "UPDATE challenges SET state = $2 WHERE id = $1",
        challenge.text,
        msgspec.msgpack.encode(msgspec.structs.replace(state, expires_at=state.created_at)),
    )
    assert (await office.erase(psu)).challenges == 1


async def test_a_challenge_that_appears_while_it_is_confirmed_stops_it(
    office: Office, pool: asyncpg.Pool
) -> None:
    """What was not looked at before is not bared while it may be under way: nothing is destroyed."""
    challenge, payer = await office.challenged(psu := new_id("cust"))
    await cancel(office, challenge, pool)
    values = values_of(payer)
    async with pool.acquire() as connection, connection.transaction():
        await office.vault.save(connection, [values])
        erasing = asyncio.create_task(office.erase(psu))
        await eventually(lambda: is_waiting(pool))
        await connection.execute(
            "INSERT INTO challenges SELECT $2, client_id, psu, purpose, status, created_at, expires_at, revision, state"
            " FROM challenges WHERE id = $1",
            challenge.text,
            challenge.text[:-4] + "ffff",
        )
    with pytest.raises(ErasureRefused, match="meanwhile"):
        await erasing
    assert await pool.fetchval("SELECT wrapped FROM payer_keys WHERE psu = $1", payer) is not None
