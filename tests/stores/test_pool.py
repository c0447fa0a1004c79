"""The pool to PostgreSQL whose connections are not reset: what is left open ends, and a turn is given back."""

import asyncpg
import pytest

from sca_service.custody.postgres_store import SealedStore
from sca_service.kernel.postgres import connect_postgres
from tests.harness import Deployment


async def test_a_connection_that_is_given_back_in_a_transaction_is_rolled_back(stores: Deployment) -> None:
    """What nobody committed is gone, and the next who gets the connection is in no transaction."""
    pool = await connect_postgres(stores.servers.postgres.url, most_connections=1, leaves_nothing=True)
    try:
        connection = await pool.acquire()
        await connection.execute("BEGIN; CREATE TABLE left_open (id int)")
        await pool.release(connection)
        async with pool.acquire() as again:
            assert not again.is_in_transaction()
            assert await again.fetchval("SELECT to_regclass('left_open')") is None
    finally:
        await pool.close()


@pytest.mark.parametrize("leaves_nothing", [True, False])
async def test_a_turn_is_given_back(stores: Deployment, leaves_nothing: bool) -> None:
    """Whoever sealed anew lets another process do it next, whether the pool resets its connections or not."""
    url = stores.servers.postgres.url
    pool = await connect_postgres(url, most_connections=2, leaves_nothing=leaves_nothing)
    other = await connect_postgres(url, most_connections=1)
    try:
        async with SealedStore(pool).turn() as is_ours, SealedStore(other).turn() as is_theirs:
            assert (is_ours, is_theirs) == (True, False)
        async with SealedStore(other).turn() as is_theirs:
            assert is_theirs
    finally:
        await pool.close()
        await other.close()


async def test_a_turn_that_cannot_be_given_back_ends_with_its_connection(stores: Deployment) -> None:
    """The session is gone, and the lock with it: nobody waits for it for ever."""
    url = stores.servers.postgres.url
    pool = await connect_postgres(url, most_connections=1, leaves_nothing=True)
    other = await connect_postgres(url, most_connections=1)
    try:
        async with SealedStore(pool).turn() as is_ours:
            assert is_ours
            await _end_sessions(url)
        async with SealedStore(other).turn() as is_theirs:
            assert is_theirs
    finally:
        pool.terminate()
        await other.close()


async def _end_sessions(url: str) -> None:
    """End every session that holds an advisory lock."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    finally:
        await connection.close()
