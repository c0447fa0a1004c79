"""What the tests of the stores share: connections to stores that no role works on."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from sca_service.challenges.postgres_store import ChallengeArchive
from sca_service.challenges.redis_store import ChallengeStore
from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.keyring import Keyring
from sca_service.kernel.postgres import connect_postgres
from tests.erasure_office import Office, open_office
from tests.harness import Deployment


@pytest.fixture
async def redis(quiet_stores: Deployment) -> AsyncIterator[RedisConnection]:
    """A connection to the embedded Valkey."""
    connection = RedisConnection(quiet_stores.servers.valkey.url)
    yield connection
    await connection.close()


@pytest.fixture
async def pool(quiet_stores: Deployment) -> AsyncIterator[asyncpg.Pool]:
    """Connections to the embedded PostgreSQL."""
    pool = await connect_postgres(quiet_stores.servers.postgres.url, most_connections=6)
    yield pool
    await pool.close()


@pytest.fixture
def keyring(quiet_stores: Deployment) -> Keyring:
    """The keys of the deployment."""
    return quiet_stores.keyring


@pytest.fixture
def store(redis: RedisConnection) -> ChallengeStore:
    """The scripts of the challenges."""
    return ChallengeStore(redis)


@pytest.fixture
def archive(pool: asyncpg.Pool) -> ChallengeArchive:
    """The challenges in PostgreSQL."""
    return ChallengeArchive(pool)


@pytest.fixture
async def office(
    pool: asyncpg.Pool,
    redis: RedisConnection,
    keyring: Keyring,
    archive: ChallengeArchive,
    store: ChallengeStore,
) -> AsyncIterator[Office]:
    """Where payers are challenged and erased."""
    async with open_office(pool, redis, keyring, archive, store) as office:
        yield office
