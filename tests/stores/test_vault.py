"""What is personal about events: sealed under payers' keys, opened again, gone when the key is."""

import asyncio

import asyncpg
import pytest

from sca_service.audit.model import Record
from sca_service.audit.private.commitments import CommitmentBroken, PrivateValues
from sca_service.audit.private.vault import Vault
from sca_service.audit.writer import AuditWriter
from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.kernel.keyring import Keyring
from tests.storeroom import an_event, new_payer, values_of


async def save(pool: asyncpg.Pool, vault: Vault, *private: PrivateValues) -> None:
    """As the group commit does it."""
    async with pool.acquire() as connection, connection.transaction():
        await vault.save(connection, private)


@pytest.fixture
def vault(pool: asyncpg.Pool, keyring: Keyring) -> Vault:
    """A vault that has seen nobody yet."""
    return Vault(pool, keyring)


async def test_values_are_opened_by_any_process(pool: asyncpg.Pool, vault: Vault, keyring: Keyring) -> None:
    """What one process sealed another opens, for several events of several payers at once."""
    payers = [new_payer(), new_payer()]
    private = [values_of(payer) for payer in payers for _ in range(3)]
    await save(pool, vault, *private)
    opened = await Vault(pool, keyring).disclosures([one.event_id for one in private])
    assert opened == {one.event_id: one.disclosures for one in private}


async def test_a_record_commits_its_values_with_its_events(
    pool: asyncpg.Pool, vault: Vault, archive: ChallengeArchive, keyring: Keyring
) -> None:
    """Both are there or neither is; a record that is committed again changes nothing."""
    event = an_event()
    private = values_of(new_payer(), event.head.id)
    writer = AuditWriter(pool, archive, vault)
    for _ in range(2):
        assert await writer.commit(Record((event,), private=(private,)))
    assert await vault.disclosures([event.head.id]) == {event.head.id: private.disclosures}


async def test_what_is_stored_tells_nothing(pool: asyncpg.Pool, vault: Vault) -> None:
    """Neither the value nor the payer's key stands in a table."""
    private = values_of(new_payer())
    await save(pool, vault, private)
    row = await pool.fetchrow(
        "SELECT sealed, wrapped FROM audit_private JOIN payer_keys ON payer_keys.id = key_id WHERE event_id = $1",
        private.event_id,
    )
    assert row is not None
    number = private.values["phone"].encode()
    assert number not in row["sealed"] and number not in row["wrapped"].encode()


async def test_two_processes_that_meet_a_payer_for_the_first_time_use_one_key(
    pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """Twenty at once: one key each, and every value can be opened."""
    payers = [new_payer() for _ in range(10)]
    vaults = [Vault(pool, keyring) for _ in range(4)]
    private = [[values_of(payer) for payer in payers] for _ in vaults]
    await asyncio.gather(*(save(pool, one, *theirs) for one, theirs in zip(vaults, private, strict=True)))
    assert await pool.fetchval("SELECT count(*) FROM payer_keys WHERE psu = ANY($1)", payers) == len(payers)
    opened = await Vault(pool, keyring).disclosures([one.event_id for theirs in private for one in theirs])
    assert len(opened) == 40


@pytest.mark.parametrize("place", [0, 12, -1])
async def test_an_altered_value_does_not_open(pool: asyncpg.Pool, vault: Vault, place: int) -> None:
    """One bit of nonce, text or tag is enough."""
    private = values_of(new_payer())
    await save(pool, vault, private)
    sealed = bytearray(
        await pool.fetchval("SELECT sealed FROM audit_private WHERE event_id = $1", private.event_id)
    )
    sealed[place] ^= 1
    await pool.execute(
        "UPDATE audit_private SET sealed = $2 WHERE event_id = $1", private.event_id, bytes(sealed)
    )
    with pytest.raises(CommitmentBroken):
        await vault.disclosures([private.event_id])


async def test_a_value_moved_to_another_event_does_not_open(pool: asyncpg.Pool, vault: Vault) -> None:
    """It is bound to the event it was sealed for."""
    one, other = (values_of(payer) for payer in [new_payer()] * 2)
    await save(pool, vault, one)
    await pool.execute(
        "UPDATE audit_private SET event_id = $2 WHERE event_id = $1", one.event_id, other.event_id
    )
    with pytest.raises(CommitmentBroken):
        await vault.disclosures([other.event_id])


async def test_nothing_is_sealed_under_a_key_that_was_destroyed(pool: asyncpg.Pool, vault: Vault) -> None:
    """A payer who was erased and comes back within the minute for which keys are kept gets a new key."""
    payer = new_payer()
    before, after = values_of(payer), values_of(payer)
    await save(pool, vault, before)
    await pool.execute("UPDATE payer_keys SET wrapped = NULL, destroyed_at = now() WHERE psu = $1", payer)
    await save(pool, vault, after, values_of(new_payer()))
    assert await vault.disclosures([before.event_id, after.event_id]) == {after.event_id: after.disclosures}
