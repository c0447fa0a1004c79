"""A role that starts says which store is set so that it may forget."""

from pathlib import Path

import asyncpg
from redis.asyncio import Redis
from structlog.testing import capture_logs

from sca_service.kernel.connections import RedisConnection
from sca_service.kernel.forgetting import warn_of_forgetting
from sca_service.kernel.postgres import connect_postgres
from sca_service.sandbox.servers import ValkeyProcess
from tests.harness import Deployment


async def test_as_the_sandbox_is_set_nothing_is_said(redis: RedisConnection, pool: asyncpg.Pool) -> None:
    """Both stores keep what they confirm."""
    with capture_logs() as said:
        await warn_of_forgetting(redis, pool)
    assert said == []


async def test_a_store_that_may_forget_is_named(quiet_stores: Deployment, tmp_path: Path) -> None:
    """A Redis without a file, and sessions that do not wait for the disk."""
    valkey = ValkeyProcess()
    valkey.start(tmp_path)
    client: Redis = Redis.from_url(valkey.url)
    redis = RedisConnection(valkey.url)
    url = quiet_stores.servers.postgres.url
    postgres = await connect_postgres(f"{url}&options=-csynchronous_commit%3Doff", most_connections=1)
    try:
        await client.config_set("appendonly", "no")
        with capture_logs() as said:
            await warn_of_forgetting(redis, postgres)
    finally:
        await client.aclose()
        await redis.close()
        await postgres.close()
        valkey.stop()
    assert [(one["event"], one["store"], one["parameters"]) for one in said] == [
        ("store.may_forget", "redis", ["appendonly"]),
        ("store.may_forget", "postgres", ["synchronous_commit"]),
    ]
