"""Clients' credentials in PostgreSQL, and their keys where they publish them."""

import asyncpg
import msgspec
import pytest
from joserfc.jwk import ECKey, KeySet

from sca_service.api.clients import ClientRegistry, Scope
from sca_service.api.oauth.postgres_store import CredentialStore
from sca_service.api.oauth.redis_store import AssertionStore
from sca_service.api.oauth.registry import SECRET, CredentialRegistry, secret_hasher
from sca_service.api.postgres_store import ClientStore
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.errors import InvalidInput, NotFound
from sca_service.kernel.ids import new_id
from tests.harness import Deployment

KEY = ECKey.generate_key("P-256", {"kid": "one"})
PUBLIC = msgspec.json.encode(KeySet([KEY]).as_dict(private=False))


@pytest.fixture
def credentials(pool: asyncpg.Pool, quiet_stores: Deployment) -> CredentialRegistry:
    """What the command line works with."""
    return CredentialRegistry(CredentialStore(pool), secret_hasher(quiet_stores.keyring))


async def made(pool: asyncpg.Pool, service: Deployment) -> str:
    """A new client."""
    name = new_id("client").replace("_", "-")
    await ClientRegistry(ClientStore(pool), service.keyring).create(name, [Scope.AUDIT])
    return name


async def held(credentials: CredentialRegistry, client: str) -> list[str]:
    """The ids of a client's credentials that hold."""
    return [one.credential.id for one in await credentials.all() if one.credential.client == client]


async def test_a_secret_is_kept_as_argon2id_and_told_once(
    credentials: CredentialRegistry, pool: asyncpg.Pool, quiet_stores: Deployment
) -> None:
    """256 random bits; neither the table nor the log holds them, and the hash is bound to its credential."""
    client = await made(pool, quiet_stores)
    secret = await credentials.give_secret(client, overlap_seconds=0)
    row = await pool.fetchrow("SELECT * FROM oauth_credentials WHERE client_id = $1", client)
    assert row is not None
    logged = await pool.fetchval("SELECT string_agg(body, '') FROM audit_events WHERE client_id = $1", client)
    hasher = secret_hasher(quiet_stores.keyring)

    assert SECRET.fullmatch(secret.reveal())
    assert row["content"].startswith("$argon2id$")
    assert secret.reveal()[4:] not in str(tuple(row)) + logged
    assert "client.credential_added" in logged
    assert (await hasher.verify(row["content"], secret, row["id"])).matches
    assert not (await hasher.verify(row["content"], secret, "crd_other")).matches
    await hasher.close()


async def test_a_new_credential_ends_the_older_ones_after_the_overlap(
    credentials: CredentialRegistry, pool: asyncpg.Pool, quiet_stores: Deployment
) -> None:
    """However long a later overlap is; one that is ended is gone at once, and so are all of a revoked client."""
    client, other = await made(pool, quiet_stores), await made(pool, quiet_stores)
    first = await credentials.take_keys(client, PUBLIC, overlap_seconds=0)
    second = await credentials.take_certificate(client, overlap_seconds=3600)
    assert await held(credentials, client) == [first, second]
    third = await credentials.take_keys_url(client, "https://bank.example/jwks", overlap_seconds=0)
    assert await held(credentials, client) == [third]
    await credentials.take_certificate(client, overlap_seconds=86_400)
    assert first not in await held(credentials, client)
    with pytest.raises(NotFound):
        await credentials.end(other, third)
    await credentials.end(client, third)
    with pytest.raises(NotFound):
        await credentials.end(client, third)
    await ClientRegistry(ClientStore(pool), quiet_stores.keyring).revoke(client)
    assert await held(credentials, client) == []
    with pytest.raises(NotFound):
        await credentials.take_certificate(client, overlap_seconds=0)


async def test_what_cannot_be_believed_is_not_registered(
    credentials: CredentialRegistry, pool: asyncpg.Pool, quiet_stores: Deployment
) -> None:
    """A private key, and a URL that leads inside or is no https."""
    client = await made(pool, quiet_stores)
    with pytest.raises(InvalidInput) as refused:
        await credentials.take_keys(
            client, msgspec.json.encode({"keys": [KEY.as_dict(private=True)]}), overlap_seconds=0
        )
    assert "public keys" in refused.value.mistakes[0].detail
    for url in ("http://localhost/jwks", "https://localhost/jwks", "https://10.0.0.1/jwks", "ftp://a", ""):
        with pytest.raises(InvalidInput):
            await credentials.take_keys_url(client, url, overlap_seconds=0)
    assert await held(credentials, client) == []


async def test_an_assertion_is_new_once(redis: RedisConnection) -> None:
    """And forgotten when it is over."""
    store, name = AssertionStore(redis), new_id("name")
    assert await store.is_new(name, seconds=60)
    assert not await store.is_new(name, seconds=60)
    assert 0 < await redis.command("TTL", f"oauth_assertion:{name}") <= 60
