"""Clients and their API keys in PostgreSQL: made, rotated, revoked, and each of it on record."""

import secrets

import asyncpg
import msgspec
import pytest

from sca_service.api.certificates.postgres_store import BindingStore
from sca_service.api.clients import ClientDirectory, ClientRegistry, Scope
from sca_service.api.postgres_store import ClientStore
from sca_service.kernel.clock import SystemClock
from sca_service.kernel.errors import InvalidInput, NotFound, StoreUnavailable, Unauthorized
from sca_service.kernel.keyring import Keyring
from tests.harness import Deployment


@pytest.fixture
def keyring(quiet_stores: Deployment) -> Keyring:
    """The keys."""
    return quiet_stores.keyring


@pytest.fixture
def registry(pool: asyncpg.Pool, keyring: Keyring) -> ClientRegistry:
    """What the command line works with."""
    return ClientRegistry(ClientStore(pool), keyring)


def directory_of(pool: asyncpg.Pool, keyring: Keyring) -> ClientDirectory:
    """What an api knows of its clients."""
    return ClientDirectory(ClientStore(pool), BindingStore(pool), keyring, SystemClock())


def new_client() -> str:
    """A client id that no other test has."""
    return f"client-{secrets.token_hex(6)}"


async def valid(pool: asyncpg.Pool, keyring: Keyring, client: str) -> set[bytes]:
    """The hashes of the keys that the client may use now."""
    return {row.key_hash for row in await ClientStore(pool).valid_keys() if row.id == client}


async def events(pool: asyncpg.Pool, client: str) -> list[str]:
    """What is on record about a client."""
    rows = await pool.fetch(
        "SELECT type FROM audit_events WHERE client_id = $1 ORDER BY txid, position", client
    )
    return [row["type"] for row in rows]


async def test_a_new_client_can_call_with_its_key(
    registry: ClientRegistry, pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """The directory of an api knows it by the keyed hash, with its scopes."""
    client = new_client()
    key = await registry.create(client, [Scope.CHALLENGES, Scope.AUDIT])
    directory = directory_of(pool, keyring)
    await directory.refresh()
    found = directory.authenticate(f"Bearer {key.reveal()}")
    assert found.id == client
    assert found.scopes == {"challenges", "audit"}
    assert await events(pool, client) == ["client.created"]


async def test_a_key_has_256_random_bits_and_is_not_stored(
    registry: ClientRegistry, pool: asyncpg.Pool
) -> None:
    """Two keys share nothing, and neither table holds one in clear."""
    client = new_client()
    keys = [await registry.create(client, [Scope.AUDIT]), await registry.rotate(client, overlap_seconds=0)]
    secret_parts = [key.reveal().removeprefix("sca_") for key in keys]
    assert len(set(secret_parts)) == 2
    assert all(len(part) == 43 for part in secret_parts)  # 32 bytes in base64url
    stored = await pool.fetch("SELECT * FROM clients") + await pool.fetch("SELECT * FROM api_keys")
    text = " ".join(str(tuple(row)) for row in stored)
    assert not any(part in text for part in secret_parts)


async def test_an_id_is_given_once(registry: ClientRegistry, pool: asyncpg.Pool, keyring: Keyring) -> None:
    """A second client of that name changes nothing about the first."""
    client = new_client()
    await registry.create(client, [Scope.AUDIT])
    before = await valid(pool, keyring, client)
    with pytest.raises(InvalidInput):
        await registry.create(client, [Scope.ADMIN])
    assert await valid(pool, keyring, client) == before
    assert await events(pool, client) == ["client.created"]


@pytest.mark.parametrize("client", ["", "a", "-a", "A", "bank!", "b" * 41, "bänk"])
async def test_a_name_that_is_none_is_refused(registry: ClientRegistry, client: str) -> None:
    """It stands in logs, metrics and authentication codes."""
    with pytest.raises(InvalidInput):
        await registry.create(client, [Scope.AUDIT])


async def test_a_client_needs_a_scope(registry: ClientRegistry) -> None:
    """One that may do nothing is a mistake."""
    with pytest.raises(InvalidInput):
        await registry.create(new_client(), [])


async def test_rotation_ends_the_old_keys_after_the_overlap(
    registry: ClientRegistry, pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """Both work during the overlap; without one the old key ends at once."""
    client = new_client()
    first = await registry.create(client, [Scope.AUDIT])
    second = await registry.rotate(client, overlap_seconds=3_600)
    hashes = [keyring.key_hash(key.reveal()) for key in (first, second)]
    assert await valid(pool, keyring, client) == set(hashes)
    third = await registry.rotate(client, overlap_seconds=0)
    assert await valid(pool, keyring, client) == {keyring.key_hash(third.reveal())}
    assert await events(pool, client) == ["client.created", "client.rotated", "client.rotated"]


async def test_a_later_rotation_never_lengthens_a_key(
    registry: ClientRegistry, pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """A key that ends soon ends then, however long the overlap of the next rotation is."""
    client = new_client()
    first = await registry.create(client, [Scope.AUDIT])
    await registry.rotate(client, overlap_seconds=0)
    await registry.rotate(client, overlap_seconds=86_400)
    assert keyring.key_hash(first.reveal()) not in await valid(pool, keyring, client)


async def test_a_revoked_client_is_out(
    registry: ClientRegistry, pool: asyncpg.Pool, keyring: Keyring
) -> None:
    """Every key of it, for good: it cannot be rotated or revoked again."""
    client = new_client()
    key = await registry.create(client, [Scope.AUDIT])
    directory = directory_of(pool, keyring)
    await directory.refresh()
    await registry.revoke(client)
    await directory.refresh()
    with pytest.raises(Unauthorized):
        directory.authenticate(f"Bearer {key.reveal()}")
    with pytest.raises(NotFound):
        await registry.rotate(client, overlap_seconds=0)
    with pytest.raises(NotFound):
        await registry.revoke(client)
    assert await events(pool, client) == ["client.created", "client.revoked"]
    listed = {row.id: row.revoked_at for row in await registry.all()}
    assert listed[client] is not None


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Basic sca_x", "Bearer key", "Bearer sca_", "Bearer sca_" + "A" * 43],
)
async def test_anything_but_a_valid_key_is_refused(
    pool: asyncpg.Pool, keyring: Keyring, authorization: str | None
) -> None:
    """Missing, malformed and unknown keys get the same error."""
    directory = directory_of(pool, keyring)
    await directory.refresh()
    with pytest.raises(Unauthorized):
        directory.authenticate(authorization)


async def test_a_directory_that_was_never_read_lets_nobody_in(pool: asyncpg.Pool, keyring: Keyring) -> None:
    """Not knowing the clients is our fault, not theirs."""
    with pytest.raises(StoreUnavailable):
        directory_of(pool, keyring).authenticate("Bearer sca_" + "A" * 43)


async def test_the_events_name_who_did_it(registry: ClientRegistry, pool: asyncpg.Pool) -> None:
    """A change of clients says what it was, and never holds a key."""
    client = new_client()
    key = await registry.create(client, [Scope.CHALLENGES])
    body = await pool.fetchval("SELECT body FROM audit_events WHERE client_id = $1", client)
    members = msgspec.json.decode(body)
    assert (members["actor"], members["scopes"]) == ("operator", ["challenges"])
    assert key.reveal() not in body
